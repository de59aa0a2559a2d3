"""Messages queued in a broker's store lie in blocks (store/tables/broker_blocks.py)."""

import contextlib
import random
import sqlite3
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mqttlite.core import records as r
from mqttlite.store.base import StoreError
from mqttlite.store.in_sqlite import sqlite_reading
from mqttlite.store.tables import broker_blocks
from mqttlite.store.tables.broker_tables import BEGUN, ENDED, STARTED, BrokerState, BrokerTables, Record
from mqttlite.store.tables.sqlite_schema import Damaged, carry_over, load, migrate
from mqttlite.store.tending.salvage import salvage

HEAD = b"\x34\x50\0\3t/1"
RELEASED_HEAD = b"\x36\x50\0\3t/1"
OLD = Path(__file__).parent / "files" / "broker-schema-4.tar.xz"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(tmp_path / "broker.db", isolation_level=None)) as found:
        migrate(found, "broker.db", BrokerTables())
        yield found


def accepted(session: int, seq: int, payload: bytes = b"x", extra: bytes = b"") -> Record:
    return session, r.ACCEPTED, seq, HEAD, payload, extra


def done(session: int, seq: int) -> Record:
    return session, r.DONE, seq, b"", b"", b""


def begun(session: int) -> Record:
    return session, BEGUN, 0, b"c%d" % session, b"", b""


def messages(state: BrokerState) -> dict[int, dict[int, tuple[bytes, bytes, bytes]]]:
    return {number: session.messages for number, session in state.sessions.values()}


def rows(connection: sqlite3.Connection, table: str) -> int:
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(count)


@pytest.mark.parametrize("seed", range(8))
def test_what_comes_back_is_what_is_not_done_whatever_the_order_and_the_restarts(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(broker_blocks, "BLOCK_MAX", chance.choice((1, 300, 3000)))
    monkeypatch.setattr(broker_blocks, "SPAN_MAX", chance.choice((4, 4096)))
    tables = BrokerTables()
    tables.prepare(connection)
    there: dict[int, dict[int, tuple[bytes, bytes, bytes]]] = {n: {} for n in (1, 2, 3)}
    after = dict.fromkeys(there, 0)
    started: dict[int, set[int]] = {n: set() for n in there}
    batch = [begun(n) for n in there]
    for step in range(40):
        for _ in range(chance.randint(1, 30)):
            if chance.random() < 0.5:
                payload = chance.randbytes(chance.choice((1, 40, 300)))
                for n in chance.sample(sorted(there), chance.randint(1, len(there))):
                    there[n][after[n]] = (HEAD, payload, b"")
                    batch.append(accepted(n, after[n], payload))
                    after[n] += 1
                continue
            n = chance.choice(sorted(there))
            if not there[n]:
                continue
            seq = min(there[n]) if chance.random() < 0.7 else chance.choice(sorted(there[n]))
            what = chance.random()
            if what < 0.8:
                del there[n][seq]
                started[n].discard(seq)
                batch.append(done(n, seq))
            elif what < 0.9:
                there[n][seq] = (RELEASED_HEAD, *there[n][seq][1:])
                batch.append((n, r.RELEASED, seq, b"", b"", b""))
            else:
                started[n].add(seq)
                batch.append((n, STARTED, seq, b"", b"", b""))
        if chance.random() < 0.05 and len(there) > 1:
            ended = max(there)
            del there[ended], started[ended]
            batch.append((ended, ENDED, 0, b"", b"", b""))
        if chance.random() < 0.2:  # disk full: nothing of it is stored, and it comes again
            connection.execute("BEGIN IMMEDIATE")
            tables.write(connection, batch)
            connection.execute("ROLLBACK")
            tables.rolled_back(connection)
        carry_over(connection, tables, tables.decode(tables.encode(batch)))
        batch = []
        if step % 10 == 9:
            tables = BrokerTables()
            kept = tables.load(connection)
            assert messages(kept) == there
            assert {n: kept.started.get(n, set()) for n in there} == started
            check_paged(connection, there)
    for n in list(there):
        batch += [done(n, seq) for seq in there[n]]
    carry_over(connection, tables, batch)
    assert [rows(connection, table) for table in ("block", "content", "mark", "outbound")] == [0, 0, 0, 0]


def check_paged(connection: sqlite3.Connection, there: dict[int, dict[int, tuple[bytes, bytes, bytes]]]) -> None:
    """What stays on the disk is found there when it is wanted."""
    tables = BrokerTables(keep=3)
    kept = tables.load(connection)
    for n, found in messages(kept).items():
        assert list(found)[:3] == sorted(there[n])[:3]
        for first, left, sizes in kept.waiting.get(n, ()):
            fetched = tables.blocks.fetch(connection, n, first, left)
            assert {seq: sizes[seq - first] for seq in fetched} == {
                seq: sum(map(len, message)) for seq, message in fetched.items()
            }
            assert not found.keys() & fetched.keys()
            found |= fetched
        assert found == there[n]


def test_a_message_for_many_sessions_is_in_the_log_and_in_the_file_once(connection: sqlite3.Connection) -> None:
    payload = random.Random(1).randbytes(20_000)
    tables = BrokerTables()
    tables.prepare(connection)
    batch = [begun(n) for n in range(1, 51)] + [accepted(n, 0, payload) for n in range(1, 51)]
    data = tables.encode(batch)
    assert len(data) < 25_000
    decoded = tables.decode(data)
    assert decoded == batch
    carry_over(connection, tables, decoded)
    assert rows(connection, "content") == 1
    ((pages, size),) = connection.execute("SELECT page_count, page_size FROM pragma_page_count, pragma_page_size")
    assert pages * size < 150_000
    kept = BrokerTables().load(connection)
    assert len({id(found[0][1]) for found in messages(kept).values()}) == 1  # in memory, too
    carry_over(connection, tables, [done(n, 0) for n in range(1, 50)])
    assert (rows(connection, "block"), rows(connection, "content")) == (1, 1)
    carry_over(connection, tables, [done(50, 0)])
    assert (rows(connection, "block"), rows(connection, "content")) == (0, 0)


def test_a_store_of_the_release_before_that_was_killed_opens_with_all_that_it_has(tmp_path: Path) -> None:
    with tarfile.open(OLD) as archive:
        archive.extractall(tmp_path, filter="data")
    path = tmp_path / "broker.db"
    expected = {
        1: {n: (RELEASED_HEAD if n < 5 else HEAD, b"payload %d " % n * 20, b"") for n in range(40)}
        | {40: (HEAD, b"last", b"")},
        2: {n: (HEAD, b"payload %d " % n * 20, b"") for n in range(40) if n not in (0, 7, 39)},
    }
    shown: BrokerState = sqlite_reading.read(path, BrokerTables())
    assert messages(shown) == expected
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for _ in range(2):
            tables = BrokerTables()
            migrate(connection, str(path), tables)
            kept: BrokerState = load(connection, tables)
            assert messages(kept) == expected
            assert (kept.sessions[b"two"][1].held, kept.sessions[b"one"][1].next) == ({7: 9}, 41)
            assert kept.retained == [(b"r", b"kept", 1, b"")]
        assert rows(connection, "outbound") == 0


def test_an_earlier_releases_store_that_is_nearly_full_is_taken_over_also_after_a_kill_on_the_way(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {n: {seq: (HEAD, b"%d" % seq * 300, b"") for seq in range(1000)} for n in (1, 2)}
    tables = BrokerTables()
    tables.prepare(connection)
    carry_over(connection, tables, [begun(1), begun(2)])
    rows_then = [(n << 40 | seq, 0, *found) for n, kept in there.items() for seq, found in kept.items()]
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO outbound VALUES (?, ?, ?, ?, ?)", rows_then)
    connection.execute("COMMIT")
    ((pages,),) = connection.execute("PRAGMA page_count")
    monkeypatch.setattr(broker_blocks, "TAKEN_OVER_AT_ONCE", 100_000)
    connection.execute(f"PRAGMA max_page_count = {pages + pages // 5}")
    write = broker_blocks.Blocks.write

    def killed(blocks: broker_blocks.Blocks, *args: Any) -> None:
        write(blocks, *args)
        if rows(connection, "block") > 15:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(broker_blocks.Blocks, "write", killed)
        BrokerTables().load(connection)
    connection.execute("ROLLBACK")
    assert 0 < rows(connection, "outbound") < 2000
    assert messages(BrokerTables().load(connection)) == there
    assert rows(connection, "outbound") == 0


def test_a_damaged_block_is_said_and_the_others_are_salvaged(
    tmp_path: Path, connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_blocks, "BLOCK_MAX", 300)
    tables = BrokerTables()
    tables.prepare(connection)
    shared = bytes(400)
    batch = [begun(1), begun(2)] + [accepted(1, seq, b"%d" % seq * 50) for seq in range(20)]
    carry_over(connection, tables, [*batch, accepted(1, 20, shared), accepted(2, 0, shared)])
    keys = [key for (key,) in connection.execute("SELECT id FROM block ORDER BY id")]
    lost = [seq for seq in range(20) if keys[1] <= (1 << 40 | seq) < keys[2]]
    connection.execute(
        "UPDATE block SET records = CAST(replace(records, x'31', x'32') AS BLOB) WHERE id = ?", (keys[1],)
    )
    with pytest.raises(Damaged):
        BrokerTables().load(connection)
    connection.execute("DELETE FROM content")
    connection.close()
    with pytest.raises(StoreError, match="store salvage"):
        sqlite_reading.read(tmp_path / "broker.db", BrokerTables())
    lines = salvage(str(tmp_path / "broker.db"))
    assert "1 blocks of queued messages are lost" in lines
    assert "2 queued messages have lost their content" in lines
    kept: BrokerState = sqlite_reading.read(tmp_path / "broker.db", BrokerTables())
    assert list(messages(kept)[1]) == [seq for seq in range(20) if seq not in lost]
    assert messages(kept)[2] == {}


def test_what_was_done_stays_done_in_a_block_whose_beginning_is_lost(
    tmp_path: Path, connection: sqlite3.Connection
) -> None:
    tables = BrokerTables()
    tables.prepare(connection)
    shared = bytes(400)
    whole = [accepted(1, seq, b"%d" % seq * 50) for seq in range(1, 10)]
    carry_over(connection, tables, [begun(1), begun(2), accepted(1, 0, shared), accepted(2, 0, shared), *whole])
    released = [(1, r.RELEASED, seq, b"", b"", b"") for seq in range(7)]
    carry_over(connection, tables, [*released, *(done(1, seq) for seq in range(4))])
    connection.execute("UPDATE block SET crc = 0 WHERE id >> 40 = 2")
    connection.execute("DELETE FROM content")
    connection.close()
    lines = salvage(str(tmp_path / "broker.db"))
    assert "1 queued messages have lost their content" in lines
    kept: BrokerState = sqlite_reading.read(tmp_path / "broker.db", BrokerTables())
    heads = {seq: head for seq, (head, _, _) in messages(kept)[1].items()}
    assert heads == {seq: RELEASED_HEAD if seq < 7 else HEAD for seq in range(4, 10)}


def test_what_became_of_messages_of_a_lost_session_is_not_that_of_one_that_gets_its_number(
    tmp_path: Path, connection: sqlite3.Connection
) -> None:
    tables = BrokerTables()
    tables.prepare(connection)
    payloads = [bytes((seq,)) * 400 for seq in range(4)]
    queued = [accepted(n, seq, payload) for seq, payload in enumerate(payloads) for n in (2, 3)]
    carry_over(connection, tables, [begun(1), begun(2), begun(3), *queued])
    carry_over(connection, tables, [done(2, 0), done(2, 1)])
    assert (rows(connection, "mark"), rows(connection, "content")) == (1, 4)
    connection.execute("DELETE FROM session WHERE session > 1")
    connection.close()
    path = tmp_path / "broker.db"
    assert any("table block belong to sessions that are lost" in line for line in salvage(str(path)))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as salvaged:
        tables = BrokerTables()
        load(salvaged, tables)
        carry_over(salvaged, tables, [begun(2), *(accepted(2, seq) for seq in range(4))])
        assert list(messages(BrokerTables().load(salvaged))[2]) == [0, 1, 2, 3]
        assert rows(salvaged, "content") == 0
