"""A board's console without a gateway: this program has the port, and speaks the link, but leads to no broker."""

import asyncio
from collections.abc import Callable

from mqttlite.core.errors import ConnectError

from ..settings.port import SerialPort
from .console import NO_PORT
from .line import GatewayLine
from .upstream import Streams


class _NoBroker:
    """In the place of a broker; see forward.Broker."""

    async def connect(self) -> Streams:
        """There is none."""
        raise ConnectError("this is a console")

    async def look(self) -> None:
        """There is none."""
        raise ConnectError("this is a console")

    def explain(self, error: Exception) -> str:
        """Why."""
        return str(error)

    def explain_first(self, begin: bytes, waited_s: float | None = None) -> str:
        """Never asked."""
        return ""


class _Onlooker:
    def __init__(self, shows: Callable[[bytes], object], becomes: Callable[[str], object]) -> None:
        self.shows = shows
        self.becomes = becomes


class Direct:
    """The console of the board on `port`; as console_socket.Attached."""

    def __init__(self, port: SerialPort) -> None:
        self._line = GatewayLine(port, _NoBroker())
        self._running: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the port. Raises OSError when it cannot be opened."""
        self._running = asyncio.create_task(self._line.run())
        await asyncio.sleep(0)
        if self._line.console.state == NO_PORT:
            await self._give_back()
            raise OSError(self._line.problem()[1])

    async def serve(self, shows: Callable[[bytes], object], becomes: Callable[[str], object]) -> None:
        """Once it is open: until cancelled, though the port goes and comes back."""
        assert self._running is not None
        try:
            self._line.console.attach(_Onlooker(shows, becomes))
            await self._running
        finally:
            await self._give_back()

    async def _give_back(self) -> None:
        assert self._running is not None
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def type(self, keys: bytes) -> None:
        """Bytes for the board, as fast as it takes them."""
        await self._line.console.type(keys)

    def close(self) -> None:
        """`serve` is to be cancelled, which gives the port back."""
