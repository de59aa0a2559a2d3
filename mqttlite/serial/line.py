"""A link on a port: the pump between `mqttlite.link` and a real serial line. Both runtimes: asyncio as MicroPython has
it.

The link decides what is sent, this file only when: a frame is asked for no earlier than the line can carry it, because
in a driver's buffer nothing can overtake it any more, and its acknowledgement grows old.
"""

import asyncio

from ..core import const
from .clock import now_ms

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, Protocol

    class Carried(Protocol):
        """What is carried: a Link, or an end of a bus that looks like one (link/bus)."""

        on_work: "Callable[[], object]"

        def receive(self, data: "bytes | bytearray", now: int) -> None:
            """What has come from the port."""

        def transmit(self, now: int) -> "bytes | bytearray":
            """What is to leave now."""

        def deadline(self) -> int:
            """When to ask for it at the latest."""

        def reset(self, now: int) -> None:
            """The port is gone."""

    class Port(Protocol):
        """An open serial port; see ports.py (hosts) and board_port.py (boards)."""

        async def read(self) -> bytes:
            """What has arrived, at least one byte. OSError or b"" when the port is gone."""

        async def write(self, data: "bytes | bytearray") -> None:
            """Hand over a frame. OSError when the port is gone."""

        def close(self) -> None:
            """Give the port back; any number of times."""

    class Place(Protocol):
        """Where a line is, as the client's Url says it: a device's `path`, or the number of a UART as `host`."""

        host: str
        path: str
        query: dict[str, str]


# So much may wait in the driver behind the frame that leaves, so that a timer that fires late, or a garbage collection,
# leaves no gap. A UART's buffer (board_port.TX_BUFFER) has room for that and the longest frame.
AHEAD_MS = const(12)
AHEAD_BYTES = const(256)


class Line:
    """A link on its line, at `baud` bit/s, ten to a byte.

    Made anew each time that the port is opened; the link lives on from one to the next. The link's callbacks are called
    from within `run`; `link.send` may be called from any task of the same event loop.
    """

    def __init__(self, link: "Carried", port: "Port", baud: int = 115200) -> None:
        self._link = link
        self._port = port
        self._baud = baud
        self._running = True
        self._error: "Exception | None" = None
        self._work = asyncio.Event()  # `transmit` may have something
        self._gone = asyncio.Event()  # one of the loops has ended
        link.on_work = self._work.set

    async def run(self) -> None:
        """Serve the link until the port is gone (OSError); the port is closed and the link's session ends with it.

        An exception from one of the link's callbacks ends it as well, and is raised here.
        """
        tasks = [asyncio.create_task(self._guard(loop)) for loop in (self._read(), self._write())]
        try:
            await self._gone.wait()
        finally:
            # wait_for can swallow a cancellation (CPython before 3.12), so both loops look at this as well.
            self._running = False
            for task in tasks:
                task.cancel()
            self._port.close()
            self._link.reset(now_ms())
        raise self._error or OSError("the serial port is gone; was the adapter unplugged?")

    async def _guard(self, loop: "Coroutine[Any, Any, None]") -> None:
        try:
            await loop
        except Exception as error:
            self._error = error
        self._gone.set()

    async def _read(self) -> None:
        link = self._link
        port = self._port
        while self._running:
            data = await port.read()
            if not data or not self._running:
                return
            link.receive(data, now_ms())
            self._work.set()

    async def _write(self) -> None:
        link = self._link
        free_at = 0  # ms; when the wire will have carried all that was written
        ahead = min(AHEAD_MS, AHEAD_BYTES * 10000 // self._baud)
        while self._running:
            self._work.clear()
            now = now_ms()
            frame = link.transmit(now)
            if frame:
                if now > free_at:
                    free_at = now
                free_at += (len(frame) * 10000 + self._baud - 1) // self._baud
                await self._port.write(frame)
                await asyncio.sleep(max(free_at - now_ms() - ahead, 0) / 1000)
            else:
                wait_ms = link.deadline() - now
                if wait_ms > 0:
                    await self._wait(wait_ms)
                else:
                    await asyncio.sleep(0)

    async def _wait(self, ms: int) -> None:
        """Wait `ms` milliseconds, or until there is work."""
        try:
            await asyncio.wait_for(self._work.wait(), ms / 1000)
        except asyncio.TimeoutError:
            return
