"""The loop of `mqttlite broker`, whose connections have transports of their own: what is true of the broker in the loop
of asyncio holds there, too.
"""

import asyncio
import contextlib
import errno
import inspect
import logging
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mqttlite.broker import Broker, Limits
from mqttlite.broker.connections import acceptor
from mqttlite.broker.connections.acceptor import Acceptor
from mqttlite.broker.connections.broker_loop import new_loop, poll_of
from mqttlite.broker.connections.thin import ThinTransport
from tests.broker import test_server
from tests.broker.connections import test_half_close
from tests.broker.raw import RawClient, port_of

LOCAL = ["mqtt://127.0.0.1:0"]
FIXTURES = {"tmp_path", "caplog", "monkeypatch"}

Test = Callable[..., Coroutine[Any, Any, None]]


def found_in(module: ModuleType) -> list[Any]:
    found = [function for name, function in vars(module).items() if name.startswith("test_")]
    found = [function for function in found if inspect.iscoroutinefunction(function)]
    found = [function for function in found if set(inspect.signature(function).parameters) <= FIXTURES]
    return [pytest.param(function, marks=getattr(function, "pytestmark", [])) for function in found]


def run(test: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(test)


@pytest.mark.parametrize("test", [*found_in(test_server), *found_in(test_half_close)])
def test_what_holds_in_the_loop_of_asyncio_holds_here(
    test: Test, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixtures = {"tmp_path": tmp_path, "caplog": caplog, "monkeypatch": monkeypatch}
    run(test(**{name: fixtures[name] for name in inspect.signature(test).parameters}))


def test_connections_have_the_thin_transport_here() -> None:
    async def test() -> None:
        assert poll_of(asyncio.get_running_loop())
        async with Broker(LOCAL) as broker, RawClient(port_of(broker.addresses[0])) as client:
            await client.connect("c")
            (connection,) = broker.connections
            assert type(connection.transport) is ThinTransport

    run(test())


def test_a_megabyte_to_a_client_that_reads_late_arrives_whole() -> None:
    async def test() -> None:
        async with Broker(LOCAL, Limits(write_buffer_bytes=4 << 20)) as broker:
            port = port_of(broker.addresses[0])
            async with RawClient(port) as late, RawClient(port) as publisher:
                await late.connect("late")
                await late.subscribe("t", 1)
                late.writer.transport.pause_reading()  # type: ignore[attr-defined]
                await publisher.connect("publisher")
                for number in range(20):
                    publisher.publish("t", bytes((number,)) * 60_000, qos=1)
                for _ in range(20):
                    assert (await publisher.packet()).kind == "puback"
                late.writer.transport.resume_reading()  # type: ignore[attr-defined]
                for number in range(20):
                    packet = await late.packet()
                    assert packet.fields["payload"] == bytes((number,)) * 60_000
                    late.send("puback", packet_id=packet.fields["packet_id"])

    run(test())


def test_a_program_may_have_its_sockets_read_by_the_same_loop() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        poll = poll_of(loop)
        assert poll
        ours, theirs = socket.socketpair()
        with ours, theirs:
            for _ in range(2):
                came = loop.create_future()
                loop.add_reader(ours, came.cancel)
                loop.add_writer(ours, lambda: None)
                loop.remove_writer(ours)
                came = loop.create_future()
                loop.add_reader(ours, came.set_result, None)  # in place of the first
                assert poll.get_map()[ours].fd == ours.fileno()  # asyncio asks so, from 3.13 on
                theirs.send(b"x")
                await came
                assert loop.remove_reader(ours)
                assert ours.recv(10) == b"x"
            assert not loop.remove_reader(ours)

    run(test())


class Above:
    """What a transport calls, and how often it has ended."""

    def __init__(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        poll = poll_of(loop)
        assert poll
        self.buffer = memoryview(bytearray(64 * 1024))
        self.ends: list[Exception | None] = []
        self.ended = loop.create_future()
        self.resumed = loop.create_future()
        self.is_aborting = False
        sock.setblocking(False)
        self.transport = ThinTransport(loop, poll, sock, None, self)  # type: ignore[arg-type]

    def connection_made(self, transport: ThinTransport) -> None:
        transport.set_write_buffer_limits(high=1000)

    def buffer_updated(self, size: int) -> None:
        raise AssertionError("nobody writes to it")

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        self.resumed.set_result(None)
        if self.is_aborting:
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.ends.append(error)
        if not self.ended.done():
            self.ended.set_result(None)


async def read_until(done: "asyncio.Future[None]", sock: socket.socket) -> None:
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    while not done.done():
        try:
            await asyncio.wait_for(loop.sock_recv(sock, 1 << 20), 0.1)
        except TimeoutError:
            continue


@pytest.mark.source("another class in the place of Connection")
def test_a_connection_that_is_aborted_as_its_output_leaves_ends_once() -> None:
    async def test() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            above = Above(ours)
            above.is_aborting = True
            above.transport.write(bytes(1 << 20))
            assert above.transport.get_write_buffer_size()
            await read_until(above.ended, theirs)
            await asyncio.sleep(0)
            assert above.ends == [None]

    run(test())


@pytest.mark.source("another class in the place of Connection")
def test_a_client_that_is_gone_when_its_output_has_left_is_lost() -> None:
    class Gone(socket.socket):
        def shutdown(self, how: int) -> None:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    async def test() -> None:
        ours, theirs = socket.socketpair()
        with Gone(fileno=ours.detach()) as gone, theirs:
            above = Above(gone)
            above.transport.write(bytes(1 << 20))
            above.transport.write_eof()
            assert above.transport.get_write_buffer_size()
            await read_until(above.ended, theirs)
            assert [getattr(error, "errno", 0) for error in above.ends] == [errno.ENOTCONN]

    run(test())


def test_whoever_finds_no_file_left_is_let_in_a_second_later(caplog: pytest.LogCaptureFixture) -> None:
    class Full(socket.socket):
        left = 1

        def accept(self) -> Any:
            if self.left:
                self.left -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    async def test() -> None:
        loop = asyncio.get_running_loop()
        poll = poll_of(loop)
        assert poll
        came: asyncio.Future[None] = loop.create_future()
        sock = Full()
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        sock.setblocking(False)

        def let_in(_sock: socket.socket, _name: object) -> None:
            came.set_result(None)
            raise ConnectionError("it has come")

        acceptor = Acceptor(sock, poll, let_in, lambda address: None)
        with socket.create_connection(sock.getsockname()):
            await asyncio.wait_for(came, 10)
        acceptor.close()
        sock.close()

    with caplog.at_level(logging.ERROR):
        run(test())
    assert "nobody can connect for a second: [Errno 24] Too many open files" in caplog.text
    assert "unexpected error" in caplog.text  # what a callback raises ends nothing but this


def test_whoever_was_taken_before_accepting_failed_is_let_in_and_the_next_a_second_later(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "AGAIN_S", 0.01)

    class Forbidden(socket.socket):
        tries = 0

        def accept(self) -> Any:
            self.tries += 1
            if self.tries == 2:
                raise OSError(errno.EPERM, "Operation not permitted")
            return super().accept()

    async def test() -> None:
        poll = poll_of(asyncio.get_running_loop())
        assert poll
        came: asyncio.Queue[socket.socket] = asyncio.Queue()
        with contextlib.ExitStack() as stack:
            sock = stack.enter_context(Forbidden())
            sock.bind(("127.0.0.1", 0))
            sock.listen()
            sock.setblocking(False)
            lets_in = Acceptor(sock, poll, lambda found, name: came.put_nowait(found), lambda address: None)
            for _ in range(2):
                stack.enter_context(socket.create_connection(sock.getsockname()))
                stack.enter_context(await asyncio.wait_for(came.get(), 10))
            lets_in.close()

    with caplog.at_level(logging.ERROR):
        run(test())
    assert [record.message for record in caplog.records] == [
        "nobody can connect for a second: [Errno 1] Operation not permitted"
    ]


# -- who is let in


@contextlib.asynccontextmanager
async def letting_in(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> AsyncIterator[tuple[list[str], list[str]]]:
    """Connections from these addresses have come, one after the other, before anybody was let in. The addresses of
    those that are let in, one in each turn, and of those that are closed.
    """
    monkeypatch.setattr(acceptor, "LET_IN", 1)
    loop = asyncio.get_running_loop()
    poll = poll_of(loop)
    assert poll
    came: list[str] = []
    closed: list[str] = []
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        sock.setblocking(False)

        def let_in(found: socket.socket, name: Any) -> None:
            came.append(name[0])
            found.close()

        for host in hosts:
            stack.enter_context(socket.create_connection(sock.getsockname(), source_address=(host, 0)))
        lets_in = Acceptor(sock, poll, let_in, lambda address: closed.append(address.partition(":")[0]))
        async with asyncio.timeout(10):
            while len(came) + len(closed) < len(hosts):  # noqa: ASYNC110 - a turn of the loop is what it waits for
                await asyncio.sleep(0)
        yield came, closed
        lets_in.close()


def test_of_each_address_one_is_let_in_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    many = ["127.0.0.2"] * 20

    async def test() -> None:
        async with letting_in(monkeypatch, *many, "127.0.0.3", "127.0.0.4", "127.0.0.3") as (came, closed):
            assert came[:5] == ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.2", "127.0.0.3"]
            assert not closed

    run(test())


def test_when_too_many_wait_the_oldest_of_the_address_with_most_of_them_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(acceptor, "WAITING_MAX", 4)

    async def test() -> None:
        async with letting_in(monkeypatch, "127.0.0.3", *["127.0.0.2"] * 9, "127.0.0.4") as (came, closed):
            assert closed == ["127.0.0.2"] * 7
            assert sorted(came) == ["127.0.0.2"] * 2 + ["127.0.0.3", "127.0.0.4"]

    run(test())


async def test_a_flood_that_waits_is_counted_and_named(caplog: pytest.LogCaptureFixture) -> None:
    async with Broker(LOCAL) as broker:
        for _ in range(3):
            broker._crowded("192.0.2.1:4711")
        assert broker.stats.limits["half_open"] == 3
    assert "limit half_open: 192.0.2.1:4711: closed before it was let in" in caplog.text
