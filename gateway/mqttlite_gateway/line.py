"""One serial port of the gateway: opened, served, and opened again when it was unplugged."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable

from mqttlite.client.line import Line
from mqttlite.client.ports import open_port
from mqttlite.link import Link, Stream
from mqttlite.link.frames import LOG, Peer
from mqttlite.link.words import link_reason

from .config import SerialPort
from .forward import Forwarder, Streams

log = logging.getLogger("mqttlite.gateway")
device_log = logging.getLogger("mqttlite.gateway.device")

REOPEN_S = 0.5  # from one attempt to open the port to the next
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
        self._said_last = ""  # what was logged last about a port that does not open

    def _up(self, peer: Peer) -> None:
        self.device_id = peer.device_id.decode(errors="replace")
        log.info("%s: device '%s' is there", self.config.path, self.device_id)

    def _down(self, reason: int) -> None:
        log.warning("%s: device '%s' is gone: %s", self.config.path, self.device_id, link_reason(reason))

    def _said(self, channel: int, data: bytes | memoryview) -> None:
        """The device's own log, and text from outside frames, such as the boot messages of an ESP32."""
        if channel == LOG:
            device_log.debug("%s: %s", self.config.path, bytes(data).decode(errors="replace").rstrip())

    async def run(self) -> None:
        """Serve the port for ever."""
        try:
            while True:
                await self._serve()
                await asyncio.sleep(REOPEN_S)
        finally:
            await self.forwarder.close()

    async def _serve(self) -> None:
        """Open the port and serve it until it is gone; say so once, not at every attempt."""
        config = self.config
        try:
            port = open_port(config.path, config.baud, config.rtscts)
        except OSError as error:
            if str(error) != self._said_last:
                log.warning("%s; looking again every %s s", error, REOPEN_S)
            self._said_last = str(error)
            return
        self._said_last = ""
        log.info("%s: open at %d baud", config.path, config.baud)
        try:
            await Line(self.link, port, config.baud).run()
        except OSError as error:
            log.warning("%s: the port is gone: %s", config.path, error)
