"""A network for client tests: a TCP proxy that cuts, and servers that say exactly what a test wants."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from tests.peers import free_port

CONNACK = b"\x20\x02\x00\x00"
REFUSED = b"\x20\x02\x00\x05"


class Proxy:
    """Forwards to 127.0.0.1:`port`; cuts each connection after a number of bytes, of both ways, drawn from `seed`.

    `cuts`: how many connections are cut; those after them stay. With `seed` None nothing is cut but by `cut()`.
    """

    def __init__(self, port: int, seed: int | None = None, *, cuts: int = 8, longest: int = 2000) -> None:
        self._target = port
        self._random = random.Random(seed)
        self._left = cuts if seed is not None else 0
        self._longest = longest
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self.connections = 0

    async def __aenter__(self) -> "Proxy":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shut()

    async def open(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def shut(self) -> None:
        """Cut everything, take no connection any more."""
        assert self._server is not None
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Cut every connection at once."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        budget = [float("inf")]
        if self._left:
            self._left -= 1
            budget = [self._random.randint(1, self._longest)]
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, there_writer)
        self._writers.update(pair)
        try:
            await asyncio.gather(
                self._pump(reader, there_writer, budget, pair), self._pump(there_reader, writer, budget, pair)
            )
        finally:
            self._writers.difference_update(pair)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        budget: list[float],
        pair: tuple[asyncio.StreamWriter, ...],
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                allowed = data[: int(min(budget[0], len(data)))]
                budget[0] -= len(allowed)
                writer.write(allowed)
                await writer.drain()
                if budget[0] <= 0:
                    break
        for each in pair:  # what was let through still arrives; what was held back never does
            each.close()


class Peer(NamedTuple):
    """The server's end of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def packet(self) -> bytes:
        """The next packet (shorter than 128 bytes); b"" at the end."""
        try:
            head = await self.reader.readexactly(2)
            return head + await self.reader.readexactly(head[1])
        except (asyncio.IncompleteReadError, OSError):
            return b""

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


@contextlib.asynccontextmanager
async def server(script: Callable[[Peer], Awaitable[None]]) -> AsyncIterator[str]:
    """A server that plays `script` on each connection, then closes it; yields its URL. An error in the script fails."""
    port = free_port()
    errors: list[BaseException] = []
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await script(Peer(reader, writer))
        except (asyncio.CancelledError, OSError):
            pass
        except BaseException as error:
            errors.append(error)
        finally:
            tasks.discard(task)
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield f"mqtt://127.0.0.1:{port}"
    finally:
        listener.close()
        for task in tuple(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tuple(tasks))
    assert not errors, errors
