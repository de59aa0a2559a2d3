"""A TCP proxy between a client and its broker that knows where MQTT packets start and end, and cuts or stalls there.

A cut drops both connections at once. Of the packet at which it falls nothing, all or some of its bytes have been
delivered. A stall delivers nothing for a while, and everything after it. Where they fall follows from the packets, not
from time.
"""

import asyncio
import contextlib
import random
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Self

READ_SIZE = 65536
LINGER_0 = struct.pack("ii", 1, 0)  # close() resets the connection


class Cut(NamedTuple):
    """Where a connection is cut."""

    upstream: bool  # counting the packets of the client, not those of the broker
    packet: int  # in that direction; 0 is CONNECT or CONNACK
    part: float  # 0: before it; 1: after it; between: within, after this part of its bytes
    reset: bool  # both ends see a reset instead of an orderly end


class Stall(NamedTuple):
    """Where a connection delivers nothing for a while; after that it goes on, if both ends have had the patience."""

    upstream: bool  # as of a cut
    packet: int
    part: float
    seconds: float
    both: bool  # the other direction stalls, too


Fault = Cut | Stall


def draw_cuts(draw: random.Random, count: int, span: int = 40) -> list[Cut]:
    """`count` cuts, each within the first `span` packets of one direction."""
    cuts = []
    for _ in range(count):
        part = draw.choice((0.0, 1.0, draw.random(), draw.random()))
        cuts.append(Cut(draw.random() < 0.5, draw.randrange(span), part, draw.random() < 0.5))
    return cuts


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

    Each connection gets the next of `faults`; after a stall, the one after it, whose packets count from there. One that
    a connection has ended before is for the next.
    What is in `on_packet` is called as f(upstream, packet) before each packet is forwarded, and may kill; what is in
    `on_passed`, in the same way when all of it has been.
    """

    def __init__(self, port: int, faults: Iterable[Fault] = ()) -> None:
        self._target = port
        self._faults = deque(faults)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._links: set[_Link] = set()
        self.on_packet: list[Callable[[bool, bytes], None]] = []
        self.on_passed: list[Callable[[bool, bytes], None]] = []
        self.up = asyncio.Event()  # set while there is a connection on which the broker has answered
        self.port = 0
        self.cuts = 0  # made so far
        self.stalls = 0

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

    def heal(self) -> None:
        """No more faults."""
        self._faults.clear()
        for link in self._links:
            link.fault = None

    def drop(self) -> None:
        """End every connection, in good order, now."""
        for link in self._links:
            link.dropped.set()

    def _next_fault(self) -> Fault | None:
        return self._faults.popleft() if self._faults else None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # by __aexit__; asyncio 3.11 would print it
            await self._connection(reader, writer)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
        link = _Link(self._next_fault())
        self._links.add(link)
        ways = [
            asyncio.create_task(self._forward(reader, there_writer, link, True)),
            asyncio.create_task(self._forward(there_reader, writer, link, False)),
            asyncio.create_task(link.until_dropped()),
        ]
        reset = False
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            reset = any(way.result() for way in done)
        finally:
            self._tasks.discard(task)
            self._links.discard(link)
            if not any(each.answered for each in self._links):
                self.up.clear()
            if link.fault:
                self._faults.appendleft(link.fault)
            for way in ways:
                way.cancel()
            for each in writers:
                if reset:
                    with contextlib.suppress(OSError):  # one that is closed already
                        each.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
                    each.transport.abort()
                else:
                    each.close()  # what was let through still arrives; what was held back never does

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: "_Link", upstream: bool
    ) -> bool:
        """Forward until the stream ends or the cut; whether both ends are to see a reset."""
        packets = Packets()
        try:
            while data := await reader.read(READ_SIZE):
                for packet in packets.feed(data):
                    if not link.flows.is_set():
                        await link.flows.wait()
                    for call in self.on_packet:
                        call(upstream, packet)
                    if writer.is_closing():  # whoever it was for is gone
                        return False
                    if fault := link.fault_at(upstream):
                        size = _bytes(fault.part, len(packet))
                        writer.write(packet[:size])
                        if isinstance(fault, Cut):
                            self.cuts += 1
                            return fault.reset
                        self.stalls += 1
                        await link.stall(fault)
                        writer.write(packet[size:])
                        link.arm(self._next_fault())
                    else:
                        writer.write(packet)
                    if not upstream and not link.answered:
                        link.answered = True
                        self.up.set()
                    for call in self.on_passed:
                        call(upstream, packet)
                await writer.drain()
            writer.write(packets.rest)  # what a process that was killed has sent of a packet
        except OSError:
            pass
        return False


class _Link:
    """A connection through the proxy: its next fault, and how far it is from there."""

    def __init__(self, fault: Fault | None) -> None:
        self.fault = fault
        self.flows = asyncio.Event()  # not set: a stall of both directions
        self.flows.set()
        self.dropped = asyncio.Event()
        self.answered = False  # something has come from the broker
        self._counts = {True: 0, False: 0}  # packets by direction, since the fault was armed

    def arm(self, fault: Fault | None) -> None:
        self.fault = fault
        self._counts = {True: 0, False: 0}

    def fault_at(self, upstream: bool) -> Fault | None:
        """The fault that falls on this packet; it is counted."""
        count = self._counts[upstream]
        self._counts[upstream] += 1
        fault = self.fault
        if fault and fault.upstream == upstream and fault.packet == count:
            self.fault = None
            return fault
        return None

    async def stall(self, stall: Stall) -> None:
        if stall.both:
            self.flows.clear()
        await asyncio.sleep(stall.seconds)
        self.flows.set()

    async def until_dropped(self) -> bool:
        await self.dropped.wait()
        return False


def _bytes(part: float, size: int) -> int:
    """How many of `size` bytes pass: none, all, or some but not all."""
    return round(part * size) if part in (0.0, 1.0) else 1 + int(part * (size - 1))
