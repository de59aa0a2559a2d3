"""One serial port of the gateway: opened, served, and opened again when it was unplugged."""

import asyncio
import contextlib
import errno
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from mqttlite.client.board_errors import explained
from mqttlite.core.shown import shown
from mqttlite.link import Link, Stream
from mqttlite.link.frames import CONSOLE, LOG, Greeting
from mqttlite.link.link import LEFT, OTHER_VERSION
from mqttlite.link.words import link_reason
from mqttlite.serial.clock import now_ms
from mqttlite.serial.line import Line
from mqttlite.serial.ports import open_port

from ..settings.port import SerialPort
from .console import PROMPT, Console
from .forward import Broker, Forwarder
from .names import Names, topic_level
from .pace import Paced
from .saying import Saying, without
from .watch import Watch

if TYPE_CHECKING:
    from mqttlite.serial.line import Port

SetUp = Callable[[str, int], Awaitable[str]]  # path and baud of a port; what was done, in words

log = logging.getLogger("mqttlite.gateway")
device_log = logging.getLogger("mqttlite.gateway.device")

REOPEN_S = 0.5  # from one look for a port that is not there to the next
SET_UP_AGAIN_S = 30.0
REFUSED_S = 5.0  # the same for a port that is there and cannot be opened: finding out why takes a while
DEVICE_LOG = (200, 0.05)  # lines of a device's own log at once, and then one in so many seconds
DEVICE_LINE = 250  # characters of one of them
BYE_S = 0.5  # a line that takes nothing holds nobody up
TIME_EVERY_S = 3600.0  # a device's clock is set so often,
TIME_LOOK_S = 0.5  # or when the line is free for it again
AT_PROMPT = "the board is at its prompt: Ctrl-D in mqttlite console starts its program again, and so does a reset"
RECEIVE_WINDOW = 4096  # bytes from the device that may wait for a slow broker
SEND_BUFFER = 2048  # bytes for the device that may wait for the line: a sixth of a second at 115,200 baud
COUNTERS = (  # of its link's frames, that `describe` shows
    "sent",
    "resent",
    "received",
    "repaired",
    "damaged",
    "foreign",
    "timeouts",
    "duplicates",
    "log_drops",
    "resets",
)


def _nothing() -> None:
    """Where nobody wants to be told."""


class GatewayLine:
    """A serial port and the device at its other end, which is to be connected to `broker`.

    `names`: the topic levels of all lines of the gateway, of which this one takes its device's. `set_up`: gives a board
    that waits for them its settings; None leaves it to people. `link`: where it is not this one's own.
    """

    def __init__(
        self,
        config: SerialPort,
        broker: Broker,
        names: "Names[GatewayLine] | None" = None,
        set_up: "SetUp | None" = None,
        link: Link | None = None,
    ) -> None:
        self.config = config
        self._set_up = set_up
        self.device_id = ""  # what the device said last
        self.names: Names[GatewayLine] = names or Names()
        self.link = link or Link(
            int.from_bytes(os.urandom(4)),
            frame_size=config.frame_size,
            window=config.window,
            baud=config.baud,
            receive_window=RECEIVE_WINDOW,
            send_buffer=SEND_BUFFER,
        )
        self.say = Saying(log, config.path)
        self._log = Saying(device_log, config.path, *DEVICE_LOG)
        stream = self._stream = Stream(self.link)
        self._told_at: float | None = None  # what time it is
        self.forwarder = Forwarder(self.say, stream, broker)
        self.watch = Watch(self.link, config.baud, self.say)
        self.console = Console(self.link, config.baud, self._printed, now_ms)
        self.on_open: Callable[[], object] = _nothing
        self.watch.gives_settings = set_up is not None
        stream.on_link_up = self._up
        stream.on_link_down = self._down
        stream.on_side = self._said
        self._level = ""  # that the device's name asks for
        self._was_up = False
        self._news = asyncio.Event()
        self._turn = asyncio.Lock()  # of whoever has the port: this, or another program
        self._is_wanted = asyncio.Event()  # by another program
        self._wanting = 0  # how many of these wait
        self._said_last = ""  # what was logged last about a port that does not open

    def _up(self, peer: Greeting) -> None:
        self._was_up = True
        self._told_at = None
        self.watch.device_came()
        self.device_id = peer.device_id.decode(errors="backslashreplace")
        self.forwarder.device = f"device '{shown(peer.device_id)}'" if peer.device_id else "a device without a name"
        self.say.info("%s is there", self.forwarder.device)
        self._take_name(peer.device_id)
        self.console.changed()

    def level(self) -> str:
        """The topic level of its device, "" without one. Of two devices with one name it is the one's that came first,
        until that has gone.
        """
        owner = self.names.owner(self._level)
        if owner is not None and owner is not self and (owner.link.up or not self.link.up):
            return ""
        self.names.give(self._level, self)
        return self._level

    def problem(self) -> tuple[str, str]:
        """Why there is no device: a word for programs and a sentence; empty when there is one, or nobody knows yet."""
        if self._said_last:
            return "no port", self._said_last
        if self.console.state == PROMPT:
            return "micropython prompt", AT_PROMPT
        return self.watch.finding or ("", "")

    def describe(self) -> dict[str, Any]:
        """How it is, as plain data: for the status topics, the page, metrics."""
        stats = self.link.stats
        looks_like, advice = self.problem()
        return {
            "port": self.config.path,
            "device": self.device_id,
            "link": self.link.up,
            "looks_like": looks_like,
            "advice": advice,
            "broker": self.forwarder.connected,
            "broker_problem": self.forwarder.problem,
            "connections": self.forwarder.connections,
            "refused": self.forwarder.refused,
            "up_bytes": self.forwarder.up_bytes,
            "down_bytes": self.forwarder.down_bytes,
            "rtt_ms": stats.srtt_ms,
            "log_lines_left_out": self.say.left_out,
            "frames": {name: getattr(stats, name) for name in COUNTERS},
        }

    def _take_name(self, device_id: bytes) -> None:
        """Its topic level; whatever is unusual about it is said."""
        self._level = topic_level(device_id)
        owner = self.names.owner(self._level)
        if not self._level:
            self.names.give("", self)
            self.say.warning("%s: its state is published for the port only", self.forwarder.device)
        elif not self.level() and owner:
            self.say.warning(
                "%s is at %s, too: two devices need two names; this one's state is published for the port only, and a "
                "broker disconnects the one whenever the other connects",
                self.forwarder.device,
                owner.config.path,
            )
        elif self._level.encode() != device_id:
            self.say.warning(
                "%s cannot be a topic level; its state is published as '%s'", self.forwarder.device, self._level
            )

    def _down(self, reason: int) -> None:
        if self._was_up:  # a port that goes without a device has nothing to say about one
            self.say.warning("%s is gone: %s", self.forwarder.device, link_reason(reason))
            self.watch.device_went()
        elif reason == OTHER_VERSION:
            self.say.warning("%s; update the older one", link_reason(reason))
        self._was_up = False
        if reason == LEFT:
            self.console.left()
        self.console.changed()

    def _said(self, channel: int, data: bytes | memoryview) -> None:
        """What the device prints; the console has what it prints past the link."""
        if channel in (LOG, CONSOLE):
            self.console.shows(bytes(data))

    def _printed(self, line: bytes) -> None:
        """A line of the device's own log, or from outside frames, such as the boot messages of an ESP32."""
        self._log.debug("%s", explained(shown(line, DEVICE_LINE)))

    def look(self) -> None:
        """Something was plugged in: if this waits for its port, it looks now."""
        self._news.set()

    @contextlib.asynccontextmanager
    async def lent(self) -> AsyncIterator[None]:
        """The port is closed while the block runs, for another program: one that flashes the board."""
        self._wanting += 1
        self._is_wanted.set()
        try:
            await self._turn.acquire()
        finally:  # also of who does not wait any more, or nobody would serve the port again
            self._wanting -= 1
            if not self._wanting:
                self._is_wanted.clear()
        try:
            self.say.info("the port is lent to another program")
            yield
        finally:
            self._turn.release()
            self.say.info("the port is back")

    async def run(self) -> None:
        """Serve the port for ever."""
        try:
            while True:
                async with self._turn:
                    again_s = await self._serve()
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), again_s)
        finally:
            await self.forwarder.close()
            self.say.close()

    async def _serve(self) -> float:
        """Open the port and serve it until it is gone; when to look again, in seconds."""
        config = self.config
        try:
            port = open_port(config.path, config.baud, config.rtscts)
        except OSError as error:
            again_s = REOPEN_S if error.errno == errno.ENOENT else REFUSED_S
            if str(error) != self._said_last:  # say it once, not at every attempt
                self.say.warning("%s; looking again every %g s", without(self.config.path, error), again_s)
            self._said_last = str(error)
            return again_s
        self._said_last = ""
        self.say.info("open at %d baud", config.baud)
        self.on_open()
        watching = [asyncio.create_task(work) for work in (self.watch.run(), self._tell_time())]
        try:
            shared = self.console.port(self.watch.port(Paced(port, config.baud, self.say)))
            await self._carry(Line(self.link, shared, config.baud), shared)
            if self._set_up and self.watch.wants_settings.is_set():
                await self._give_settings(self._set_up)
        except OSError as error:
            self.say.warning("%s", without(config.path, error))
        except Exception:  # a fault of ours: the other lines go on
            self.say.warning("internal error", trace=True)
        finally:
            for task in watching:
                task.cancel()
            self.watch.finding = None
            self.console.closed()
        return REOPEN_S

    async def _tell_time(self) -> None:
        """Tell the device what time it is: when it has come, as soon as the line is free for it, and now and then."""
        while True:
            self.tell_time()
            await asyncio.sleep(TIME_LOOK_S)

    def tell_time(self) -> None:
        """If it is due, and the line free for it."""
        now = asyncio.get_running_loop().time()
        is_due = self._told_at is None or now - self._told_at > TIME_EVERY_S
        if is_due and self._stream.tell_time(time.time_ns() // 1_000_000):
            self._told_at = now

    async def _carry(self, line: Line, port: "Port") -> None:
        """Serve the link until the port is gone (OSError), another program wants it, or a board wants settings that
        this gateway has for it.
        """
        carrying = asyncio.create_task(line.run())
        wanting = asyncio.create_task(self.watch.wants_settings.wait())
        lending = asyncio.create_task(self._is_wanted.wait())
        try:
            ends = [carrying, lending, wanting] if self._set_up else [carrying, lending]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if carrying.done():
                carrying.result()
        finally:
            wanting.cancel()
            lending.cancel()
            with contextlib.suppress(OSError):  # so that the device need not wait until this end is silent
                async with asyncio.timeout(BYE_S):  # TimeoutError is an OSError
                    await port.write(self.link.bye(now_ms()))
            carrying.cancel()
            await asyncio.gather(carrying, return_exceptions=True)

    async def _give_settings(self, set_up: "SetUp") -> None:
        """Set up the board that waits for it; the port is closed, so that this can open it."""
        self.say.info("a board waits for its settings")
        try:
            self.say.info("%s", await set_up(self.config.path, self.config.baud))
        except (ValueError, OSError) as error:
            self.say.warning("the board is not set up: %s; trying again in %g s", error, SET_UP_AGAIN_S)
            await asyncio.sleep(SET_UP_AGAIN_S)
