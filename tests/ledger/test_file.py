"""The file of a ledger: few writes, bounded, readable meanwhile, and of no consequence when it fails."""

import asyncio
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from mqttlite.ledger import Ledger
from mqttlite.ledger.file import LedgerFile
from mqttlite.ledger.ledger import now_ms
from mqttlite.ledger.notes import BATCH_MS, ROWS_FULL, ROWS_MAX, Notes
from mqttlite.ledger.reading import Reader
from mqttlite.ledger.steps import ACCEPTED, FORWARDED, HANDLED, STORED, Key
from tests.broker.test_server import until

DAY_MS = 86_400_000


def key(number: int) -> Key:
    return (b"board", 1, number)


def notes_of(numbers: range, at: int = 1000) -> Notes:
    notes = Notes()
    for number in numbers:
        notes.note(ACCEPTED, key(number), b"board", at, b"sensors/t", 10)
    return notes


def opened(path: Path, entries: int = 1000, max_bytes: int = 1 << 30, max_age_ms: int = 0) -> LedgerFile:
    file = LedgerFile(path, "gateway", entries, max_bytes, max_age_ms)
    file.open()
    return file


def test_nothing_is_due_before_something_happens_and_then_once_for_all() -> None:
    notes = Notes()
    assert notes.due_ms() is None
    notes.note(ACCEPTED, key(1), b"board", 500)
    notes.note(ACCEPTED, key(2), b"board", 900)
    assert notes.due_ms() == 500 + BATCH_MS
    assert len(notes.take()) == 2 and notes.due_ms() is None


def test_what_a_store_has_not_committed_is_noted_when_it_has() -> None:
    notes = Notes()
    notes.wait_for_commit(STORED, key(1), b"cloud")
    notes.note_in_turn(FORWARDED, key(1), b"cloud", 10)
    notes.commit_begins()
    notes.wait_for_commit(STORED, key(2), b"cloud")  # is in the next one
    assert len(notes) == 0
    notes.committed(20)
    rows = notes.take()
    assert list(rows) == [(key(1), b"cloud")]
    assert rows[key(1), b"cloud"].at[STORED] == rows[key(1), b"cloud"].at[FORWARDED] == 20
    notes.commit_begins()
    notes.committed(30)
    assert list(notes.take()) == [(key(2), b"cloud")]


def test_a_batch_that_cannot_be_written_does_not_grow_for_ever() -> None:
    notes = notes_of(range(ROWS_MAX + 7))
    assert len(notes) == ROWS_MAX and notes.missed == 7


def test_the_oldest_entries_go_first_and_are_counted(tmp_path: Path) -> None:
    file = opened(tmp_path / "ledger.db", entries=100)
    for begin in range(0, 1000, 50):
        file.write(notes_of(range(begin, begin + 50)).take(), 0, 0)
        assert file.entries <= 100
    file.close()
    reader = Reader(tmp_path / "ledger.db")
    left = sorted(found[0][2] for found in reader.keys(ACCEPTED))
    assert left == list(range(1000 - len(left), 1000)) and len(left) >= 90
    assert reader.gone == 1000 - len(left)
    reader.close()


def test_a_file_stays_below_its_bytes(tmp_path: Path) -> None:
    file = opened(tmp_path / "ledger.db", entries=1_000_000, max_bytes=200_000)
    for begin in range(0, 10_000, 500):
        file.write(notes_of(range(begin, begin + 500)).take(), 0, 0)
    file.close()
    assert file.gone > 5000
    assert os.path.getsize(tmp_path / "ledger.db") < 300_000


def test_what_is_too_old_goes_with_the_next_batch(tmp_path: Path) -> None:
    file = opened(tmp_path / "ledger.db", max_age_ms=DAY_MS)
    file.write(notes_of(range(10), at=1000).take(), 0, 1000)
    file.write(notes_of(range(10, 15), at=2 * DAY_MS).take(), 0, 2 * DAY_MS)
    assert (file.entries, file.gone) == (5, 10)
    file.close()


def test_a_second_life_goes_on_with_the_file_of_the_first(tmp_path: Path) -> None:
    first = opened(tmp_path / "ledger.db")
    first.write(notes_of(range(3), at=1000).take(), 0, 0)
    first.close()
    second = opened(tmp_path / "ledger.db")
    assert second.entries == 3
    notes = notes_of(range(2, 4), at=5000)
    notes.note(HANDLED, key(2), b"board", 6000)
    second.write(notes.take(), 0, 0)
    assert second.entries == 4
    second.close()
    reader = Reader(tmp_path / "ledger.db")
    (entry,) = reader.of(key(2))
    assert entry.at[ACCEPTED] == 1000 and entry.at[HANDLED] == 6000
    assert entry.times == (2, 0, 1)
    reader.close()


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    opened(tmp_path / "ledger.db").close()
    assert stat.S_IMODE(os.stat(tmp_path / "ledger.db").st_mode) == 0o600


async def test_a_quiet_ledger_writes_nothing_and_a_busy_one_a_batch_for_many(tmp_path: Path) -> None:
    async with Ledger(tmp_path / "ledger.db", "gateway") as ledger:
        wal = tmp_path / "ledger.db-wal"
        before = wal.stat().st_size
        assert ledger.notes.due_ms() is None and ledger._timer is None
        for number in range(500):
            ledger.note(ACCEPTED, key(number), b"board", now_ms(), b"sensors/t", 10)
        assert wal.stat().st_size == before
        await ledger.flush()
        assert ledger.batches == 1 and ledger._timer is None
        assert len(ledger.recent(1000)) == 500
        assert [found["key"] for found in ledger.recent(2, "board/1/49")] == ["board/1/499", "board/1/498"]
        assert ledger.way("nonsense") is None and ledger.way("board/1/12345") is None


async def test_a_large_batch_does_not_wait_for_its_second(tmp_path: Path) -> None:
    async with Ledger(tmp_path / "ledger.db", "gateway") as ledger:
        for number in range(ROWS_FULL - 1):
            ledger.note(ACCEPTED, key(number), b"board", now_ms())
        assert ledger._timer and not ledger._is_soon
        for number in range(ROWS_FULL - 1, ROWS_FULL + 10):
            ledger.note(ACCEPTED, key(number), b"board", now_ms())
        assert ledger._is_soon
        await until(lambda: ledger.batches == 1)
        assert ledger.describe()["entries"] == ROWS_FULL + 10


def test_of_a_long_topic_the_beginning_is_kept() -> None:
    notes = Notes()
    notes.note(ACCEPTED, key(1), b"board", 1, b"t" * 60_000, 5)
    assert len(notes.take()[key(1), b"board"].topic) == 512


async def test_a_disk_that_fails_is_said_and_messages_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger(tmp_path / "ledger.db", "gateway")
    async with ledger:
        other = sqlite3.connect(tmp_path / "ledger.db")
        other.execute("DROP TABLE ledger_steps")
        other.close()
        ledger.note(ACCEPTED, key(1), b"board", now_ms())
        await ledger.flush()
        await asyncio.sleep(0)
        assert "no such table" in ledger.describe()["problem"]
        assert "cannot be written" in caplog.text and "messages go on" in caplog.text
        assert ledger.notes.missed == 1


async def test_what_a_full_disk_has_not_taken_is_missing_from_the_file_and_nothing_else(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db", "gateway", entries=10)
    async with ledger:
        connection = ledger._file._connection
        assert connection
        for number in range(8):
            ledger.note(ACCEPTED, key(number), b"board", now_ms())
        await ledger.flush()
        connection.execute("PRAGMA foreign_keys = ON")
        with connection:  # as a disk that is full, which is noticed when a batch is committed
            connection.execute(
                "CREATE TABLE late (id REFERENCES ledger_about (name) DEFERRABLE INITIALLY DEFERRED)",
            )
            connection.execute(
                "CREATE TRIGGER full AFTER INSERT ON ledger_steps BEGIN INSERT INTO late VALUES ('nobody'); END"
            )
        for number in range(8, 14):
            ledger.note(ACCEPTED, key(number), b"board", now_ms())
            await ledger.flush()
        assert "constraint failed" in ledger.problem
        assert (ledger._file.entries, ledger._file.gone) == (8, 0)
        with connection:
            connection.execute("DROP TRIGGER full")
        ledger.note(ACCEPTED, key(14), b"board", now_ms())
        await ledger.flush()
        assert ledger.problem == "" and ledger.describe()["entries"] == 9
    reader = Reader(tmp_path / "ledger.db")
    assert [found[0][2] for found in reader.keys(ACCEPTED)] == [*range(8), 14]
    assert (reader.gone, reader.missed) == (0, 6)
    reader.close()


async def test_a_file_that_is_something_else_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("something else entirely, and long enough to be no empty database" * 20)
    with pytest.raises(ValueError, match=r"ledger\.db cannot be opened: file is not a database"):
        await Ledger(tmp_path / "ledger.db").open()
