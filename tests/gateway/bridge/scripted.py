"""An upstream broker that does what a test says, packet by packet."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from mqttlite.core.codec import REMAINING_MAX
from mqttlite.core.packet_types import CONNACK, CONNECT
from mqttlite.core.parser import Parser

from .world import TIMEOUT_S

ACCEPTED = bytes((CONNACK, 2, 0, 0))
RESUMED = bytes((CONNACK, 2, 1, 0))
ACCEPTED5 = bytes((CONNACK, 3, 0, 0, 0))
RESUMED5 = bytes((CONNACK, 3, 1, 0, 0))


class Peer:
    """One connection of a client to it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._parser = Parser(REMAINING_MAX)
        self.writer = writer

    async def packet(self) -> tuple[int, bytes]:
        """The next packet: first byte and body. EOFError at the end."""
        parser = self._parser
        async with asyncio.timeout(TIMEOUT_S):
            while not (first := parser.next()):
                data = await self._reader.read(65536)
                if not data:
                    raise EOFError
                parser.feed(data)
        return first, bytes(parser.buf[parser.start : parser.end])

    async def accept(self, connack: bytes) -> bytes:
        """CONNECT, which is answered with this; its body."""
        first, body = await self.packet()
        assert first == CONNECT
        self.writer.write(connack)
        return body

    def send(self, *data: bytes) -> None:
        self.writer.write(b"".join(data))

    async def closed(self) -> None:
        """Wait for the end of what the client sends."""
        while True:
            try:
                await self.packet()
            except (EOFError, ConnectionError):
                return


Script = Callable[[Peer], Awaitable[None]]


class Scripted:
    """`async with Scripted(first, second) as upstream: upstream.url`. Each connection runs the next script, and is
    closed when that ends; there is none after the last, whose `done` is set when it has ended.
    """

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self._tasks: set[asyncio.Task[None]] = set()
        self.failures: list[BaseException] = []
        self.done = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"mqtt://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            if self._scripts:
                await self._scripts.pop(0)(Peer(reader, writer))
        except (EOFError, ConnectionError):  # the client has closed it
            pass
        except Exception as error:
            self.failures.append(error)
            self.done.set()
        finally:
            writer.close()
            if not self._scripts:
                self.done.set()

    async def finished(self) -> None:
        """All scripts have ended, and none has failed."""
        async with asyncio.timeout(TIMEOUT_S):
            await self.done.wait()
        if self.failures:
            raise self.failures[0]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if kind is None and self.failures:
            raise self.failures[0]
