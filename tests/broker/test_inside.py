"""A program in the broker's process has a session of its own, and takes messages from it without a socket."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mqttlite.broker import Access, Broker, Limits, Rule, Rules
from mqttlite.broker.inside import Connection, Inside, InsideError, Packets, Taken, end_session, session_of
from mqttlite.broker.limits import QueueRule
from mqttlite.client import Client
from mqttlite.core.packet_types import CONNACK, PUBLISH
from mqttlite.core.wire4 import encode_connect
from tests.broker.raw import TIMEOUT_S, RawClient, port_of
from tests.broker.test_server import until

LOCAL = ["mqtt://127.0.0.1:0"]


async def some(inside: Inside, count: int) -> list[Taken]:
    """So many messages, unacknowledged."""
    async with asyncio.timeout(TIMEOUT_S):
        return [await anext(inside) for _ in range(count)]


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with Broker(LOCAL, store=tmp_path / "broker.db") as broker:
        yield broker


async def test_it_gets_messages_of_every_qos_with_their_properties_and_acknowledges_when_it_is_ready(
    broker: Broker,
) -> None:
    async with (
        Inside(broker, "archive", [("s/#", 2)]) as inside,
        Client(broker.addresses[0], client_id="c", version="5.0") as client,
    ):
        assert inside.is_new
        for qos in (0, 1, 2):
            await client.publish("s/x", b"%d" % qos, qos, expires_after_s=60, user_properties=[("k", "v")])
        taken = await some(inside, 3)
        assert [(each.topic, each.payload, each.qos) for each in taken] == [
            ("s/x", b"0", 0),
            ("s/x", b"1", 1),
            ("s/x", b"2", 2),
        ]
        assert taken[2].user_properties == [("k", "v")]
        assert 58 <= (taken[2].expires_after_s or 0) <= 60
        session = session_of(broker, "archive")
        assert session
        assert session.session.queued == 2
        for each in taken:
            inside.acknowledge(each)
        await until(lambda: session.session.queued == 0)


async def test_what_it_has_not_acknowledged_comes_again_and_says_so_also_after_a_restart(tmp_path: Path) -> None:
    for life in range(2):
        async with Broker(LOCAL, store=tmp_path / "broker.db") as broker:
            async with Inside(broker, "archive", [("#", 2)]) as inside:
                assert inside.is_new == (life == 0)
                if not life:
                    async with RawClient(port_of(broker.addresses[0])) as device:
                        await device.connect("device")
                        device.publish("t", b"x", qos=2, packet_id=7)
                        assert (await device.packet()).kind == "pubrec"
                (taken,) = await some(inside, 1)
                assert (taken.payload, taken.is_repeat) == (b"x", life == 1)
            async with Inside(broker, "archive", [("#", 2)]) as inside:
                (taken,) = await some(inside, 1)
                assert taken.is_repeat


async def test_what_comes_while_it_is_away_waits_in_order(broker: Broker) -> None:
    async with Inside(broker, "archive", [("#", 1)]):
        pass
    async with Client(broker.addresses[0], client_id="c") as client:
        for number in range(300):
            await client.publish("t", b"%d" % number, 1)
        assert await client.drain(TIMEOUT_S)
    async with Inside(broker, "archive", [("#", 1)], window=50) as inside:
        found = []
        for _ in range(300):
            (taken,) = await some(inside, 1)
            found.append(int(taken.payload))
            inside.acknowledge(taken)
        assert found == list(range(300))


async def test_no_more_are_given_than_the_window_has(broker: Broker) -> None:
    async with Inside(broker, "archive", [("#", 1)], window=30) as inside:
        async with Client(broker.addresses[0], client_id="c") as client:
            for number in range(40):
                await client.publish("t", b"%d" % number, 1)
            assert await client.drain(TIMEOUT_S)
        taken = await some(inside, 30)
        assert not inside.waiting
        inside.acknowledge(taken[0])
        assert [each.payload for each in await some(inside, 1)] == [b"30"]


async def test_a_program_that_holds_is_not_writable_and_gets_no_qos_0_until_it_resumes() -> None:
    packets: Packets = []
    async with Broker(LOCAL, Limits(write_buffer_bytes=1000)) as broker:
        connection = Connection(broker, packets.extend, lambda why: None)
        connection.connect("archive")
        await until(lambda: packets)
        assert packets.pop(0)[0] == CONNACK
        broker.engine.router.subscribe(session_of(broker, "archive"), b"#", 0)  # type: ignore[arg-type]
        connection.hold()
        async with Client(broker.addresses[0], client_id="c") as client:
            for _ in range(20):
                await client.publish("t", bytes(100))
                await client.publish("t", b"", 1)  # its PUBACK says that the one before has been dealt with
            assert await client.drain(TIMEOUT_S)
            assert broker.stats.dropped_slow
            assert not packets
            connection.resume()
            await until(lambda: len(packets) + broker.stats.dropped_slow == 40)
            assert all(first & 0xF0 == PUBLISH for first, _ in packets)
            await client.publish("t", b"last")
            await until(lambda: packets[-1][1].endswith(b"last"))
        connection.close()


async def test_its_identifiers_are_refused_to_clients_from_outside(broker: Broker) -> None:
    async with RawClient(port_of(broker.addresses[0])) as client:
        client.writer.write(encode_connect(b"$bridge/archive", True, 0))
        connack = await client.packet()
        assert (connack.kind, connack.fields["code"]) == ("connack", 2)
    assert not broker.engine.sessions


async def test_it_may_everything_whatever_the_rules_are() -> None:
    rules = Rules([Rule("open/#", frozenset(("publish", "subscribe", "receive")))])
    async with (
        Broker(LOCAL, access=Access(rules=rules, anonymous=True)) as broker,
        Inside(broker, "one", [("secret/#", 1)]) as inside,
        Inside(broker, "two", [("none", 1)]) as other,
    ):
        assert other._connection
        other._connection.send(b"\x32\x10\0\x08secret/x\0\x01\0xyz")
        (taken,) = await some(inside, 1)
        assert taken.topic == "secret/x"
        broker.set_access(Access(rules=Rules(), anonymous=False))
        other._connection.send(b"\x32\x10\0\x08secret/y\0\x02\0xyz")
        (taken,) = await some(inside, 1)
        assert taken.topic == "secret/y"


async def test_it_stays_without_expiring_and_without_making_room_for_others(tmp_path: Path) -> None:
    limits = Limits(session_expiry_ms=1, persistent_sessions=1, queues=(QueueRule("$bridge/*", "refuse"),))
    async with Broker(LOCAL, limits, tmp_path / "broker.db") as broker:
        async with Inside(broker, "archive", [("#", 1)]):
            pass
        await until(lambda: (session := session_of(broker, "archive")) and session.peer is None)
        broker.engine.tick(broker.engine.router.now + 10_000_000)
        async with RawClient(port_of(broker.addresses[0])) as client:
            client.writer.write(encode_connect(b"c", False, 0))
            assert (await client.packet()).fields["code"] == 3
        session = session_of(broker, "archive")
        assert session
        assert session.when_full == "refuse"
        assert end_session(broker, "archive")
        assert not broker.engine.sessions
        assert not end_session(broker, "archive")


async def test_its_subscriptions_are_those_that_it_names_and_nothing_is_written_when_they_are_the_same(
    broker: Broker,
) -> None:
    assert broker.store
    async with Inside(broker, "archive", [("a/#", 1), ("b/#", 2)]):
        pass
    async with Inside(broker, "archive", [("a/#", 1), ("c", 9)]):
        session = session_of(broker, "archive")
        assert session
        assert session.subscriptions == {b"a/#": 1, b"c": 9}
    await until(lambda: not broker.connections)
    broker.store.commit_now()
    written = broker.engine.router.work
    async with Inside(broker, "archive", [("a/#", 1), ("c", 9)]) as inside:
        assert not inside.is_new
        assert broker.engine.router.work == written


async def test_it_is_told_when_the_broker_ends_the_connection(broker: Broker) -> None:
    async with Inside(broker, "archive", [("#", 1)]) as first, Inside(broker, "archive", [("#", 1)]) as second:
        with pytest.raises(InsideError, match="archive: taken over"):
            await some(first, 1)
        end_session(broker, "archive")
        with pytest.raises(InsideError, match="its program has ended it"):
            await some(second, 1)


async def test_what_it_sends_while_the_engine_does_not_read_waits_in_order() -> None:
    async with Broker(LOCAL, Limits(turn_work=10)) as broker, Inside(broker, "reader", [("t", 1)]) as reader:
        ended: list[str] = []
        connection = Connection(broker, lambda packets: None, ended.append)
        connection.connect("writer")
        sent = 0
        while sent < 500:  # more than a turn has
            number = b"%06d" % sent
            connection.send(b"\x32\x0c\0\x01t" + (sent + 1).to_bytes(2, "big") + b"\0" + number)
            sent += 1
            if sent % 100 == 0:
                await asyncio.sleep(0)
        async with asyncio.timeout(TIMEOUT_S):
            await connection.has_room()
        found = []
        for _ in range(500):
            (taken,) = await some(reader, 1)
            reader.acknowledge(taken)
            found.append(int(taken.payload))
        assert found == list(range(500))
        connection.close()
        await until(lambda: ended)
        assert ended == ["disconnected"]
