"""Between a bridge and its upstream: cut in the middle of packets, or mute, while both ends think that all is well."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self


class Wire:
    """Listens on `port`, forwards to 127.0.0.1:`target`. `is_open`: new connections pass."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.is_open = True
        self.cuts = self.connections = 0
        self._budget: int | None = None
        self._pairs: dict[tuple[asyncio.StreamWriter, asyncio.StreamWriter], asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut_after(self, size: int) -> None:
        """The connection that there is, or else the next one, is cut when so many more bytes have passed."""
        self._budget = size

    def cut(self) -> None:
        """Every connection, now."""
        for ends in list(self._pairs):
            for end in ends:
                end.transport.abort()

    def mute(self) -> None:
        """What passes on the connections that there are is thrown away from now on. New ones pass."""
        for is_heard in self._pairs.values():
            is_heard.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # at the end; asyncio 3.11 would print it
            await self._connection(reader, writer)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            if not self.is_open:
                raise ConnectionRefusedError
            there_reader, there = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self.connections += 1
        is_heard = asyncio.Event()
        is_heard.set()
        ends = (writer, there)
        self._pairs[ends] = is_heard
        ways = [
            asyncio.ensure_future(self._pass(reader, there, is_heard)),
            asyncio.ensure_future(self._pass(there_reader, writer, is_heard)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._pairs[ends]
            for way in ways:
                way.cancel()
            for end in ends:
                end.close()  # what was let through still arrives

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_heard: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                if not is_heard.is_set():
                    continue
                if self._budget is not None:
                    data = data[: self._budget]
                    self._budget -= len(data)
                writer.write(data)
                if self._budget == 0:
                    self._budget = None
                    self.cuts += 1
                    return
                await writer.drain()
