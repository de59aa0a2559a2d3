"""A TCP proxy between a client and its broker that knows where MQTT packets start and end, and cuts there.

A cut drops both connections at once. Of the packet at which it falls nothing, all or some of its bytes have been
delivered. Where the cuts fall follows from the seed and the packets, not from time.
"""

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple, Self

READ_SIZE = 65536
LINGER_0 = struct.pack("ii", 1, 0)  # close() resets the connection


class Cut(NamedTuple):
    """Where a connection is cut."""

    upstream: bool  # counting the packets of the client, not those of the broker
    packet: int  # in that direction; 0 is CONNECT or CONNACK
    part: float  # 0: before it; 1: after it; between: within, after this part of its bytes
    reset: bool  # both ends see a reset instead of an orderly end


class Packets:
    """Cuts a stream of bytes into packets (2.2). The bytes of one that is not complete stay."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        self.rest += data
        while size := _size(self.rest):
            packet, self.rest = self.rest[:size], self.rest[size:]
            yield packet


def _size(data: bytes) -> int:
    """Bytes of the packet that `data` starts with, 0 if it is not complete."""
    length = 0
    for at, byte in enumerate(data[1:5]):
        length |= (byte & 127) << 7 * at
        if byte < 128:
            size = 2 + at + length
            return size if len(data) >= size else 0
    return 0


class Proxy:
    """Listens on a port of its own and forwards to 127.0.0.1:`port`.

    The first `cuts` connections are cut, each within its first `span` packets of one direction. `on_packet`, if set,
    is called before each packet is forwarded, and may kill.
    """

    def __init__(self, port: int, seed: int = 0, *, cuts: int = 0, span: int = 40) -> None:
        self._target = port
        self._random = random.Random(seed)
        self._left = cuts
        self._span = span
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_packet: Callable[[], None] | None = None
        self.port = 0
        self.cuts = 0  # made so far

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _draw(self) -> Cut | None:
        if not self._left:
            return None
        self._left -= 1
        draw = self._random
        part = draw.choice((0.0, 1.0, draw.random(), draw.random()))
        return Cut(draw.random() < 0.5, draw.randrange(self._span), part, draw.random() < 0.5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        finally:
            self._tasks.discard(task)
        self._tasks.add(task)
        writers = (writer, there_writer)
        cut = self._draw()
        ways = [
            asyncio.create_task(self._forward(reader, there_writer, cut if cut and cut.upstream else None)),
            asyncio.create_task(self._forward(there_reader, writer, cut if cut and not cut.upstream else None)),
        ]
        reset = False
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            reset = any(way.result() for way in done)
        finally:
            self._tasks.discard(task)
            for way in ways:
                way.cancel()
            for each in writers:
                if reset:
                    with contextlib.suppress(OSError):  # one that is closed already
                        each.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
                    each.transport.abort()
                else:
                    each.close()  # what was let through still arrives; what was held back never does

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: Cut | None) -> bool:
        """Forward until the stream ends or the cut; whether both ends are to see a reset."""
        packets = Packets()
        count = 0
        try:
            while data := await reader.read(READ_SIZE):
                for packet in packets.feed(data):
                    if self.on_packet:
                        self.on_packet()
                    if writer.is_closing():  # whoever it was for is gone
                        return False
                    if cut and count == cut.packet:
                        writer.write(packet[: _bytes(cut.part, len(packet))])
                        self.cuts += 1
                        return cut.reset
                    writer.write(packet)
                    count += 1
                await writer.drain()
            writer.write(packets.rest)  # what a process that was killed has sent of a packet
        except OSError:
            pass
        return False


def _bytes(part: float, size: int) -> int:
    """How many of `size` bytes pass: none, all, or some but not all."""
    return round(part * size) if part in (0.0, 1.0) else 1 + int(part * (size - 1))
