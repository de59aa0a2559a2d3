"""One serial port of the gateway: opened, served, and opened again when it was unplugged."""

import asyncio
import errno
import logging
import os
from collections.abc import Awaitable, Callable

from mqttlite.client.line import Line
from mqttlite.client.ports import open_port
from mqttlite.link import Link, Stream
from mqttlite.link.frames import LOG, Peer
from mqttlite.link.link import OTHER_VERSION
from mqttlite.link.words import link_reason

from .config import SerialPort
from .forward import Forwarder, Streams

log = logging.getLogger("mqttlite.gateway")
device_log = logging.getLogger("mqttlite.gateway.device")

REOPEN_S = 0.5  # from one look for a port that is not there to the next
REFUSED_S = 5.0  # the same for a port that is there and cannot be opened: finding out why takes a while
NONSENSE_S = 10.0  # how often is looked whether what arrives makes sense
NONSENSE_MIN = 20  # damaged frames, and not one whole, until somebody is told
RECEIVE_WINDOW = 4096  # bytes from the device that may wait for a slow broker
SEND_BUFFER = 2048  # bytes for the device that may wait for the line: a sixth of a second at 115,200 baud


class GatewayLine:
    """A serial port and the device at its other end; `connect` opens a connection to the broker."""

    def __init__(self, config: SerialPort, connect: Callable[[], Awaitable[Streams]]) -> None:
        self.config = config
        self.device_id = ""  # what the device said last
        self.link = Link(
            int.from_bytes(os.urandom(4)),
            frame_size=config.frame_size,
            window=config.window,
            baud=config.baud,
            receive_window=RECEIVE_WINDOW,
            send_buffer=SEND_BUFFER,
        )
        stream = Stream(self.link)
        self.forwarder = Forwarder(config.path, stream, connect)
        stream.on_link_up = self._up
        stream.on_link_down = self._down
        stream.on_side = self._said
        self._was_up = False
        self._said_last = ""  # what was logged last about a port that does not open

    def _up(self, peer: Peer) -> None:
        self.device_id = peer.device_id.decode(errors="replace")
        self._was_up = True
        log.info("%s: device '%s' is there", self.config.path, self.device_id)

    def _down(self, reason: int) -> None:
        if self._was_up:  # a port that goes without a device has nothing to say about one
            log.warning("%s: device '%s' is gone: %s", self.config.path, self.device_id, link_reason(reason))
        elif reason == OTHER_VERSION:
            log.warning("%s: %s; update the older one", self.config.path, link_reason(reason))
        self._was_up = False

    def _said(self, channel: int, data: bytes | memoryview) -> None:
        """The device's own log, and text from outside frames, such as the boot messages of an ESP32."""
        if channel == LOG:
            device_log.debug("%s: %s", self.config.path, bytes(data).decode(errors="replace").rstrip())

    async def run(self) -> None:
        """Serve the port for ever."""
        watching = asyncio.create_task(self._watch())
        try:
            while True:
                again_s = await self._serve()
                await asyncio.sleep(again_s)
        finally:
            watching.cancel()
            await self.forwarder.close()

    async def _serve(self) -> float:
        """Open the port and serve it until it is gone; when to look again, in seconds."""
        config = self.config
        try:
            port = open_port(config.path, config.baud, config.rtscts)
        except OSError as error:
            again_s = REOPEN_S if error.errno == errno.ENOENT else REFUSED_S
            if str(error) != self._said_last:  # say it once, not at every attempt
                log.warning("%s; looking again every %g s", error, again_s)
            self._said_last = str(error)
            return again_s
        self._said_last = ""
        log.info("%s: open at %d baud", config.path, config.baud)
        try:
            await Line(self.link, port, config.baud).run()
        except OSError as error:
            log.warning("%s", error)
        except Exception:  # a fault of ours: the other lines go on
            log.exception("%s: internal error", config.path)
        return REOPEN_S

    async def _watch(self) -> None:
        """Say when what arrives can be no device: the most likely fault of a new line, and the least visible."""
        stats = self.link.stats
        said = False
        while True:
            received, damaged = stats.received, stats.damaged
            await asyncio.sleep(NONSENSE_S)
            if stats.received > received:
                said = False
            elif stats.damaged - damaged >= NONSENSE_MIN and not said:
                said = True
                log.warning(
                    "%s: nothing that arrives makes sense; is %d the device's baud rate, too, and is the ground wired?",
                    self.config.path,
                    self.config.baud,
                )
