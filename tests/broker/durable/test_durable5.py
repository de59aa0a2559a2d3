"""What MQTT 5.0 adds to what a broker keeps: deadlines, expiry intervals, wills and options survive the end of the
process, also on a machine whose clock does not.
"""

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mqttlite.broker.access.guard import ALLOW_ALL, PUBLISH, Guard
from mqttlite.broker.clients.broker_store import BrokerStore
from mqttlite.broker.engine import Engine
from mqttlite.broker.limits import Limits
from mqttlite.broker.sessions import restoring
from mqttlite.store.tables.broker_tables import BrokerTables
from tests.broker.access.guarded import access, allow, deny
from tests.broker.five import PUBACK, PUBCOMP, PUBREC, Five
from tests.broker.world import World
from tests.statements import statement

YEAR_MS = 365 * 24 * 3600 * 1000


class Life(World):
    """One life of a broker with a store; it ends without a goodbye to anybody."""

    def __init__(self, store: BrokerStore, limits: Limits, guard: Guard) -> None:
        self.engine = Engine(limits, store=store, guard=guard)
        self.now = 1000
        self.stats = self.engine.stats


@contextlib.asynccontextmanager
async def life(
    path: Path, wall: int = YEAR_MS, now: int = 1000, guard: Guard = ALLOW_ALL, **limits: Any
) -> AsyncIterator[Life]:
    """`wall`: what the machine's clock says at the start."""
    store = BrokerStore(path)
    world = Life(store, Limits(**limits), guard)
    world.now = now
    restoring.load(world.engine, await store.open(), now, wall)
    try:
        yield world
    finally:
        await store.commit()
        await store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "broker.db"


LONG = {"SessionExpiryInterval": 3600}


@statement("5.0", "MQTT-3.3.2-5", "MQTT-3.3.2-6")
@pytest.mark.parametrize("qos", [1, 2])
async def test_a_message_has_its_properties_and_the_time_that_it_has_left_after_a_restart(path: Path, qos: int) -> None:
    async with life(path) as world:
        client = Five(world, "c", **LONG)
        client.subscribe("t", qos, SubscriptionIdentifier=5)
        client.cut()
        publisher = Five(world, "p")
        publisher.publish("t", b"short", qos=qos, MessageExpiryInterval=10)
        publisher.publish("t", b"long", qos=qos, MessageExpiryInterval=100, ContentType="a")
    async with life(path, YEAR_MS + 30_000, now=77) as world:
        client = Five(world, "c", clean=False, present=True, **LONG)
        assert [(m.payload, m.properties) for m in client.messages()] == [
            (b"long", {"MessageExpiryInterval": 70, "ContentType": "a", "SubscriptionIdentifier": [5]})
        ]


async def test_a_deadline_comes_at_most_a_minute_later_for_each_loss_of_the_power_and_the_clock(path: Path) -> None:
    """Found by the simulator: the clock was kept once, when the message came."""
    async with life(path) as world:
        Five(world, "c", **LONG).subscribe("t", 1)
        Five(world, "p").publish("t", b"x", qos=1, MessageExpiryInterval=300)
        world.engine.sessions[b"c"].peer.handle.cut()  # type: ignore[union-attr]
        for _ in range(150):
            world.wait(1000)
    async with life(path, 0) as world:
        for _ in range(100):
            world.wait(1000)
    async with life(path, 0) as world:
        world.wait(9000)
        (message,) = Five(world, "c", clean=False, present=True, **LONG).messages()
        assert 300 - 259 <= message.properties["MessageExpiryInterval"] <= 300 - 259 + 2 * 60 + 1


async def test_a_session_ends_at_most_a_minute_later_for_each_loss_of_the_power_and_the_clock(path: Path) -> None:
    async with life(path) as world:
        client = Five(world, "c", SessionExpiryInterval=300)
        client.subscribe("t")
        client.cut()
        for _ in range(200):
            world.wait(1000)
    async with life(path, 0) as world:
        world.wait(160_000)
        assert b"c" not in world.engine.sessions


async def test_a_session_that_nobody_has_looked_at_since_the_start_ends_in_time_without_a_clock(path: Path) -> None:
    async with life(path) as world:
        client = Five(world, "c", SessionExpiryInterval=100)
        client.subscribe("t")
        for _ in range(500):
            world.wait(1000)
        client.cut()
        world.wait(1000)
    async with life(path, 0) as world:
        world.wait(100_000)
        assert b"c" not in world.engine.sessions


@pytest.mark.parametrize("wall", [0, YEAR_MS // 2])
async def test_no_deadline_comes_early_where_the_clock_is_lost_with_the_power(path: Path, wall: int) -> None:
    async with life(path) as world:
        client = Five(world, "c", SessionExpiryInterval=100)
        client.subscribe("t", 1)
        Five(world, "p").publish("t", b"x", qos=1, MessageExpiryInterval=50)
        world.wait(20_000)
        client.cut()
    async with life(path, wall) as world:
        world.wait(25_000)
        client = Five(world, "c", clean=False, present=True, SessionExpiryInterval=100)
        assert [m.properties["MessageExpiryInterval"] for m in client.messages()] == [5]


@statement("5.0", "MQTT-3.3.2-5")
async def test_a_retained_message_keeps_its_properties_and_expires_after_a_restart(path: Path) -> None:
    async with life(path) as world:
        publisher = Five(world, "p")
        publisher.publish("a", b"1", retain=True, ContentType="x", MessageExpiryInterval=60)
        publisher.publish("b", b"2", retain=True, MessageExpiryInterval=5)
    async with life(path, YEAR_MS + 20_000) as world:
        client = Five(world, "c")
        client.subscribe("#")
        assert [(m.topic, m.properties) for m in client.messages()] == [
            ("a", {"MessageExpiryInterval": 40, "ContentType": "x"})
        ]
    async with life(path, YEAR_MS + 20_000) as world:
        assert world.engine.router.retained.get(b"b") is None


@statement("5.0", "MQTT-3.1.2-23")
@pytest.mark.parametrize(("away_s", "present"), [(50, True), (100, False)])
async def test_a_session_expires_counted_from_its_last_connection(path: Path, away_s: int, present: bool) -> None:
    async with life(path) as world:
        client = Five(world, "c", SessionExpiryInterval=60)
        client.subscribe("t", 1)
        client.cut()
    async with life(path, YEAR_MS + away_s * 1000) as world:
        world.wait(0)
        Five(world, "c", clean=False, present=present, SessionExpiryInterval=60)


async def test_a_session_that_was_connected_when_the_broker_died_has_all_of_its_time(path: Path) -> None:
    async with life(path) as world:
        Five(world, "c", SessionExpiryInterval=60).subscribe("t", 1)
    async with life(path, YEAR_MS + 59_000_000) as world:
        world.wait(59_000)
        Five(world, "c", clean=False, present=True, SessionExpiryInterval=60)


async def test_a_session_that_was_to_end_with_its_connection_ends_with_the_broker(path: Path) -> None:
    async with life(path) as world:
        client = Five(world, "c", SessionExpiryInterval=60)
        client.subscribe("t", 1)
        client.cut()
        Five(world, "c", clean=False, present=True)
    async with life(path) as world:
        world.wait(1)
        assert b"c" not in world.engine.sessions


@statement("5.0", "MQTT-3.8.3-3", "MQTT-3.3.1-13")
async def test_options_and_shares_hold_after_a_restart(path: Path) -> None:
    async with life(path) as world:
        client = Five(world, "c", **LONG)
        client.subscribe("own", 1, options=4)
        client.subscribe("$share/g/t", 1)
        client.cut()
    async with life(path) as world:
        client = Five(world, "c", clean=False, present=True, **LONG)
        client.publish("own", b"x", qos=1)
        client.publish("t", b"y", qos=1)
        assert client.payloads() == [b"y"]


WILL = ("w", b"gone", 1, True)


@statement("5.0", "MQTT-3.1.2-8", "MQTT-3.1.3-9")
@pytest.mark.parametrize("delay_s", [0, 30])
async def test_a_will_whose_broker_died_is_published_and_not_before_its_delay(path: Path, delay_s: int) -> None:
    delay = {"WillDelayInterval": delay_s, "ContentType": "a"}
    async with life(path) as world:
        Five(world, "c", will=WILL, will_properties=delay, **LONG).subscribe("t")
        watcher = Five(world, "watcher", **LONG)
        watcher.subscribe("w", 1)
        watcher.cut()
    async with life(path, YEAR_MS + 1000) as world:
        watcher = Five(world, "watcher", clean=False, present=True, **LONG)
        world.wait(max(delay_s * 1000 - 1, 0))
        found = watcher.messages()
        if delay_s:
            assert found == []
            world.wait(1)
            found = watcher.messages()
        assert [(m.payload, m.properties) for m in found] == [(b"gone", {"ContentType": "a"})]
    async with life(path, YEAR_MS + 2000) as world:  # once
        watcher = Five(world, "watcher", clean=False, present=True, **LONG)
        world.wait(100_000)
        assert [m.retain for m in watcher.messages()] == [False]  # the one that was not acknowledged


async def test_a_will_that_waits_when_the_broker_dies_goes_on_waiting(path: Path) -> None:
    async with life(path) as world:
        Five(world, "c", will=WILL, will_properties={"WillDelayInterval": 30}, **LONG).subscribe("t")
        world.engine.sessions[b"c"].peer.handle.cut()  # type: ignore[union-attr]
        world.wait(10_000)
    async with life(path, YEAR_MS + 15_000) as world:
        watcher = Five(world, "watcher")
        watcher.subscribe("w", 1)
        world.wait(14_999)
        assert watcher.messages() == []
        world.wait(1)
        assert watcher.payloads() == [b"gone"]


@statement("5.0", "MQTT-3.14.4-3")
async def test_a_will_that_was_deleted_does_not_come_back(path: Path) -> None:
    async with life(path) as world:
        client = Five(world, "c", will=WILL, **LONG)
        client.subscribe("t")
        client.disconnect()
    async with life(path) as world:
        watcher = Five(world, "watcher")
        watcher.subscribe("w", 1)
        world.wait(60_000)
        assert watcher.messages() == []


@statement("3.1.1", "MQTT-3.1.2-8")
@statement("5.0", "MQTT-3.1.2-7", "MQTT-3.1.2-8")
@pytest.mark.parametrize("version", [4, 5])
async def test_a_will_of_a_session_that_is_not_kept_is_published_after_the_death_of_the_broker_too(
    path: Path, version: int
) -> None:
    async with life(path) as world:
        watcher = Five(world, "watcher", **LONG)
        watcher.subscribe("w", 1)
        watcher.cut()
        for name in ("gone", "in order", "cut"):
            if version == 4:
                client = world.connect(name, will=("w", name.encode(), 1, False))
            else:
                client = Five(world, name, will=("w", name.encode(), 1, False), will_properties={"ContentType": name})  # type: ignore[assignment]
            if name == "in order":
                client.disconnect()
            elif name == "cut":
                client.cut()
    for _ in range(2):  # once, and not again
        async with life(path) as world:
            watcher = Five(world, "watcher", clean=False, present=True, **LONG)
            assert sorted(watcher.payloads()) == [b"cut", b"gone"]
            watcher.cut()


@pytest.mark.parametrize("may", [True, False])
async def test_a_will_from_before_there_were_rules_goes_out_after_a_kill_only_if_its_client_may_publish_it(
    path: Path, may: bool
) -> None:
    async with life(path) as world:
        watcher = Five(world, "watcher", **LONG)
        watcher.subscribe("w/#", 1)
        watcher.cut()
        world.connect("clean", will=("w/clean", b"", 1, False))
        Five(world, "kept", will=("w/kept", b"", 1, False), **LONG).subscribe("t")
    rules = (allow("#"),) if may else (allow("#"), deny("w/#", PUBLISH))
    async with life(path, guard=access(*rules)) as world:
        watcher = Five(world, "watcher", clean=False, present=True, **LONG)
        assert sorted(m.topic for m in watcher.messages()) == (["w/clean", "w/kept"] if may else [])
        assert world.stats.dropped_denied == (0 if may else 2)
    async with life(path) as world:
        assert world.stats.wills == 0, "what was denied does not come back"


async def test_what_was_taken_away_from_a_consumer_is_the_queues_over_a_kill(path: Path) -> None:
    """At QoS 2 its client may know its identifier, and is asked for PUBCOMP: that ends nothing but this."""
    rules = (allow("#"), deny("in/#", "receive", user="bert"))
    bert = {"user": "bert", "password": b"treb", **LONG}
    async with life(path, guard=access(allow("#"))) as world:
        client = Five(world, "b", **bert)
        client.subscribe("$queue/jobs/in/#", 2)
        Five(world, "p").publish("in/1", b"1", qos=2)
        assert client.payloads() == [b"1"]
        client.cut()
    async with life(path, guard=access(*rules)) as world:
        client = Five(world, "b", clean=False, present=True, **bert)
        assert client.payloads() == []
    async with life(path, guard=access(*rules)) as world:
        client = Five(world, "b", clean=False, present=True, **bert)
        client.ack(PUBCOMP, 1)
        other = Five(world, "a", user="anna", password=b"anna")
        other.subscribe("$queue/jobs", 2)
        (message,) = other.messages()
        assert (message.payload, message.properties["UserProperty"]) == (b"1", [("queue-tries", "1")])
        other.ack(PUBREC, message.packet_id)
        other.ack(PUBCOMP, message.packet_id)
        assert not world.engine.depot.queues[b"jobs"].items


async def test_a_session_that_was_kept_and_ends_with_this_connection_leaves_its_will_once(path: Path) -> None:
    async with life(path) as world:
        watcher = Five(world, "watcher", **LONG)
        watcher.subscribe("w", 1)
        Five(world, "c", **LONG).subscribe("t")
        client = Five(world, "c", clean=False, present=True, will=WILL)
        client.cut()
        assert watcher.payloads() == [b"gone"]
        assert b"c" not in world.engine.sessions
    async with life(path) as world:
        assert world.stats.wills == 0


async def test_a_will_whose_topic_is_not_allowed_any_more_does_not_keep_the_broker_from_starting(path: Path) -> None:
    async with life(path) as world:
        world.connect("clean", will=("w/a/b", b"gone", 1, False))
        Five(world, "kept", will=("w/a/b", b"gone", 1, False), **LONG).subscribe("t")
    async with life(path, topic_levels=2) as world:
        assert (world.stats.wills, world.stats.dropped_refused) == (0, 2)


# -- what has expired goes without anybody connecting


def kept_topics(world: World) -> int:
    """Retained messages of clients."""
    return sum(not topic.startswith(b"$SYS/") for topic in world.engine.router.retained._messages)


@statement("5.0", "MQTT-3.3.2-5")
async def test_what_has_expired_leaves_memory_and_disk_without_anybody_connecting(path: Path) -> None:
    async with life(path) as world:
        client = Five(world, "c", ReceiveMaximum=1, **LONG)
        client.subscribe("t", 1)
        publisher = Five(world, "p")
        publisher.publish("t", b"begun", qos=1, MessageExpiryInterval=10)
        client.cut()
        for n in range(100):
            publisher.publish("t", b"queued", qos=1, MessageExpiryInterval=10 + n % 2 * 90)
            publisher.publish(f"r/{n}", b"retained", retain=True, MessageExpiryInterval=10 + n % 2 * 90)
        publisher.publish("r/ever", b"x", retain=True)
        world.wait(9_999)
        ledger = world.engine.ledger
        queued, retained = ledger.queued, ledger.retained
        assert len(world.engine.sessions[b"c"].session.messages) == 101
        world.wait(1)
        messages = world.engine.sessions[b"c"].session.messages
        assert [message[1] for message in messages.values()].count(b"queued") == 50
        assert b"begun" in [message[1] for message in messages.values()]
        assert world.stats.dropped_expired == 50
        assert kept_topics(world) == 51
        assert (ledger.queued < queued * 0.6, ledger.retained < retained - 20_000) == (True, True)
        world.engine.sessions[b"c"].session.check()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert len(BrokerTables().load(connection).sessions[b"c"][1].messages) == 51
        assert connection.execute("SELECT count(*) FROM retained").fetchone() == (51,)
    async with life(path) as world:
        world.wait(91_000)
        assert len(world.engine.sessions[b"c"].session.messages) == 1
        assert kept_topics(world) == 1
        assert [m.payload for m in Five(world, "c", clean=False, present=True, **LONG).messages()] == [b"begun"]


async def test_very_much_that_has_expired_goes_in_turns(path: Path) -> None:
    world = World(turn_work=10)
    client = Five(world, "c", **LONG)
    client.subscribe("t", 1)
    client.cut()
    publisher = Five(world, "p")
    for n in range(1000):
        publisher.publish("t", b"%d" % n, qos=1, MessageExpiryInterval=1)
    left = [1000]
    world.now += 5000
    while left[-1]:
        assert world.engine.tick(world.now) <= 10 or len(left) > 5
        left.append(len(world.engine.sessions[b"c"].session.messages))
        assert left[-1] < left[-2]
    assert len(left) > 5
    assert world.engine.tick(world.now) > 10


async def test_a_clock_that_stands_still_in_between_does_not_keep_messages_for_ever(path: Path) -> None:
    async with life(path, 0) as world:
        client = Five(world, "c", **LONG)
        client.subscribe("t", 1)
        client.cut()
        Five(world, "p").publish("t", b"x", qos=1, MessageExpiryInterval=600)
    for life_number in range(4):
        async with life(path, 0) as world:
            assert len(world.engine.sessions[b"c"].session.messages) == (life_number < 3)
            for _ in range(300):
                world.wait(1000)


async def test_properties_count_in_the_account_of_a_queue_after_a_restart_as_before(path: Path) -> None:
    async with life(path) as world:
        client = Five(world, "c", **LONG)
        client.subscribe("t", 1)
        client.cut()
        Five(world, "p").publish("t", b"x", qos=1, UserProperty=[("k", "v" * 4000)])
        queued = world.engine.ledger.queued
        assert queued > 4000
    async with life(path) as world:
        assert world.engine.ledger.queued == queued


async def test_properties_count_where_the_store_is_asked_for_room(path: Path) -> None:
    """A message for many sessions, whose copies would be more than the store may hold, is not taken."""
    store = BrokerStore(path, size_max=1 << 20)
    world = Life(store, Limits(), ALLOW_ALL)
    restoring.load(world.engine, await store.open(), 1000)
    for number in range(30):
        client = Five(world, f"c{number}", **LONG)
        client.subscribe("t", 1)
        client.cut()
    publisher = Five(world, "p")
    publisher.publish("t", b"x", qos=1)
    await store.commit()
    publisher.publish("t", b"x", qos=1, UserProperty=[("k", "v" * 60_000)])
    await store.commit()
    assert [(got.kind, got.reason) for got in publisher.take()] == [(PUBACK, 0), (PUBACK, 0x97)]
    await store.close()
