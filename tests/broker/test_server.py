"""The shell: addresses, batches, slow clients, the end. Protocol rules are the engine's and tested there."""

import asyncio
import logging
import socket
from pathlib import Path
from typing import Any

import pytest

from mqttlite.broker import Access, Broker, Limits
from mqttlite.broker.listening.listen import ListenError
from tests.broker.raw import TIMEOUT_S, RawClient, port_of
from tests.statements import statement

LOCAL = ["mqtt://127.0.0.1:0"]


async def until(condition: Any) -> None:
    """Let the loop run until `condition()` holds."""
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110  # counters of the broker: nothing announces them
            await asyncio.sleep(0.001)


@statement("3.1.1", "MQTT-7.1.1-1")
async def test_it_serves_tcp_and_unix_sockets_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "mqtt.sock"
    async with Broker([*LOCAL, f"unix://{path}"]) as broker:
        assert broker.addresses[1] == f"unix://{path}"
        async with RawClient(port_of(broker.addresses[0])) as one, RawClient(path) as two:
            await one.connect("one")
            await two.connect("two")
            await two.subscribe("t", 0)
            one.publish("t", b"x")
            assert (await two.packet()).fields["payload"] == b"x"
    assert not path.exists()


async def test_a_broker_that_ended_can_be_started_again_at_once_at_the_same_address() -> None:
    async with Broker(LOCAL) as broker, RawClient(port_of(broker.addresses[0])) as client:
        await client.connect("c")
        address = broker.addresses[0]
    async with Broker([address]) as broker, RawClient(port_of(address)) as client:
        await client.connect("c")


async def test_a_socket_file_that_was_left_behind_is_replaced_but_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "mqtt.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with Broker([f"unix://{path}"]):
        with pytest.raises(ListenError, match="another program listens there"):
            await Broker([f"unix://{path}"]).__aenter__()
    path.write_text("precious")
    with pytest.raises(ListenError, match="is no socket"):
        await Broker([f"unix://{path}"]).__aenter__()
    assert path.read_text() == "precious"


async def test_a_port_in_use_is_reported_with_who_has_it_and_what_to_do() -> None:
    async with Broker(LOCAL) as broker:
        with pytest.raises(ListenError, match=r"is in use( by .* \(process \d+\))?; stop that .*\(--listen, or "):
            await Broker([*LOCAL, broker.addresses[0]]).__aenter__()


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:1", "mqtt://", "127.0.0.1:1883", "mqtt://127.0.0.1:x", "unix://", ""])
async def test_an_address_that_is_none_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ListenError, match=r"mqtt://127\.0\.0\.1:1883|number from 0 to 65535"):
        await Broker([url]).__aenter__()


async def test_it_says_where_it_listens_that_sessions_are_in_memory_and_what_is_open_to_everybody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "mqttlite.broker")
    async with Broker(LOCAL) as broker:
        assert f"listening on {broker.addresses[0]}" in caplog.text
        assert "sessions live in memory: they do not survive a restart" in caplog.text
        assert "everybody" not in caplog.text
    async with Broker(["mqtt://0.0.0.0:0"], access=Access(anonymous=True)):
        assert "can be reached from other machines, and everybody there may connect" in caplog.text


@pytest.mark.source("a method is replaced")
async def test_what_arrives_in_one_read_leaves_in_one_write_for_each_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with (
        Broker(LOCAL) as broker,
        RawClient(port_of(broker.addresses[0])) as one,
        RawClient(port_of(broker.addresses[0])) as two,
    ):
        await one.connect("one")
        await two.connect("two")
        await two.subscribe("t", 1)
        written: list[Any] = []
        (transport,) = {type(connection.transport) for connection in broker.connections}
        write = transport.write

        def writes(self: Any, data: bytes) -> None:
            if self in [connection.transport for connection in broker.connections]:
                written.append(self)
            write(self, data)

        monkeypatch.setattr(transport, "write", writes)
        for number in range(15):
            one.publish("t", b"%d" % number, qos=1)
        await two.messages(15)
        # One read of 15 messages, one write to each of the two; the second may be split off by the kernel.
        assert 2 <= len(written) <= 4


async def test_qos_0_for_a_client_that_does_not_read_is_dropped_and_counted_and_the_rest_arrives() -> None:
    async with (
        Broker(LOCAL, Limits(write_buffer_bytes=10_000)) as broker,
        RawClient(port_of(broker.addresses[0])) as slow,
        RawClient(port_of(broker.addresses[0])) as publisher,
    ):
        await slow.connect("slow")
        await slow.subscribe("t", 0)
        await publisher.connect("p")
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        sent = 0
        while not broker.stats.dropped_slow:
            for _ in range(50):
                publisher.publish("t", bytes(1000))
            sent += 50
            publisher.send("pingreq")
            assert (await publisher.packet()).kind == "pingresp"
        slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
        dropped = broker.stats.dropped_slow
        assert len(await slow.messages(sent - dropped)) == sent - dropped
        publisher.publish("t", b"last")
        assert await slow.messages(1) == [b"last"]


@pytest.mark.parametrize("qos", [1, 2])
async def test_a_publisher_is_held_back_by_a_slow_subscriber_and_nothing_is_lost(qos: int) -> None:
    count = 4000
    async with (
        Broker(LOCAL, Limits(hold_bytes=100_000, hold_ms=60_000)) as broker,
        RawClient(port_of(broker.addresses[0])) as slow,
        RawClient(port_of(broker.addresses[0])) as publisher,
    ):
        await slow.connect("slow")
        await slow.subscribe("t", qos)
        await publisher.connect("p")
        for number in range(count):
            publisher.publish("t", b"%d " % number + bytes(1000), qos=qos)
        sending = asyncio.create_task(publisher.writer.drain())
        await until(lambda: broker.stats.limits["hold_bytes"])
        await until(lambda: any(connection.peer.is_full for connection in broker.connections))
        assert broker.engine.sessions[b"slow"].session.bytes < 100_000 + 2000
        got = await slow.messages(count)
        await sending
        assert [int(payload.split()[0]) for payload in got] == list(range(count))
        assert broker.stats.messages_dropped == 0


async def test_a_client_that_never_reads_does_not_keep_its_closed_connection() -> None:
    async with (
        Broker(LOCAL, Limits(write_buffer_bytes=1_000_000_000, close_ms=100)) as broker,
        RawClient(port_of(broker.addresses[0])) as stuck,
        RawClient(port_of(broker.addresses[0])) as publisher,
    ):
        await stuck.connect("stuck")
        await stuck.subscribe("t", 0)
        await publisher.connect("p")
        stuck.writer.transport.pause_reading()  # type: ignore[attr-defined]
        (connection,) = (c for c in broker.connections if "stuck" in str(c.peer))
        while not connection.transport.get_write_buffer_size():
            publisher.publish("t", bytes(100_000))
            publisher.send("pingreq")
            await publisher.packet()
        stuck.send("disconnect")
        await until(lambda: connection not in broker.connections)


async def test_at_the_end_connections_are_closed_and_no_will_is_published() -> None:
    async with (
        Broker(LOCAL) as broker,
        RawClient(port_of(broker.addresses[0])) as one,
        RawClient(port_of(broker.addresses[0])) as two,
    ):
        await one.connect("one")
        await one.subscribe("#", 0)
        await two.connect("two", will=("gone", b"", 0, False))
        await broker.__aexit__(None, None, None)
        with pytest.raises(EOFError):
            await one.packet()
        await two.closed()
        assert broker.stats.wills == 0
        assert not broker.connections


@pytest.mark.source("replaces a method of Engine by a fault")
async def test_an_error_in_the_engine_while_time_passes_does_not_stop_the_clock(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with Broker(LOCAL) as broker:
        ticks: list[int] = []

        def tick(now: int) -> int:
            ticks.append(now)
            if len(ticks) == 1:
                raise RuntimeError("a fault of ours")
            return 1

        monkeypatch.setattr(broker.engine, "tick", tick)
        await until(lambda: len(ticks) > 2)
        assert "a fault of ours" in caplog.text


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mqtt://127.0.0.1:1883 ", "holds a blank"),
        ("\ufeffmqtt://127.0.0.1", r"'\\ufeffmqtt://127.0.0.1': it holds a blank or another sign that nobody sees"),
        ("mqtt://ann:secret@127.0.0.1:99999", "mqtt://…@…: an address to listen on has no user name"),
        ("mqtt://127.0.0.1:1883?tls=1", "has no options"),
        ("unix:///run/x?mode=600", "has no options"),
        ("mqtts://127.0.0.1:0", "TLS needs a certificate; give it with --cert and --key, or in the file"),
        ("wss://127.0.0.1:0/mqtt", "TLS needs a certificate"),
        ("ssl://127.0.0.1", "write mqtts:// instead"),
        ("http://127.0.0.1", "write ws:// instead"),
        ("mqtts://127.0.0.1/a", "an address looks like"),
        ("mqtt://127.0.0.1/a", "an address looks like"),
        ("mqtt://::1", "the port has to be a number from 0 to 65535, an IPv6 address in brackets"),
    ],
)
async def test_each_mistake_in_an_address_to_listen_on_is_named(url: str, message: str) -> None:
    with pytest.raises(ListenError, match=message) as caught:
        async with Broker([url]):
            pass
    assert "secret" not in str(caught.value)
