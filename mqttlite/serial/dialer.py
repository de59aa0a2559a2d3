"""How a client reaches a gateway over a serial line. Both runtimes.

The port and the link outlive the client's connections: `SerialDialer` opens the port once, opens it again when the
adapter was unplugged, and hands out one connection after the other over it.
"""

import asyncio
import os

from ..core import const
from ..core.errors import ConnectError, SettingError
from ..link import stream as _stream
from ..link.frames import LOG
from ..link.link import Link
from .clock import now_ms
from .line import Line

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..link.bus.device import BusDevice
    from .line import Place, Port

REOPEN_S = const(1)  # from one attempt to open the port to the next
FAULTS_MAX = const(5)  # faults of this program, one after the other without a link between them, before it gives up
SILENT_S = const(5)  # a gateway that is there has answered by then: SYN is repeated every 2 s at the least
BUS_SILENT_S = const(15)  # and somebody on a bus whom it has not found yet has been asked
SEND_BUFFER = const(512)  # bytes; what is in it, a later acknowledgement cannot overtake
USB = "usb"  # the place's host: the board's own USB socket, see usb_port.py
USB_RECEIVE = const(256)  # bytes: an ESP32's prompt has a buffer of 259
USB_LOG = const(1024)  # bytes of what the program prints that may wait
CLOSING_MS = const(1000)  # what was said last, such as CLOSE, has so long to leave, and twice its time on the line
_CLOSING_STEP_MS = const(10)
_OPTIONS = ("baud", "frame_size", "window", "boot", "rtscts", "tx", "rx", "address", "de", "turnaround_ms")


class SerialDialer:
    """The serial line of one client.

    `open_port(baud)` opens the port (OSError when it cannot); `log(text)` is told of faults that nobody else will hear
    of; `on_back()` is called when it is worth trying again: the link is up, or the gateway says that the broker can be
    reached again.

    Of the place's query: `baud`, `frame_size`, `window`, `boot` (a counter that grows at each reset: upper half of the
    epoch). Raises SettingError for an option that is unknown or out of range.
    """

    def __init__(
        self,
        place: "Place",
        device_id: str,
        open_port: "Callable[[int], Port]",
        log: "Callable[[str], None]",
        on_back: "Callable[[], None]",
    ) -> None:
        for key in place.query:
            if key not in _OPTIONS:
                raise SettingError("unknown option '" + key + "' of a serial line; there are " + ", ".join(_OPTIONS))
        epoch = int.from_bytes(os.urandom(4), "big")
        if "boot" in place.query:
            epoch = (_number(place, "boot", 0) & 0xFFFF) << 16 | epoch & 0xFFFF
        self._where = place.path or "UART " + place.host
        is_usb = place.host == USB
        self._baud = _number(place, "baud", 115200)
        if self._baud < 300:
            raise SettingError("baud=" + str(self._baud) + ": must be 300 or more")
        self._bus: "BusDevice | None" = None
        options = {
            "device_id": device_id.encode()[:32],
            "frame_size": _number(place, "frame_size", 128),
            "window": _number(place, "window", 8),
            "send_buffer": SEND_BUFFER,
            "receive_window": USB_RECEIVE if is_usb else 1024,
            "log_buffer": USB_LOG if is_usb else 256,
        }
        try:
            if "address" in place.query:
                from .bus import join, make_link

                options["send_buffer"] = 2 * SEND_BUFFER
                link = make_link(_number(place, "address", 0), epoch, self._baud, options)
                self._bus, open_port = join(link, place.query, _number(place, "turnaround_ms", 1), open_port)
                self.link: Link = link
            else:
                self.link = Link(epoch, baud=self._baud, **options)  # type: ignore[arg-type]
        except ValueError as error:
            raise SettingError(self._where + ": " + str(error)) from None
        self._open_port = open_port
        self._log = log
        self._on_back = on_back
        self.stream = _stream.Stream(self.link)
        self.stream.on_link_up = self._link_up
        self.stream.on_notice = self._noticed
        self.stream.on_time = self._timed
        self.time_ms: "int | None" = None  # from now_ms to what time the gateway has; None: it has not said
        self._task: asyncio.Task[None] | None = None
        self._error = ""  # why the port is not open
        self._given_up: "Exception | None" = None  # why nobody tries any more
        self._faults = 0
        self._silent = False  # SILENT_S have passed without an answer
        self._changed = asyncio.Event()  # pulsed: the link is up, the port could not be opened, the gateway is silent

    async def connect(self) -> "SerialTransport":
        """A connection to the broker through the gateway. Raises ConnectError with the cause, SettingError when there
        can be none, and what has failed FAULTS_MAX times and is no error of the port, such as MemoryError.
        """
        if self._task is None:
            self._task = asyncio.create_task(self._keep_open())
        self.stream.close()  # of a connection that was made when nobody waited for it any more
        await self._wait_for_link()
        transport = SerialTransport(self.stream, self.reason)
        try:
            await transport.open()
        except BaseException:  # cancelled, too: whoever waited has given up
            transport.close()
            raise
        return transport

    def reason(self, reason: int) -> str:
        """Why a connection has ended. A board has no room for words: link/stream.py tells what the number means."""
        return "serial connection ended, reason " + str(reason)

    def log(self, data: "bytes | bytearray") -> None:
        """Something that was printed, for the link's log channel."""
        self.link.send(LOG, data)

    async def close(self) -> None:
        """Let what was said last leave, for a time that depends on the line, and give the port back."""
        task = self._task
        if task is None:
            return
        left_ms = CLOSING_MS + 20000 * self.link.unsettled() // self._baud
        try:
            while left_ms > 0 and self.link.unsettled():
                await asyncio.sleep(_CLOSING_STEP_MS / 1000)
                left_ms -= _CLOSING_STEP_MS
        finally:
            self._task = None
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    # -- the link

    async def _wait_for_link(self) -> None:
        silence = asyncio.create_task(self._silence())
        try:
            while not self.link.up:
                if self._given_up:
                    raise self._given_up
                if self._error:
                    raise ConnectError(self._error)
                if self._silent:
                    raise ConnectError(self._why_silent())
                await self._changed.wait()
        finally:
            silence.cancel()

    async def _silence(self) -> None:
        # No wait_for around `_changed`: CPython before 3.12 can lose the cancellation of what contains it.
        self._silent = False
        stats = self.link.stats
        self._before = stats.received, stats.damaged
        await asyncio.sleep(BUS_SILENT_S if self._bus else SILENT_S)
        self._silent = True
        self._pulse()

    def _why_silent(self) -> str:
        if self._bus:
            from .bus import why_silent as why_nobody_asks

            return why_nobody_asks(self._where + " at " + str(self._baud) + " baud", self._bus)
        from .silence import why_silent

        return why_silent(self._where + " at " + str(self._baud) + " baud", self.link.stats, *self._before)

    async def _keep_open(self) -> None:
        """Serve the port for ever; open it again when it was unplugged."""
        while True:
            try:
                port = self._open_port(self._baud)
                self._error = ""
                await Line(self._bus or self.link, port, self._baud).run()
            except OSError as error:
                self._error = str(error)
                if self._where not in self._error:  # a board's errors are numbers
                    self._error = self._where + ": " + self._error
            except Exception as error:  # nobody awaits this task
                self._faults += 1
                if isinstance(error, SettingError) or self._faults >= FAULTS_MAX:
                    self._given_up = error
                    self._pulse()
                    return
                self._error = "internal error: " + repr(error)
                self._log(self._error)
            self._pulse()
            await asyncio.sleep(REOPEN_S)

    def _pulse(self) -> None:
        self._changed.set()
        self._changed.clear()

    def _link_up(self, _: object) -> None:
        self._faults = 0
        self._pulse()
        self._on_back()

    def _timed(self, ms: int) -> None:
        self.time_ms = ms - now_ms()

    def _noticed(self, reason: int) -> None:
        if reason == _stream.UPSTREAM_BACK:
            self._on_back()


class SerialTransport:
    """One connection over the link."""

    def __init__(self, stream: "_stream.Stream", words: "Callable[[int], str]") -> None:
        self._stream = stream
        self._words = words
        self._reason: int | None = None  # why it has ended
        self._pieces: list[bytes] = []  # arrived and not read; bounded by the link's receive_window
        self._news = asyncio.Event()  # for whoever reads
        self._writable = asyncio.Event()
        stream.on_opened = self._news.set
        stream.on_data = self._on_data
        stream.on_close = self._on_close
        stream.on_writable = self._writable.set

    async def open(self) -> None:
        """Ask the gateway for a connection, and wait for its answer. Raises ConnectError."""
        if not self._stream.open():
            raise ConnectError("the serial link was lost")
        while self._stream.state == _stream.OPENING:
            self._news.clear()
            await self._news.wait()
        if self._reason is not None:
            raise self._ended()

    async def read(self) -> bytes:
        """What has arrived, at least one byte. Raises ConnectError when the connection has ended."""
        pieces = self._pieces
        while not pieces:
            if self._reason is not None:
                raise self._ended()
            self._news.clear()
            await self._news.wait()
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._stream.consumed(len(data))
        return data

    async def write(self, data: "bytes | memoryview") -> None:
        """Hand over `data`; waits while the link's buffer is full. Raises ConnectError when it is over."""
        at = 0
        while at < len(data):
            if self._reason is not None:
                raise self._ended()
            self._writable.clear()
            at += self._stream.send(memoryview(data)[at:])
            if at < len(data):
                await self._writable.wait()

    def close(self) -> None:
        """End the connection, behind what `write` has taken."""
        if self._reason is None:
            self._reason = _stream.BY_APPLICATION
            self._stream.close()

    def _on_data(self, data: "bytes | memoryview") -> None:
        self._pieces.append(bytes(data))
        self._news.set()

    def _on_close(self, reason: int) -> None:
        self._reason = reason
        self._news.set()
        self._writable.set()

    def _ended(self) -> ConnectError:
        error = ConnectError(self._words(self._reason or 0))
        if self._reason == _stream.UPSTREAM_CLOSED:
            error.ended = 0
        return error


def _number(place: "Place", key: str, default: int) -> int:
    try:
        return int(place.query.get(key, default))
    except ValueError:
        raise SettingError(key + "=" + place.query[key] + " is not a number") from None
