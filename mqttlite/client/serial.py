"""How a client reaches a gateway over a serial line. Both runtimes.

The port and the link outlive the client's connections: `SerialDialer` opens the port once, opens it again when the
adapter was unplugged, and hands out one connection after the other over it.
"""

import asyncio
import os

from ..core import const
from ..core.errors import ConnectError
from ..link import stream as _stream
from ..link.link import Link
from .line import Line

try:
    from ..link.words import stream_reason
except ImportError:  # a board has no room for words

    def stream_reason(reason: int) -> str:
        """The number; link/stream.py tells what it means."""
        return "serial connection ended, reason " + str(reason)


TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Callable

    from .line import Port
    from .url import Url

REOPEN_S = const(1)  # from one attempt to open the port to the next


class SerialDialer:
    """The serial line of one client.

    `open_port()` opens the port (OSError when it cannot), `on_back()` is called when the gateway
    says that the broker can be reached again. Of the URL's query: `baud`, `frame_size`, `window`, `boot` (a counter
    that grows at each reset: upper half of the epoch).
    """

    def __init__(
        self,
        url: "Url",
        device_id: str,
        open_port: "Callable[[], Port]",
        log: "Callable[[str], None]",
        on_back: "Callable[[], None]",
    ) -> None:
        query = url.query
        baud = int(query.get("baud", "115200"))
        epoch = int.from_bytes(os.urandom(4), "big")
        if "boot" in query:
            epoch = (int(query["boot"]) & 0xFFFF) << 16 | epoch & 0xFFFF
        self.link = Link(
            epoch,
            device_id=device_id.encode()[:32],
            frame_size=int(query.get("frame_size", "128")),
            window=int(query.get("window", "8")),
            baud=baud,
        )
        self._open_port = open_port
        self._log = log
        self._on_back = on_back
        self._stream = _stream.Stream(self.link)
        self._baud = baud
        self._task: asyncio.Task[None] | None = None
        self._error: OSError | None = None  # why the port is not open
        self._changed = asyncio.Event()  # the link is up, the port could not be opened, the gateway has answered
        self._transport: SerialTransport | None = None
        self._stream.on_link_up = self._pulse
        self._stream.on_notice = self._noticed

    def _pulse(self, _: object = None) -> None:
        self._changed.set()
        self._changed.clear()

    def _noticed(self, reason: int) -> None:
        if reason == _stream.UPSTREAM_BACK:
            self._on_back()

    async def connect(self) -> "SerialTransport":
        """A connection to the broker through the gateway. Raises ConnectError or OSError with the cause."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_open())
        stream = self._stream
        while not self.link.up:
            await self._changed.wait()
            if self._error:
                raise self._error
        transport = self._transport = SerialTransport(stream)
        stream.on_opened = self._pulse
        if not stream.open():
            raise ConnectError("the serial link was lost")
        try:
            while stream.state == _stream.OPENING:
                await self._changed.wait()
        finally:
            if stream.state == _stream.OPENING:  # whoever waited has given up
                stream.close()
        if transport.reason is not None:
            raise ConnectError(stream_reason(transport.reason))
        return transport

    async def _keep_open(self) -> None:
        """Serve the port for ever; open it again when it was unplugged."""
        while True:
            try:
                port = self._open_port()
                self._error = None
                await Line(self.link, port, self._baud).run()
            except OSError as error:
                self._error = error
                self._pulse()
            await asyncio.sleep(REOPEN_S)

    async def close(self) -> None:
        """Give the port back."""
        if self._task:
            # What was said last, such as CLOSE, still has to leave.
            self._task.cancel()
            self._task = None


class SerialTransport:
    """One connection over the link."""

    def __init__(self, stream: "_stream.Stream") -> None:
        self.reason: int | None = None  # why it has ended
        self._stream = stream
        self._data = b""
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        stream.on_data = self._on_data
        stream.on_close = self._on_close
        stream.on_writable = self._writable.set

    def _on_data(self, data: "bytes | memoryview") -> None:
        self._data += bytes(data)
        self._arrived.set()

    def _on_close(self, reason: int) -> None:
        self.reason = reason
        self._arrived.set()
        self._writable.set()

    async def read(self) -> bytes:
        """What has arrived, at least one byte. Raises ConnectError when the connection has ended."""
        while not self._data:
            if self.reason is not None:
                raise ConnectError(stream_reason(self.reason))
            self._arrived.clear()
            await self._arrived.wait()
        data = self._data
        self._data = b""
        self._stream.consumed(len(data))
        return data

    async def write(self, data: bytes) -> None:
        """Hand over `data`; waits while the link's buffer is full."""
        at = 0
        while at < len(data):
            if self.reason is not None:
                raise ConnectError(stream_reason(self.reason))
            self._writable.clear()
            at += self._stream.send(memoryview(data)[at:])
            if at < len(data):
                await self._writable.wait()

    def close(self) -> None:
        """End the connection."""
        if self.reason is None:
            self.reason = _stream.BY_APPLICATION
            self._stream.close()
