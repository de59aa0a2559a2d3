"""The forwarder between a line and a broker that does exactly what a test wants: races, back-pressure, credit."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from mqttlite.cli.demo.pty_line import NoisyLine
from mqttlite.link import Link, Stream
from mqttlite.link.stream import UPSTREAM_BACK, UPSTREAM_CLOSED, UPSTREAM_UNREACHABLE
from mqttlite.serial.line import Line
from mqttlite.serial.ports import open_port
from mqttlite_gateway.config import SerialPort
from mqttlite_gateway.lines import forward
from mqttlite_gateway.lines.forward import ATTEMPT_EVERY_S, ATTEMPTS
from mqttlite_gateway.lines.line import RECEIVE_WINDOW, SEND_BUFFER, GatewayLine
from mqttlite_gateway.lines.upstream import READ_SIZE, Streams
from tests.gateway.world import BAUD, WINDOW

SMALL = 4096  # bytes asked for as buffer of a socket; the kernel has its own idea, but no more than
CONNACK = b"\x20\x02\0\0"  # without which nobody is a broker
MUCH = 60_000  # which is more than every buffer on the way together


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The brokers of these tests do not close by themselves."""
    monkeypatch.setattr(forward, "ENDING_S", 0.05)


async def happens(condition: Callable[[], bool]) -> None:
    """Wait for what no event tells."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


class Device:
    """The device's end, without MQTT: `events` as they come; `got` is what has arrived."""

    def __init__(self) -> None:
        self.stream = Stream(Link(7, device_id=b"device", baud=BAUD, window=WINDOW))
        self.events: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self.got = bytearray()
        self.consuming = True
        self.writable = asyncio.Event()
        self._news = asyncio.Event()
        self.stream.on_link_up = lambda peer: self.events.put_nowait(("up", 0))
        self.stream.on_opened = lambda: self.events.put_nowait(("opened", self.stream.n))
        self.stream.on_close = lambda reason: self.events.put_nowait(("closed", reason))
        self.stream.on_notice = lambda reason: self.events.put_nowait(("notice", reason))
        self.stream.on_data = self._data
        self.stream.on_writable = self.writable.set

    def _data(self, data: bytes | memoryview) -> None:
        self.got += data
        if self.consuming:
            self.stream.consumed(len(data))
        if self.got.startswith(CONNACK):
            del self.got[: len(CONNACK)]
        self._news.set()

    async def send(self, data: bytes) -> None:
        while data:
            self.writable.clear()
            data = data[self.stream.send(data) :]
            if data:
                await self.writable.wait()

    async def open(self) -> None:
        assert self.stream.open()
        assert await self.events.get() == ("opened", self.stream.n)

    async def arrived(self, size: int) -> None:
        while len(self.got) < size:
            self._news.clear()
            await self._news.wait()


class Broker:
    """Connections as the gateway asks for them; `hold` keeps it waiting, `there` False refuses it."""

    def __init__(self) -> None:
        self.accepted: asyncio.Queue[Streams] = asyncio.Queue()
        self.asked = asyncio.Event()
        self.given_up = asyncio.Event()
        self.greeting = CONNACK
        self.hold = False
        self.there = True
        self.port = 0
        self.writers: list[asyncio.StreamWriter] = []  # of both ends

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        writer.write(self.greeting)
        await self.accepted.put((reader, writer))

    async def connect(self) -> Streams:
        self.asked.set()
        if self.hold:
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up.set()
        if not self.there:
            raise ConnectionRefusedError("refused")
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=READ_SIZE)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        self.writers.append(writer)
        return reader, writer

    async def look(self) -> None:
        _, writer = await self.connect()
        writer.close()

    def explain(self, error: Exception) -> str:
        return str(error)

    def explain_first(self, begin: bytes, waited_s: float | None = None) -> str:
        return f"no broker: {begin!r}, {waited_s}"

    async def end(self) -> None:
        for writer in self.writers:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def joined() -> AsyncIterator[tuple[Device, Broker, GatewayLine]]:
    """A device whose link is up, a broker, and the gateway's line between them, on ptys without noise."""
    device, broker = Device(), Broker()
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    server = await asyncio.start_server(broker.serve, sock=listening)
    broker.port = server.sockets[0].getsockname()[1]
    async with NoisyLine(BAUD) as line:
        box = GatewayLine(SerialPort(line.a_path, BAUD, window=WINDOW), broker)
        port = open_port(line.b_path, BAUD)
        tasks = [asyncio.create_task(box.run()), asyncio.create_task(Line(device.stream.link, port, BAUD).run())]
        try:
            assert await device.events.get() == ("up", 0)
            yield device, broker, box
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            server.close()
            await broker.end()


async def test_bytes_go_both_ways_and_a_close_goes_up_behind_them() -> None:
    async with joined() as (device, broker, box):
        await device.open()
        reader, writer = await broker.accepted.get()
        await device.send(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.write(b"world")
        await device.arrived(5)
        await device.send(b"bye")
        device.stream.close()
        assert await reader.read() == b"bye"
        assert (box.forwarder.up_bytes, box.forwarder.down_bytes) == (8, 5 + len(CONNACK))
        writer.close()


async def test_a_broker_that_closes_delivers_first_what_it_had_sent() -> None:
    async with joined() as (device, broker, _):
        await device.open()
        _, writer = await broker.accepted.get()
        writer.write(bytes(50_000))
        writer.close()
        assert await device.events.get() == ("closed", UPSTREAM_CLOSED)
        assert len(device.got) == 50_000


async def test_a_device_that_gives_up_during_the_attempt_ends_it() -> None:
    async with joined() as (device, broker, box):
        broker.hold = True
        device.stream.open()
        await broker.asked.wait()
        device.stream.close()
        await broker.given_up.wait()
        broker.hold = False
        await device.open()
        await broker.accepted.get()
        assert (box.forwarder.connections, box.forwarder.refused) == (1, 0)


async def test_a_device_that_asks_again_during_the_attempt_gets_one_connection() -> None:
    async with joined() as (device, broker, box):
        broker.hold = True
        device.stream.open()
        await broker.asked.wait()
        broker.hold = False
        device.stream.close()
        await device.open()
        reader, _ = await broker.accepted.get()
        await device.send(b"second")
        assert await reader.readexactly(6) == b"second"
        assert broker.accepted.empty()
        assert box.forwarder.connections == 1


async def test_a_device_that_is_reset_ends_its_connection_and_gets_another() -> None:
    async with joined() as (device, broker, _):
        await device.open()
        reader, _ = await broker.accepted.get()
        device.stream.link.reset(device.stream.link.now)
        assert await reader.read() == b""
        while await device.events.get() != ("up", 0):
            pass
        await device.open()
        await broker.accepted.get()


async def test_a_slow_broker_holds_the_device_back_and_gets_everything() -> None:
    async with joined() as (device, broker, box):
        await device.open()
        reader, writer = await broker.accepted.get()
        writer.transport.pause_reading()
        sending = asyncio.create_task(device.send(bytes(MUCH)))
        await happens(device.stream.link._sender.blocked)
        assert box.forwarder.up_bytes < MUCH
        writer.transport.resume_reading()
        await reader.readexactly(MUCH)
        await sending


async def test_credit_is_not_lost_when_a_connection_ends_while_the_broker_is_slow() -> None:
    async with joined() as (device, broker, box):
        for _ in range(3):
            await device.open()
            _, writer = await broker.accepted.get()
            writer.transport.pause_reading()
            sending = asyncio.create_task(device.send(bytes(MUCH)))
            await happens(device.stream.link._sender.blocked)
            sending.cancel()
            writer.transport.abort()
            assert await device.events.get() == ("closed", UPSTREAM_CLOSED)
        await happens(lambda: broker.accepted.qsize() > 0)  # the gateway looks whether the broker is there
        await broker.accepted.get()
        await device.open()
        reader, _ = await broker.accepted.get()
        await device.send(bytes(RECEIVE_WINDOW * 3))
        await reader.readexactly(RECEIVE_WINDOW * 3)
        assert box.forwarder.connections == 4


async def test_a_device_that_takes_nothing_stops_the_broker_after_a_bounded_number_of_bytes() -> None:
    async with joined() as (device, broker, box):
        await device.open()
        _, writer = await broker.accepted.get()
        device.consuming = False
        writer.write(bytes(MUCH))
        await happens(box.link._sender.blocked)
        assert box.forwarder.down_bytes <= len(CONNACK) + len(device.got) + SEND_BUFFER + READ_SIZE
        device.consuming = True
        device.stream.consumed(len(CONNACK) + len(device.got))
        await device.arrived(MUCH)


async def test_a_device_that_was_refused_is_told_when_the_broker_is_back() -> None:
    async with joined() as (device, broker, box):
        broker.there = False
        device.stream.open()
        assert await device.events.get() == ("closed", UPSTREAM_UNREACHABLE)
        broker.there = True
        assert await device.events.get() == ("notice", UPSTREAM_BACK)
        await device.open()
        assert (box.forwarder.connections, box.forwarder.refused) == (1, 1)


async def test_a_broker_that_was_there_all_the_time_is_not_called_back() -> None:
    async with joined() as (device, broker, box):
        for _ in range(2):
            await device.open()
            _, writer = await broker.accepted.get()
            writer.close()
            assert await device.events.get() == ("closed", UPSTREAM_CLOSED)
        await broker.accepted.get()  # the gateway looks
        assert box.forwarder._probe
        await box.forwarder._probe
        await device.open()  # after it the notice would have come
        assert device.events.empty()


async def test_a_gateway_that_ends_closes_its_connections() -> None:
    async with joined() as (device, broker, _):
        await device.open()
        reader, _ = await broker.accepted.get()
    assert await reader.read() == b""


async def test_what_the_device_said_last_arrives_though_it_has_not_read_what_the_broker_sent() -> None:
    """Bytes that nobody has read make a close a reset, under which a broker may lose a DISCONNECT."""
    async with joined() as (device, broker, box):
        await device.open()
        reader, writer = await broker.accepted.get()
        device.consuming = False
        writer.write(bytes(100 * MUCH))
        await happens(box.link._sender.blocked)
        await device.send(b"\xe0\0")
        device.stream.close()
        assert await reader.read() == b"\xe0\0"  # and then the end, in good order


async def test_what_is_no_broker_is_kept_from_the_device() -> None:
    async with joined() as (device, broker, box):
        broker.greeting = b""
        await device.open()
        _, writer = await broker.accepted.get()
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert await device.events.get() == ("closed", UPSTREAM_UNREACHABLE)
        assert (bytes(device.got), box.forwarder.down_bytes) == (b"", 0)
        assert box.forwarder.problem.startswith("no broker: b'HTTP/1.1")


async def test_a_broker_that_never_closes_is_given_up_when_the_gateway_ends() -> None:
    async with joined() as (device, broker, box):
        await device.open()
        reader, _ = await broker.accepted.get()
        device.stream.close()
        assert await reader.read() == b""
    assert not box.forwarder._finishing


async def test_a_device_that_asks_without_end_gets_no_more_connections_than_its_share() -> None:
    async with joined() as (device, broker, box):
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for _ in range(ATTEMPTS + 3):
            await device.open()
            reader, writer = await broker.accepted.get()
            device.stream.close()
            assert await reader.read() == b""
            writer.close()
        assert loop.time() - begun >= 2 * ATTEMPT_EVERY_S
        assert box.forwarder.connections == ATTEMPTS + 3
