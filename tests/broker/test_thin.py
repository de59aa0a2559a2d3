"""The loop of `mqttlite broker`, whose connections have transports of their own: what is true of the broker in the loop
of asyncio holds there, too.
"""

import asyncio
import errno
import inspect
import logging
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mqttlite.broker import Broker, Limits
from mqttlite.broker.poll import new_loop, poll_of
from mqttlite.broker.thin import Acceptor, ThinTransport
from tests.broker import test_half_close, test_server
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

        def make() -> Any:
            came.set_result(None)
            raise ConnectionError("it has come")

        acceptor = Acceptor(sock, poll, make)
        with socket.create_connection(sock.getsockname()):
            await asyncio.wait_for(came, 10)
        acceptor.close()
        sock.close()

    with caplog.at_level(logging.ERROR):
        run(test())
    assert "nobody can connect for a second: [Errno 24] Too many open files" in caplog.text
    assert "unexpected error" in caplog.text  # what a callback raises ends nothing but this
