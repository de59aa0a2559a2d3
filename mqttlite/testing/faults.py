"""A link that breaks when it is told to: a TCP proxy in front of a broker, this one or any other."""

import asyncio
import contextlib
import socket
import struct

from .loop_thread import InLoopThread, LoopThread

CHUNK = 65536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: RST instead of FIN, as whoever loses power never says goodbye


class FaultyLink(InLoopThread):
    """`with FaultyLink("127.0.0.1", 1883) as link: client.connect(link.host, link.port); ...; link.cut()`

    Bytes pass both ways, until something else is said. All methods return at once, and may be called from any thread
    and from a coroutine. `connections`: open ones; `connected`: how many there have been; `passed`: bytes, both ways.
    """

    def __init__(self, host: str, port: int, loop: LoopThread | None = None) -> None:
        self._target = (host, port)
        super().__init__(loop)
        self._pairs: dict[_Pair, None] = {}
        self._delay_s = 0.0
        self._cut_after: int | None = None
        self._refuses = False
        self.connected = 0
        self.passed = 0
        self.host = "127.0.0.1"
        self._loop.run(self._open())

    async def _open(self) -> None:
        self._flows = asyncio.Event()
        self._flows.set()
        self._server = await asyncio.start_server(self._accept, self.host, 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"mqtt://{self.host}:{self.port}"

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._pairs)

    # -- faults

    def cut(self) -> None:
        """Every connection is lost, without a word to either side. New ones pass."""
        self._loop.call(self._cut)

    def _cut(self) -> None:
        for pair in self._pairs:
            pair.cut()
        self._pairs.clear()

    def cut_after(self, count: int) -> None:
        """The next connection (or the one that is open) is lost when so many more bytes have passed, both ways
        together: exactly then, in the middle of a packet.
        """

        def set_it() -> None:
            self._cut_after = count

        self._loop.call(set_it)

    def stall(self) -> None:
        """Nothing passes any more, and nobody is told: neither side can see a difference to one that thinks."""
        self._loop.call(self._flows.clear)

    def resume(self) -> None:
        """What waited passes, and so does the rest."""
        self._loop.call(self._flows.set)

    def delay(self, seconds: float) -> None:
        """Bytes take so long from one end to the other, each way, from now on; 0: none."""

        def set_it() -> None:
            self._delay_s = seconds

        self._loop.call(set_it)

    def refuse(self) -> None:
        """Every connection is lost, and new ones are, too, until `accept`: the broker is not there."""

        def set_it() -> None:
            self._refuses = True
            self._cut()

        self._loop.call(set_it)

    def accept(self) -> None:
        """New connections pass again."""

        def set_it() -> None:
            self._refuses = False

        self._loop.call(set_it)

    # -- bytes

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            _reset(writer)
            return
        self.connected += 1
        try:
            there = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(writer)
            return
        pair = _Pair(writer, there[1])
        pair.pumps = [
            asyncio.ensure_future(self._pump(pair, reader, there[1])),
            asyncio.ensure_future(self._pump(pair, there[0], writer)),
        ]
        self._pairs[pair] = None
        self._look_whether_refused()
        try:
            await asyncio.wait(pair.pumps)
        finally:
            self._pairs.pop(pair, None)
            pair.close()

    def _look_whether_refused(self) -> None:
        """It may have been said while the broker was called."""
        if self._refuses:
            self._cut()

    async def _pump(self, pair: "_Pair", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)
        sender = asyncio.ensure_future(self._send(pair, waiting, writer))
        try:
            while data := await reader.read(CHUNK):
                await waiting.put((loop.time() + self._delay_s, data))
            await waiting.put((0.0, b""))
            await sender
        except OSError:
            pair.cut()
        finally:
            sender.cancel()

    async def _send(
        self, pair: "_Pair", waiting: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await waiting.get()
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            await self._flows.wait()
            if not data:
                with contextlib.suppress(OSError, RuntimeError):
                    writer.write_eof()
                return
            left = self._cut_after
            if left is not None:
                data = data[:left]
                self._cut_after = left - len(data) or None
            self.passed += len(data)
            writer.write(data)
            try:
                await writer.drain()
            except OSError:
                pair.cut()
                return
            if left == len(data):
                pair.cut_soon()
                return

    def close(self) -> None:
        """End all connections, and listen no more."""
        self._loop.run(self._close())
        super().close()

    async def _close(self) -> None:
        self._server.close()
        self._flows.set()
        self._cut()
        for _ in range(4):  # asyncio closes sockets in the next turns
            await asyncio.sleep(0)


class _Pair:
    """The two ends of one connection. `pumps`: tasks, each way one, which end with it, whatever they wait for."""

    def __init__(self, here: asyncio.StreamWriter, there: asyncio.StreamWriter) -> None:
        self._ends = (here, there)
        self.pumps: list[asyncio.Future[None]] = []

    def cut(self) -> None:
        for end in self._ends:
            _reset(end)
        self._end_pumps()

    def cut_soon(self) -> None:
        """Close without RST, which would take from the other side what it has not read yet."""
        for end in self._ends:
            end.transport.close()
        self._end_pumps()

    def _end_pumps(self) -> None:
        for pump in self.pumps:
            pump.cancel()

    def close(self) -> None:
        for end in self._ends:
            end.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket | None = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
