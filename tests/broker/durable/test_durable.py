"""A broker with a store: what it has acknowledged survives, and nothing is acknowledged before it is on the disk."""

import asyncio
import contextlib
import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mqttlite.broker import Broker, Limits
from mqttlite.broker.clients.broker_store import BrokerStore
from mqttlite.broker.connections import commit_gate
from mqttlite.broker.limits import QueueRule
from mqttlite.store.base import StoreError
from mqttlite.store.tables.broker_tables import BrokerTables
from mqttlite.store.tables.sqlite_schema import migrate
from tests.broker.raw import TIMEOUT_S, RawClient, port_of
from tests.broker.test_command import started
from tests.broker.test_server import until
from tests.core.packets import Packet
from tests.peers import end
from tests.statements import statement

LISTEN = ["mqtt://127.0.0.1:0"]


@contextlib.asynccontextmanager
async def running(store: "BrokerStore | Path", **limits: int) -> AsyncIterator[int]:
    async with asyncio.timeout(TIMEOUT_S), Broker(LISTEN, Limits(**limits), store) as broker:
        yield port_of(broker.addresses[0])


@contextlib.asynccontextmanager
async def client(port: int, name: str, present: bool = False, clean: bool = False) -> AsyncIterator[RawClient]:
    async with RawClient(port) as raw:
        await raw.connect(name, clean, present)
        yield raw


class Held(BrokerStore):
    """A store whose commits take until `gate` is opened."""

    def __init__(self, path: Path) -> None:
        BrokerStore.__init__(self, path)
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = asyncio.Event()

    async def commit(self) -> None:
        self.waiting.set()
        await self.gate.wait()
        await BrokerStore.commit(self)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "broker.db"


# -- what survives


@statement("3.1.1", "MQTT-3.1.2-5", "MQTT-4.4.0-1")
@pytest.mark.parametrize("qos", [1, 2])
async def test_what_is_queued_for_a_session_survives_a_restart(path: Path, qos: int) -> None:
    async with running(path) as port:
        async with client(port, "s") as subscriber:
            await subscriber.subscribe("t/#", qos)
        async with client(port, "p") as publisher:
            for number in range(30):
                publisher.publish("t/x", b"%d" % number, qos)
                acknowledgement = await publisher.packet()
                assert acknowledgement.kind == ("puback" if qos == 1 else "pubrec")
    async with running(path) as port, client(port, "s", present=True) as subscriber:
        assert await subscriber.messages(30) == [b"%d" % number for number in range(30)]
    async with (  # and what was acknowledged is gone
        running(path) as port,
        client(port, "s", present=True) as subscriber,
        client(port, "p", present=True) as publisher,
    ):
        publisher.publish("t/x", b"new", 0)
        assert await subscriber.messages(1) == [b"new"]


@statement("3.1.1", "MQTT-4.3.3-2")
async def test_a_received_identifier_is_recognised_after_a_restart_and_its_message_goes_on_once(path: Path) -> None:
    async with running(path) as port:
        async with client(port, "s") as subscriber:
            await subscriber.subscribe("t", 2)
        async with client(port, "p") as publisher:
            publisher.publish("t", b"once", 2, 7)
            assert await publisher.packet() == ("pubrec", {"packet_id": 7})
    async with running(path) as port:
        async with client(port, "p", present=True) as publisher:
            publisher.publish("t", b"once", 2, 7, dup=True)
            assert await publisher.packet() == ("pubrec", {"packet_id": 7})
            publisher.send("pubrel", packet_id=7)
            assert await publisher.packet() == ("pubcomp", {"packet_id": 7})
            publisher.publish("t", b"another", 2, 7)  # the identifier is free again
            assert await publisher.packet() == ("pubrec", {"packet_id": 7})
        async with client(port, "s", present=True) as subscriber:
            assert await subscriber.messages(2) == [b"once", b"another"]


async def test_a_publisher_without_memory_uses_an_identifier_again_and_nothing_is_swallowed_or_doubled(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(path) as port:
        async with client(port, "s") as subscriber:
            await subscriber.subscribe("t", 2)
        async with client(port, "p") as publisher:
            publisher.publish("t", b"one", 2, 7)
            assert await publisher.packet() == ("pubrec", {"packet_id": 7})
    async with running(path) as port:
        for payload in (b"two", b"two", b"three"):  # the second is a repeat without DUP
            async with client(port, "p", present=True) as publisher:
                publisher.publish("t", payload, 2, 7)
                assert await publisher.packet() == ("pubrec", {"packet_id": 7})
    async with running(path) as port:
        async with client(port, "p", present=True) as publisher:
            publisher.publish("t", b"four", 2, 7, dup=True)  # a repeat, as the standard wants it, of what is lost
            assert await publisher.packet() == ("pubrec", {"packet_id": 7})
            assert "packet identifier 7 came with another message, and with DUP" in caplog.text
            publisher.send("pubrel", packet_id=7)
            assert await publisher.packet() == ("pubcomp", {"packet_id": 7})
            publisher.publish("t", b"five", 2, 7)
            assert await publisher.packet() == ("pubrec", {"packet_id": 7})
        async with client(port, "s", present=True) as subscriber:
            assert await subscriber.messages(4) == [b"one", b"two", b"three", b"five"]


def test_a_store_of_the_schema_before_keeps_its_identifiers_and_cannot_tell_contents_apart(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        before = BrokerTables()
        before.migrations = before.migrations[:1]
        migrate(connection, str(path), before)
        connection.execute("INSERT INTO session VALUES (3, x'70', 0)")
        connection.execute("INSERT INTO inbound VALUES (?)", (3 << 16 | 7,))
        migrate(connection, str(path), BrokerTables())
        state = BrokerTables().load(connection)
        assert state.sessions[b"p"][1].held == {7: 0}
        assert state.times[3].heard == 1, "its client knows of it, as far as anybody can tell"


async def test_a_released_message_goes_on_with_pubrel_and_its_identifier_after_a_restart(path: Path) -> None:
    async with running(path) as port, client(port, "s") as subscriber, client(port, "p", clean=True) as publisher:
        await subscriber.subscribe("t", 2)
        publisher.publish("t", b"x", 2)
        publish = await subscriber.packet()
        subscriber.acknowledge(publish)
        assert await subscriber.packet() == ("pubrel", {"packet_id": publish.fields["packet_id"]})
    async with running(path) as port, client(port, "s", present=True) as subscriber:
        assert await subscriber.packet() == ("pubrel", {"packet_id": publish.fields["packet_id"]})


async def test_retained_messages_survive_and_removed_ones_stay_away(path: Path) -> None:
    async with running(path) as port, client(port, "p", clean=True) as publisher:
        for topic in ("a", "b", "c"):
            publisher.publish(topic, b"old", 1, retain=True)
        publisher.publish("b", b"", 1, retain=True)
        publisher.publish("c", b"new", 1, retain=True)
        for _ in range(5):
            await publisher.packet()
    async with running(path) as port, client(port, "s") as subscriber:
        await subscriber.subscribe("#", 1)
        assert await subscriber.messages(2) == [b"old", b"new"]


async def test_an_ended_session_does_not_come_back_and_a_clean_one_is_never_stored(path: Path) -> None:
    async with running(path) as port:
        async with client(port, "s") as subscriber:
            await subscriber.subscribe("t", 1)
        async with client(port, "s", clean=True) as subscriber:  # ends the one before [MQTT-3.1.2-6]
            await subscriber.subscribe("t", 1)
        async with client(port, "p", clean=True) as publisher:
            publisher.publish("t", b"x", 1)
            await publisher.packet()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for table in ("session", "subscription", "block", "mark", "content", "inbound"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    async with running(path) as port, client(port, "s"):
        pass


async def test_no_subscription_is_granted_twice_over_and_ended_ones_stay_ended(path: Path) -> None:
    async with running(path) as port, client(port, "s") as subscriber:
        await subscriber.subscribe("a", 1)
        await subscriber.subscribe("b", 1)
        await subscriber.subscribe("b", 2)
        subscriber.send("unsubscribe", packet_id=99, topic_filters=["a"])
        assert (await subscriber.packet()).kind == "unsuback"
    async with (
        running(path) as port,
        client(port, "s", present=True) as subscriber,
        client(port, "p", clean=True) as publisher,
    ):
        publisher.publish("a", b"not this", 2)
        publisher.publish("b", b"this", 2)
        assert await subscriber.messages(1) == [b"this"]


async def test_what_was_acknowledged_survives_kill_9(path: Path) -> None:
    process, port = await started("--listen", LISTEN[0], "--store", str(path))
    try:
        async with client(port, "s") as subscriber:
            await subscriber.subscribe("t", 1)
        async with client(port, "p") as publisher:
            for number in range(300):
                publisher.publish("t", b"%d" % number, 1)
            for _ in range(200):
                await publisher.packet()
            process.send_signal(signal.SIGKILL)  # in the middle of the rest
            await process.wait()
    finally:
        await end(process)
    process, port = await started("--listen", LISTEN[0], "--store", str(path))
    try:
        async with client(port, "s", present=True) as subscriber:
            assert await subscriber.messages(200) == [b"%d" % number for number in range(200)]
    finally:
        await end(process)


# -- nothing leaves before it is durable


async def test_no_acknowledgement_and_no_message_leaves_before_the_commit(path: Path) -> None:
    store = Held(path)
    async with running(store) as port, client(port, "s") as subscriber, client(port, "p") as publisher:
        await subscriber.subscribe("t", 2)
        waiting: list[asyncio.Task[Packet]] = []

        async def held(*packets: tuple[RawClient, str, dict[str, Any]]) -> None:
            store.gate.clear()
            store.waiting.clear()
            for raw, kind, fields in packets:
                raw.send(kind, **fields)
            await store.waiting.wait()
            waiting[:] = [asyncio.ensure_future(raw.packet()) for raw in (subscriber, publisher)]
            await asyncio.sleep(0.01)
            assert not any(task.done() for task in waiting)
            store.gate.set()

        message = {"topic": "t", "payload": b"x", "qos": 2, "packet_id": 5, "retain": False, "dup": False}
        await held((publisher, "publish", message))
        publish, pubrec = [await task for task in waiting]
        assert (publish.kind, pubrec.kind) == ("publish", "pubrec")
        number = publish.fields["packet_id"]
        await held((subscriber, "pubrec", {"packet_id": number}), (publisher, "pubrel", {"packet_id": 5}))
        assert [(await task).kind for task in waiting] == ["pubrel", "pubcomp"]
        store.gate.clear()
        store.waiting.clear()
        subscriber.send("pubcomp", packet_id=number)  # nothing depends on the end of a message
        publisher.send("pingreq")
        assert (await publisher.packet()).kind == "pingresp"
        assert not store.waiting.is_set()
        store.gate.set()


@pytest.mark.parametrize("clean", [True, False])
async def test_pubcomp_waits_for_a_commit_of_others_only_where_its_session_is_stored(path: Path, clean: bool) -> None:
    store = Held(path)
    async with running(store) as port, client(port, "s") as subscriber, client(port, "p", clean=clean) as publisher:
        await subscriber.subscribe("t", 2)
        async with client(port, "q") as other:
            publisher.publish("t", b"x", 2)
            pubrec = await publisher.packet()
            store.gate.clear()
            store.waiting.clear()
            other.publish("t", b"y", 1)
            await store.waiting.wait()
            publisher.send("pubrel", packet_id=pubrec.fields["packet_id"])
            waiting = asyncio.ensure_future(publisher.packet())
            if clean:
                assert (await waiting).kind == "pubcomp"
                publisher.publish("t", b"z", 2)  # what comes behind it waits, and so does PUBCOMP behind that
                publisher.send("pubrel", packet_id=9)
                waiting = asyncio.ensure_future(publisher.packet())
            await asyncio.sleep(0.01)
            assert not waiting.done()
            store.gate.set()
            assert (await waiting).kind == ("pubrec" if clean else "pubcomp")
            assert (await other.packet()).kind == "puback"


async def test_a_subscription_is_durable_before_suback_and_its_session_before_connack_says_that_it_is_there(
    path: Path,
) -> None:
    store = Held(path)
    async with running(store) as port, client(port, "s") as subscriber:
        store.gate.clear()
        store.waiting.clear()
        subscriber.send("subscribe", packet_id=1, subscriptions=[("t", 1)])
        await store.waiting.wait()
        async with RawClient(port) as again:
            again.send(
                "connect", client_id="s", clean_session=False, keep_alive_s=0, username=None, password=None, will=None
            )
            connack = asyncio.ensure_future(again.packet())
            await asyncio.sleep(0.01)
            assert not connack.done()
            store.gate.set()
            assert await connack == ("connack", {"session_present": True, "code": 0})


async def test_a_store_that_fails_closes_every_connection_and_claims_nothing(path: Path) -> None:
    store = Held(path)
    async with asyncio.timeout(TIMEOUT_S), Broker(LISTEN, None, store) as broker:
        port = port_of(broker.addresses[0])
        async with client(port, "s") as subscriber, client(port, "p") as publisher:
            await subscriber.subscribe("t", 1)
            store.gate.clear()
            publisher.publish("t", b"x", 1)
            await store.waiting.wait()
            store._failure = "the disk is gone"
            store.gate.set()
            await subscriber.closed()
            with pytest.raises((EOFError, ConnectionError)):
                await publisher.packet()
        assert "the disk is gone" in str(await broker.failed)


async def test_a_full_store_holds_publishers_back_and_what_it_has_taken_is_delivered(path: Path) -> None:
    store = BrokerStore(path, size_max=256 * 1024)
    async with running(store, queue_bytes=1 << 30) as port:
        async with client(port, "s") as subscriber:
            await subscriber.subscribe("t", 1)
        async with client(port, "p") as publisher:
            taken = 0
            while await is_taken(publisher, b"%d" % taken + bytes(4000)):
                taken += 1
            assert taken > 5
            publisher.publish("t", b"behind it", 1)
            async with client(port, "s", present=True) as subscriber:
                got = [int(payload.rstrip(b"\0")) for payload in await subscriber.messages(taken + 1)]
                assert got == list(range(taken + 1))  # what is delivered makes room for what has waited
                assert await subscriber.messages(1) == [b"behind it"]
            assert [(await publisher.packet()).kind for _ in range(2)] == ["puback", "puback"]


async def is_taken(publisher: RawClient, payload: bytes) -> bool:
    """Whether a message is acknowledged before a PINGREQ behind it is answered; else it is held back."""
    publisher.publish("t", payload, 1)
    publisher.send("pingreq")
    if (await publisher.packet()).kind == "pingresp":
        return False
    assert (await publisher.packet()).kind == "pingresp"
    return True


async def fill(port: int) -> None:
    """Until nothing fits any more."""
    async with client(port, "s") as subscriber:
        await subscriber.subscribe("t", 1)
        subscriber.send("pingreq")
        await subscriber.packet()
    for size in (4000, 200, 0):
        async with client(port, "filler", clean=True) as publisher:
            while await is_taken(publisher, bytes(size)):
                pass


async def test_when_the_store_is_full_whatever_grows_is_refused_and_the_broker_lives(path: Path) -> None:
    store = BrokerStore(path, size_max=256 * 1024)
    async with asyncio.timeout(TIMEOUT_S), Broker(LISTEN, Limits(retained_message_bytes=1 << 20), store) as broker:
        port = port_of(broker.addresses[0])
        async with client(port, "old") as old:
            old.publish("r", b"old", 1, retain=True)
            await old.packet()
        await fill(port)
        async with RawClient(port) as new:  # a session that would have to be kept
            fields = {"keep_alive_s": 0, "username": None, "password": None, "will": None}
            new.send("connect", client_id="new", clean_session=False, **fields)
            assert (await new.packet()).fields["code"] == 3
        async with client(port, "s", present=True) as known:  # and a subscription
            known.send("subscribe", packet_id=9, subscriptions=[("x" * 300, 0)])
            while (packet := await known.packet()).kind != "suback":
                pass
            assert packet.fields["codes"] == [0x80]
        async with client(port, "c", clean=True) as honest:
            await honest.subscribe("#", 0)
            assert (await honest.packet()).fields["payload"] == b"old"
            for _ in range(200):
                honest.publish("r", bytes(60_000), 0, retain=True)  # QoS 0: dropped and counted, the old value stays
            will = ("t", b"will", 1, True)
            async with RawClient(port) as dying:
                await dying.connect("dying", will=will)
            honest.send("pingreq")
            assert (await honest.packet()).kind == "pingresp"
            honest.publish("elsewhere", b"x", 0)
            assert (await honest.packet()).fields["payload"] == b"x"
            refused = broker.stats.limits["store"]
            assert broker.stats.dropped_refused >= 200
            assert refused >= 202
            honest.publish("r", b"", 0, retain=True)  # what makes it smaller goes
            assert (await honest.packet()).fields["payload"] == b""
        assert not broker.failed.done()
    async with running(BrokerStore(path, size_max=256 * 1024)) as port, client(port, "late", clean=True) as late:
        await late.subscribe("r", 0)
        late.send("pingreq")
        assert (await late.packet()).kind == "pingresp"


async def test_what_waits_for_a_slow_disk_is_bounded_even_when_nobody_is_answered(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_gate, "WAITING_MAX", 500_000)
    monkeypatch.setattr(Held, "_linger", lambda self: None)  # nothing is written but by commits
    store = Held(path)
    async with (
        asyncio.timeout(TIMEOUT_S),
        Broker(LISTEN, None, store) as broker,
        client(port_of(broker.addresses[0]), "c", clean=True) as publisher,
    ):
        store.gate.clear()
        for number in range(100):
            publisher.publish(f"r/{number}", bytes(100_000), 0, retain=True)
        (connection,) = broker.connections
        await until(lambda: connection.peer.paused)
        assert store.pending_bytes < 1_000_000
        store.gate.set()
        publisher.send("pingreq")
        assert (await publisher.packet()).kind == "pingresp"
        assert len(broker.engine.router.retained) > 100


async def test_what_was_told_of_a_gap_survives_a_restart(path: Path) -> None:
    rule = (QueueRule("s", "drop-newest", 500),)
    async with asyncio.timeout(TIMEOUT_S), Broker(LISTEN, Limits(queues=rule), path) as broker:
        port = port_of(broker.addresses[0])
        async with client(port, "s") as subscriber:
            await subscriber.subscribe("t", 1)
        async with client(port, "p", clean=True) as publisher:
            for _ in range(10):
                publisher.publish("t", bytes(100), 1)
                assert (await publisher.packet()).kind == "puback"
        broker.engine.tick(int(time.monotonic() * 1000) + 10_000)
        broker.flush()
    async with asyncio.timeout(TIMEOUT_S), Broker(LISTEN, Limits(queues=rule), path) as broker:
        async with client(port_of(broker.addresses[0]), "late", clean=True) as late:
            await late.subscribe("$SYS/broker/clients/s/dropped", 1)
            assert (await late.packet()).fields["payload"] == b'{"queue_bytes":8}'
        assert broker.engine.sessions[b"s"].dropped == {"queue_bytes": 8}


async def test_a_store_of_a_client_is_refused_in_words(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (a)")
    with pytest.raises(StoreError, match="another program"):
        async with running(path):
            pass
