"""A proxy between clients and a broker that keeps what goes through it, so that a feature can look at the wire."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

PUBLISH, PUBACK, PUBCOMP = 3, 4, 7


class Tap:
    """`up` and `down`: what each connection has sent and received, in the order in which they were made; `packets`: all
    of them in the order in which they came through.
    """

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self.port = 0
        self.up: list[bytearray] = []
        self.down: list[bytearray] = []
        self._order: list[list[tuple[str, int]]] = []  # of a connection: direction, where it ended
        self._writers: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.refuses = False  # new connections

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Tap"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        number = len(self.up)
        self.up.append(bytearray())
        self.down.append(bytearray())
        self._order.append([])
        try:
            upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._upstream)
            self._writers.append((writer, upstream))
            try:
                await asyncio.gather(
                    self._copy(reader, upstream, self.up[number], self._order[number], "up"),
                    self._copy(upstream_reader, writer, self.down[number], self._order[number], "down"),
                )
            finally:
                upstream.close()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _copy(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        kept: bytearray,
        order: list[tuple[str, int]],
        way: str,
    ) -> None:
        while data := await reader.read(65536):
            kept += data
            order.append((way, len(kept)))
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    def number(self, client_id: str) -> int:
        """The last connection of a client."""
        field = len(client_id).to_bytes(2, "big") + client_id.encode()
        return max(number for number, data in enumerate(self.up) if field in data[:400])

    def cut(self, client_id: str) -> None:
        """End a client's connection for both ends; nobody comes back until `refuses` is False again."""
        self.refuses = True
        for writer in self._writers[self.number(client_id)]:
            writer.transport.abort()

    def packets(self, client_id: str) -> Iterator[tuple[str, int, bytes]]:
        """Of a client's last connection, packet by packet as they were complete: direction, first byte, rest."""
        number = self.number(client_id)
        at = {"up": 0, "down": 0}
        kept = {"up": self.up[number], "down": self.down[number]}
        for way, end in self._order[number]:
            while found := _split(kept[way], at[way], end):
                first, begin, at[way] = found
                yield way, first, bytes(kept[way][begin : at[way]])

    def most_under_way(self, client_id: str, way: str) -> int:
        """How many PUBLISH of QoS 1 and 2 were under way at once, at most, in a direction."""
        now = most = 0
        for direction, first, _ in self.packets(client_id):
            kind = first >> 4
            if direction == way and kind == PUBLISH and first & 6:
                now += 1
                most = max(most, now)
            elif direction != way and kind in (PUBACK, PUBCOMP):
                now -= 1
        return most


def _split(data: bytearray, at: int, end: int) -> tuple[int, int, int] | None:
    """The packet that begins there: first byte, where the rest begins, where it ends."""
    size = shift = 0
    for place in range(at + 1, min(at + 5, end)):
        size |= (data[place] & 127) << shift
        shift += 7
        if not data[place] & 128:
            return (data[at], place + 1, place + 1 + size) if place + 1 + size <= end else None
    return None
