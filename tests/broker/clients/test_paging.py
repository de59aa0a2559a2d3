"""A queue that is long lies on the disk, and its messages come into memory when their turn comes."""

import contextlib
import os
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mqttlite.broker.clients.broker_store import BrokerStore
from mqttlite.broker.engine import Engine
from mqttlite.broker.limits import Limits, QueueRule
from mqttlite.broker.sessions import restoring
from mqttlite.core import records as r
from mqttlite.core.codec import publish_head
from mqttlite.core.errors import StoreError
from mqttlite.store.tables import broker_blocks
from tests.broker.world import Wire, World

KEEP = 50
LOG_MAX = 8000  # bytes


class Life(World):
    """One life of a broker with a store whose blocks are small."""

    def __init__(self, store: BrokerStore, limits: Limits) -> None:
        self.engine = Engine(limits, store=store)
        self.now = 1000
        self.stats = self.engine.stats
        self.store = store

    def queue(self, name: str) -> "tuple[int, int]":
        """Messages of a session: in memory, and all."""
        session = self.engine.sessions[name.encode()].session
        session.check()
        return len(session.messages), session.queued


@contextlib.asynccontextmanager
async def life(path: Path, kill: bool = False, **limits: object) -> AsyncIterator[Life]:
    """`kill`: it ends without carrying anything over."""
    store = BrokerStore(path, keep=KEEP, log_max=LOG_MAX)
    world = Life(store, Limits(**({"keep_alive_ms": 0, "queue_bytes": 1 << 24} | limits)))  # type: ignore[arg-type]
    restoring.load(world.engine, await store.open(), world.now)
    world.now += 1  # the broker's clock is 0 no more, which stands for no time
    try:
        yield world
    finally:
        await store.commit()
        if kill:
            copy = path.with_name("left.db")
            for name in ("", "-wal"):
                shutil.copy(f"{path}{name}", f"{copy}{name}")
        await store.close()
        if kill:
            for name in ("", "-wal"):
                os.replace(f"{copy}{name}", f"{path}{name}")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(broker_blocks, "BLOCK_MAX", 1000)
    return tmp_path / "broker.db"


def away(world: Life, qos: int) -> None:
    """A session with a subscription, whose client is not there."""
    subscriber = world.connect("s", clean=False)
    subscriber.subscribe("t", qos=qos)
    subscriber.cut()


async def fill(world: Life, publisher: Wire, numbers: range, qos: int) -> None:
    for number in numbers:
        publisher.publish("t", b"message %d" % number, qos=qos)
        if qos == 2:
            publisher.send("pubrel", packet_id=[f["packet_id"] for k, f in publisher.packets() if k == "pubrec"][-1])
        if not number % 100:
            await world.store.commit()
    await world.store.commit()


def payloads(numbers: range) -> list[bytes]:
    return [b"message %d" % number for number in numbers]


@pytest.mark.parametrize("qos", [1, 2])
async def test_a_long_queue_is_on_the_disk_and_comes_in_order_over_restarts_and_kills(path: Path, qos: int) -> None:
    async with life(path, kill=True) as world:
        away(world, qos)
        await fill(world, world.connect("p"), range(2000), qos)
        here, all_of_them = world.queue("s")
        assert all_of_them == 2000
        assert here < 500
    got: list[bytes] = []
    for _ in range(3):
        async with life(path, kill=True) as world:
            assert world.queue("s")[0] <= max(KEEP + 30, 150)
            subscriber = world.connect("s", clean=False, present=True)
            for _ in range(20):
                got += take_some(subscriber, qos)
                await world.store.commit()
    async with life(path) as world:
        subscriber = world.connect("s", clean=False, present=True)
        await fill(world, world.connect("p"), range(2000, 2500), qos)
        got += subscriber.finish()
        await world.store.commit()
        assert world.queue("s") == (0, 0)
        assert world.engine.ledger.queued <= 0 or world.engine.sessions[b"s"].session.settle()
    # What was acknowledged without the broker having stored that comes again, as the standard has it.
    assert list(dict.fromkeys(got)) == payloads(range(2500))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for table in ("block", "mark", "content"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def take_some(subscriber: Wire, qos: int) -> list[bytes]:
    """Acknowledge what has come, and no more."""
    got = []
    for kind, fields in subscriber.packets():
        if kind == "publish":
            got.append(fields["payload"])
            subscriber.send("puback" if qos == 1 else "pubrec", packet_id=fields["packet_id"])
        elif kind == "pubrel":
            subscriber.send("pubcomp", packet_id=fields["packet_id"])
    return got


async def test_the_oldest_go_from_the_disk_too_when_the_rule_says_so(path: Path) -> None:
    rules = (QueueRule("s", "drop-oldest"),)
    async with life(path, queue_bytes=40_000, queues=rules) as world:
        away(world, 1)
        await fill(world, world.connect("p"), range(2000), 1)
        here, all_of_them = world.queue("s")
        assert here < all_of_them < 2000
    async with life(path, queue_bytes=40_000, queues=rules) as world:
        assert world.queue("s")[1] == all_of_them
        got = world.connect("s", clean=False, present=True).finish()
        assert got == payloads(range(2000 - all_of_them, 2000))


@pytest.mark.parametrize("kill", [False, True])
async def test_the_oldest_of_qos_2_go_after_a_restart_and_the_others_stay_on_the_disk(path: Path, kill: bool) -> None:
    """But for those that were sent before: their handshakes have to end."""
    rules = (QueueRule("s", "drop-oldest"),)
    async with life(path, kill=kill, queue_bytes=36_000, queues=rules) as world:
        away(world, 2)
        publisher = world.connect("p")
        await fill(world, publisher, range(300), 2)
        subscriber = world.connect("s", clean=False, present=True)
        sent = subscriber.payloads()
        assert sent == payloads(range(20))
        subscriber.cut()
        await fill(world, publisher, range(300, 500), 2)
        _, all_of_them = world.queue("s")
        assert 400 < all_of_them < 500
    for begin in (500, 600):
        async with life(path, kill=kill, queue_bytes=36_000, queues=rules) as world:
            await fill(world, world.connect("p"), range(begin, begin + 100), 2)
            here, there = world.queue("s")
            assert there == all_of_them
            assert here < all_of_them / 2
    async with life(path) as world:
        got = world.connect("s", clean=False, present=True).finish()
        assert got == [*sent, *payloads(range(720 - all_of_them, 700))]


async def test_messages_that_wait_are_sent_when_it_is_durable_that_they_may_have_been(path: Path) -> None:
    async with life(path) as world:
        away(world, 2)
        for waiting in (False, True):
            await fill(world, world.connect("p"), range(5 * waiting), 2)
            world.store.wanted = False
            subscriber = world.connect("s", clean=False, present=True)
            assert world.store.wanted == waiting
            subscriber.finish()
            subscriber.cut()
            await world.store.commit()


async def test_a_message_that_may_expire_stays_in_memory_with_its_block(path: Path) -> None:
    async with life(path) as world:
        away(world, 1)
        await fill(world, world.connect("p"), range(500), 1)
        session = world.engine.sessions[b"s"].session
        here = len(session.messages)
        session.publish(publish_head(2, b"t", 5), b"timed", b"\1" + (1 << 40).to_bytes(6, "big"))
        session.sizes.append(100)
        await fill(world, world.connect("q"), range(500, 1000), 1)
        assert [message[1] for message in session.messages.values()].count(b"timed") == 1
        assert here < len(session.messages) < 500
        assert world.connect("s", clean=False, present=True).finish() == [
            *payloads(range(500)),
            b"timed",
            *payloads(range(500, 1000)),
        ]


async def test_a_block_that_cannot_be_read_any_more_stops_the_store_and_loses_nothing_in_silence(path: Path) -> None:
    async with life(path) as world:
        away(world, 1)
        await fill(world, world.connect("p"), range(1000), 1)
        failures: list[StoreError] = []
        world.store.on_failure = failures.append
        world.store._file._connection.execute("UPDATE block SET crc = 0")  # type: ignore[union-attr]
        got = world.connect("s", clean=False, present=True).finish()
        assert got == payloads(range(len(got)))
        assert "block of queued messages is not as it was written" in str(failures[0])
        with pytest.raises(StoreError):
            await world.store.commit()
        world.store._failure = ""
        world.store._file._failed = False


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_goes_from_the_middle_of_a_queue_does_not_come_back_from_the_disk(path: Path, seed: int) -> None:
    chance = random.Random(seed)
    async with life(path, kill=True) as world:
        away(world, 1)
        publisher = world.connect("p")
        gone: set[int] = set()
        session = world.engine.sessions[b"s"].session
        for begin in range(0, 1200, 100):
            for number in range(begin, begin + 100):
                publisher.publish("t", b"message %d" % number, qos=1)
            for seq in chance.sample(sorted(session.messages), 20):
                session.drop(seq)
                gone.add(seq)
            await world.store.commit()
    async with life(path) as world:
        assert world.queue("s")[1] == 1200 - len(gone)
        got = world.connect("s", clean=False, present=True).finish()
        assert got == [b"message %d" % number for number in range(1200) if number not in gone]


async def test_a_session_that_ends_takes_what_is_on_the_disk_with_it(path: Path) -> None:
    async with life(path) as world:
        away(world, 1)
        await fill(world, world.connect("p"), range(1000), 1)
        world.connect("s", clean=True)
        assert world.engine.ledger.queued == 0
        world.store.note(0, r.DONE, 0)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM block").fetchone() == (0,)


async def test_of_values_that_follow_each_other_within_a_commit_the_last_one_is_written(path: Path) -> None:
    async with life(path) as world:
        publisher = world.connect("p")
        store = world.store
        written: list[int] = []
        batch_of = store._batch_of

        def spied(records: list[object]) -> list[object]:
            batch = batch_of(records)
            written.append(len(batch))
            return batch

        store._batch_of = spied  # type: ignore[method-assign]
        for number in range(100):
            for topic in ("a", "b"):
                publisher.publish(topic, b"%d" % number, retain=True)
        await store.commit()
        assert written == [3]  # and the clock
        publisher.publish("a", b"", retain=True)
        publisher.publish("a", b"new", retain=True)
        await store.commit()
        assert written == [3, 1]
    async with life(path) as world:
        subscriber = world.connect("s")
        subscriber.subscribe("#")
        assert sorted(subscriber.messages()) == [("a", b"new", 0, True), ("b", b"99", 0, True)]


async def test_nothing_is_written_while_nothing_happens(path: Path) -> None:
    async with life(path) as world:
        away(world, 1)
        publisher = world.connect("p")
        publisher.publish("t", b"queued", qos=1)
        publisher.publish("t", b"retained", retain=True)
        await world.store.commit()
        for _ in range(600):
            world.wait(1000)
        assert world.store._records == []
