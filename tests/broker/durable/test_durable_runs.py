"""What comes in runs is stored in runs: with the same result as if each packet had been stored by itself."""

import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mqttlite.broker.clients.broker_store import BrokerStore
from mqttlite.broker.limits import Limits
from mqttlite.core.codec import acknowledgement, publish_head
from mqttlite.core.packet_types import PUBACK, PUBCOMP, PUBREC, PUBREL
from mqttlite.core.session import SPAN
from mqttlite.store.in_sqlite import sqlite_reading
from mqttlite.store.tables import batches, broker_blocks
from mqttlite.store.tables.broker_tables import BrokerTables

from ..clients.test_paging import Life
from ..clients.test_runs import Side, answered, published

LOG_MAX = 4000  # bytes
KEEP = 30  # messages of a session in memory


class DurableSide(Side):
    """A broker with a store, and clients whose sessions are in it."""

    clean = False

    def __init__(self, is_quick: bool, store: BrokerStore) -> None:
        self.store = store
        Side.__init__(self, is_quick, {}, Life(store, Limits(keep_alive_ms=0)))

    def kept(self) -> Any:
        """What another process reads in its file."""
        state = sqlite_reading.read(self.store.path, BrokerTables())
        return {name: vars(session) for name, (_, session) in state.sessions.items()}, state.started

    def held(self) -> Any:
        """The same, as the sessions know it."""
        found = {}
        for client in self.world.engine.sessions.values():
            session = client.session
            session.check()
            session.bring_all()
            found[client.client_id] = (dict(session.messages), sorted(session.inbound), session.next)
        return found


@contextlib.asynccontextmanager
async def side(is_quick: bool, path: Path) -> AsyncIterator[DurableSide]:
    store = BrokerStore(path, keep=KEEP, log_max=LOG_MAX)
    await store.open()
    try:
        yield DurableSide(is_quick, store)
    finally:
        await store.close()


@pytest.mark.source("replaces methods, to count runs")
@pytest.mark.parametrize("seed", range(4))
async def test_a_run_leaves_in_the_file_what_its_packets_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(broker_blocks, "BLOCK_MAX", chance.choice((500, 5000, 64 << 10)))
    async with side(True, tmp_path / "runs.db") as runs, side(False, tmp_path / "single.db") as single:
        ids = [[chance.choice((0, 100, SPAN - 50))] for _ in range(6)]
        away: set[int] = set()
        for step in range(40):
            number = chance.choice([n for n in range(6) if n not in away])
            packets = published(chance, 5 if number % 3 == 2 else 4, ids[number])
            for each in (runs, single):
                each.send(number, packets)
            owed = [each.take() for each in (runs, single)]
            for number in range(6):
                if chance.random() < 0.6 and number not in away:
                    for each, came in zip((runs, single), owed, strict=True):
                        each.send(number, answered(came[number], seed))
            if chance.random() < 0.3:
                number = chance.randrange(1, 5)
                away.add(number)
                for each in (runs, single):
                    if not each.wires[number].closed:
                        each.wires[number].cut()
            if step % 4 == 3:
                for each in (runs, single):
                    await each.store.commit()
                kept = runs.kept()
                assert kept == single.kept(), f"step {step}"
        assert runs.state() == single.state()
        assert runs.runs.total() > 10
        held = runs.held()
        assert {name: session["messages"] for name, session in kept[0].items()} == {
            name: messages for name, (messages, _, _) in held.items() if name in kept[0]
        }


async def test_a_run_is_one_record_and_its_messages_are_whole_after_a_kill(tmp_path: Path) -> None:
    async with side(True, tmp_path / "broker.db") as one:
        one.wires[1].cut()  # a/+ at QoS 1
        one.send(0, [publish_head(4, b"a/c", 3) + b"\0\1..."])  # from now on its route is known
        one.send(0, [publish_head(4, b"a/c", 64) + number.to_bytes(2, "big") + bytes(64) for number in range(2, 22)])
        records = [record for record in one.store._records if record[1] in (batches.RUN, batches.NUMBERS)]
        assert [len(record[4]) for record in records] == [20, 20, 20]  # "#" at QoS 2, "a/+" at QoS 1, identifiers
        one.send(0, [acknowledgement(PUBREL, number) for number in range(1, 22)])
        await one.store.commit()
        (sessions, _) = one.kept()
        assert [seq for seq, (_, payload, _) in sessions[b"1"]["messages"].items() if payload == bytes(64)] == list(
            range(1, 21)
        )
        assert sessions[b"0"]["held"] == {}


@pytest.mark.parametrize("qos", [1, 2])
async def test_a_subscriber_that_answers_in_runs_is_owed_nothing_after_a_kill(tmp_path: Path, qos: int) -> None:
    async with side(True, tmp_path / "broker.db") as one:
        subscriber = one.world.connect("s", clean=False)
        subscriber.subscribe("only", qos=qos)
        publisher = one.world.connect("p")
        publisher.raw(
            b"".join([publish_head(2 * qos, b"only", 9) + b"\0" + bytes([n]) + bytes(9) for n in range(1, 19)])
        )
        first = [PUBACK, PUBREC][qos - 1]
        subscriber.raw(b"".join([acknowledgement(first, n) for n in range(1, 19)]))
        if qos == 2:
            await one.store.commit()
            assert {head[0] & 6 for head, _, _ in one.kept()[0][b"s"]["messages"].values()} == {6}
            subscriber.raw(b"".join([acknowledgement(PUBCOMP, n) for n in range(1, 19)]))
        await one.store.commit()
        assert one.kept()[0][b"s"]["messages"] == {}
