"""The file of an SQLite store: who may open it, what it refuses, schema versions, how large it may be."""
# ruff: noqa: ASYNC240 - a test's own small files do not block anybody

import asyncio
import contextlib
import errno
import logging
import os
import signal
import sqlite3
import stat
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from mqttlite.core import records as r
from mqttlite.store.base import StoreError
from mqttlite.store.in_sqlite import sqlite_file
from mqttlite.store.in_sqlite.sqlite_file import connect
from mqttlite.store.sqlite import SqliteStore, read
from mqttlite.store.tables.sqlite_schema import check, migrate
from mqttlite.store.tables.sqlite_tables import ClientTables
from tests.peers import RUN_TIMEOUT_S
from tests.store.sqlite_records import accepted, keep, opened, plain


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


# -- one process at a time

HOLDER = """
import asyncio, sys
from mqttlite.store.sqlite import SqliteStore

async def hold():
    store = SqliteStore(sys.argv[1])
    await store.open()
    store.record(1, 7, b"\\x32\\0\\0\\1a", b"payload")
    await store.commit()
    print("held", flush=True)
    await asyncio.Event().wait()

asyncio.run(hold())
"""


async def test_a_second_process_is_refused_until_the_first_is_killed(path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    try:
        assert await process.stdout.readline() == b"held\n"
        with pytest.raises(StoreError, match=f"in use by process {process.pid}: stop that one"):
            await SqliteStore(path).open()
        assert list(read(path).messages) == [7]  # reading is not in the way of anybody
    finally:
        process.send_signal(signal.SIGKILL)
        await process.communicate()
    async with opened(path) as (_, state):
        assert list(state.messages) == [7]


async def test_the_same_store_twice_in_one_process_is_refused(path: Path) -> None:
    async with opened(path) as (store, _):
        with pytest.raises(StoreError, match="in this process already"):
            await SqliteStore(path).open()
        alias = path.with_name("alias.db")
        alias.symlink_to(path)
        with pytest.raises(StoreError, match="in this process already"):
            await SqliteStore(alias).open()
        with pytest.raises(StoreError, match="open already"):
            await store.open()
        await keep(store, accepted(0))
    async with opened(path) as (_, state):
        assert list(state.messages) == [0]


async def test_nobody_else_can_read_the_files(path: Path) -> None:
    before = os.umask(0)
    try:
        async with opened(path) as (store, _):
            await keep(store, accepted(0))
            files = sorted(path.parent.iterdir())
            assert [file.name for file in files] == [
                "state.db",
                "state.db-shm",
                "state.db-wal",
                "state.db.lock",
                "state.db.reserve",
            ]
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    finally:
        os.umask(before)


# -- files that are not what they should be


async def test_a_file_of_a_later_release_is_refused(path: Path) -> None:
    async with opened(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"schema version 99 .* later release .* install that release"):
            await SqliteStore(path, allow_reset=True).open()
    with pytest.raises(StoreError, match="schema version 99"):
        read(path)


async def test_the_database_of_another_program_is_refused_and_left_as_it_was(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE ledger (amount)")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program: give the store a file of its own"):
        await SqliteStore(path, allow_reset=True).open()
    with pytest.raises(StoreError, match="another program"):
        read(path)
    assert path.read_bytes() == before


async def test_the_wal_of_another_program_that_runs_is_not_touched(path: Path) -> None:
    wal = path.with_name(path.name + "-wal")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE ledger (amount)")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("INSERT INTO ledger VALUES (1)")
        connection.commit()
        before = wal.stat().st_mtime_ns
        assert wal.stat().st_size > 0
        with pytest.raises(StoreError, match="another program"):
            await SqliteStore(path).open()
        assert wal.stat().st_mtime_ns == before


async def damage(path: Path) -> None:
    async with opened(path) as (store, _):
        await keep(store, *(accepted(seq, bytes(1000)) for seq in range(100)))
    data = bytearray(path.read_bytes())
    data[8 * 4096 : 12 * 4096] = b"\xa5" * 4096 * 4
    path.write_bytes(data)


async def lose_the_beginning(path: Path) -> None:
    async with opened(path) as (store, _):
        await keep(store, accepted(0))
    path.write_bytes(b"\xa5" * 4096 + path.read_bytes()[4096:])


async def write_notes(path: Path) -> None:
    path.write_bytes(b"This is not a database.\n" * 100)


async def write_two_bytes(path: Path) -> None:
    path.write_bytes(b"xx")


DAMAGED = r"is damaged .*mqttlite store salvage .*mqttlite store reset"
NO_STORE = r"is not a store of mqttlite: give the store the name of another file; if it was one, .* store salvage"


@pytest.mark.parametrize(
    ("make", "said"),
    [(damage, DAMAGED), (lose_the_beginning, DAMAGED), (write_notes, NO_STORE), (write_two_bytes, NO_STORE)],
)
async def test_a_damaged_file_is_refused_and_moved_aside_only_if_allowed(
    path: Path, make: Callable[[Path], Awaitable[None]], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    await make(path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=said):
        await SqliteStore(path).open()
    assert path.read_bytes() == before
    assert not caplog.records
    async with opened(path, allow_reset=True) as (store, state):
        assert state.next == -1
        await keep(store, accepted(0))
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    (aside,) = path.parent.glob("state.db.corrupt-????????T??????")
    assert aside.name in record.getMessage()
    assert aside.read_bytes() == before
    async with opened(path) as (_, state):
        assert list(state.messages) == [0]


async def test_a_second_damaged_file_does_not_replace_the_first(path: Path) -> None:
    for number in range(3):
        path.write_bytes(b"damage %d" % number)
        async with opened(path, allow_reset=True):
            pass
    kept = {file.read_bytes() for file in path.parent.glob("state.db.corrupt-*")}
    assert kept == {b"damage %d" % number for number in range(3)}


async def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"missing/state\.db cannot be opened: there is no folder /.*/missing: make it"
    ):
        await SqliteStore(tmp_path / "missing" / "state.db").open()
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be opened: /.*/file is not a folder: give the store another place"):
        await SqliteStore(tmp_path / "file" / "state.db").open()


async def test_a_folder_that_may_not_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # as for a user that is not root
    error = PermissionError(errno.EACCES, "Permission denied", "state.db.lock")
    monkeypatch.setattr(sqlite_file, "Lock", Mock(side_effect=error))
    with pytest.raises(StoreError, match=r"state\.db cannot be opened: this user can make no files in /"):
        await SqliteStore(tmp_path / "state.db").open()


async def test_without_wal_mode_the_store_is_refused(path: Path) -> None:
    def in_memory(path: str) -> sqlite3.Connection:
        return sqlite3.connect(":memory:", isolation_level=None)

    with pytest.raises(StoreError, match=r"no WAL mode here \(memory\): put the store on a local disk"):
        await SqliteStore(path, connect=in_memory).open()


# -- schema versions

NEWEST = len(ClientTables.migrations)


def tables(*later: tuple[str, ...]) -> ClientTables:
    """The tables of a later release."""
    result = ClientTables()
    result.migrations = [*result.migrations, *later]
    return result


def test_migrations_run_in_order_from_the_version_of_the_file(path: Path) -> None:
    later = tables(
        ("ALTER TABLE outbound ADD COLUMN colour TEXT DEFAULT 'red'",),
        ("ALTER TABLE outbound RENAME COLUMN colour TO hue", "UPDATE outbound SET hue = hue || 'dish'"),
    )
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert check(connection, str(path), tables()) == 0
        migrate(connection, str(path), tables())
        assert check(connection, str(path), tables()) == NEWEST
        connection.execute("INSERT INTO outbound (seq) VALUES (1)")
        for _ in range(2):  # the second time, nothing is left to be done
            migrate(connection, str(path), later)
            assert check(connection, str(path), later) == NEWEST + 2
            assert connection.execute("SELECT hue FROM outbound").fetchall() == [("reddish",)]
        with pytest.raises(StoreError, match=f"schema version {NEWEST + 2}"):
            migrate(connection, str(path), tables())


async def test_a_file_of_the_first_schema_is_read_and_its_identifiers_stand_for_whatever_they_did(path: Path) -> None:
    first = tables()
    first.migrations = first.migrations[:1]
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, str(path), first)
        connection.execute("INSERT INTO meta VALUES ('clearing', 1)")
        connection.execute("INSERT INTO inbound VALUES (7)")
    store = SqliteStore(path)
    state = await store.open()
    assert (state.held, state.clearing) == ({7: 0}, 1)
    await keep(store, plain(r.FREED, 7), plain(r.HELD, 7 | 5 << 16))
    await store.close()
    store = SqliteStore(path)
    assert (await store.open()).held == {7: 5}
    await store.close()


def test_a_migration_that_fails_leaves_the_version_before_it(path: Path) -> None:
    broken = tables(("ALTER TABLE outbound ADD COLUMN colour TEXT", "ALTER TABLE nowhere ADD COLUMN x"))
    connection = sqlite3.connect(path, isolation_level=None)
    with contextlib.closing(connection), pytest.raises(sqlite3.OperationalError):
        migrate(connection, str(path), broken)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert check(connection, str(path), tables()) == NEWEST
        assert "colour" not in [row[1] for row in connection.execute("PRAGMA table_info(outbound)")]


# -- bounded size


@pytest.mark.parametrize("size", [40, 600, 2100, 5000, 60_000])
async def test_what_fits_can_be_accepted_and_what_does_not_waits(path: Path, size: int) -> None:
    limit = 1 << 20
    async with opened(path, size_max=limit) as (store, _):
        seq = 0
        while store.fits(size):
            store.record(*accepted(seq, bytes(size)))
            seq += 1
            if seq % 50 == 0:
                await store.commit()
            if not store.fits(size):
                await store.commit()  # counts exactly, where the store was only careful
        assert seq * size > limit * 0.3
        await keep(store, *(plain(r.RELEASED, number) for number in range(seq)))
        await keep(store, *(plain(r.HELD, number) for number in range(1, 2000)))
        assert not store.fits(size)
        await keep(store, *(plain(r.DONE, number) for number in range(seq)))
        assert store.fits(size)
        await keep(store, accepted(seq, bytes(size)))
    assert path.stat().st_size <= limit


async def test_a_message_that_never_fits_is_an_error(path: Path) -> None:
    async with opened(path, size_max=1 << 20) as (store, _):
        with pytest.raises(StoreError, match=r"too large .* size_max=1048576"):
            store.fits(1 << 20)
        assert store.fits(10)


async def test_a_store_beyond_its_size_refuses_and_does_not_lie(path: Path) -> None:
    store = SqliteStore(path, size_max=1 << 20)
    await store.open()
    await keep(store, accepted(0))
    store.record(*accepted(1, bytes(2 << 20)))
    first, second = await asyncio.gather(store.commit(), store.commit(), return_exceptions=True)
    assert isinstance(first, StoreError)
    assert isinstance(second, StoreError)
    assert "full" in str(first)
    with pytest.raises(StoreError, match="full"):
        await store.commit()
    await store.close()
    async with opened(path) as (_, state):
        assert list(state.messages) == [0]


async def test_what_comes_without_asking_may_exceed_the_limit_then_waits_and_goes_on_when_there_is_room(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(path, size_max=1 << 20) as (store, _):
        seq = 0
        while True:  # nobody asks whether it fits
            store.record(*accepted(seq, bytes(20_000)))
            seq += 1
            committing = asyncio.create_task(store.commit())
            while not (committing.done() or "is full" in caplog.text):  # noqa: ASYNC110 - a log has no event
                await asyncio.sleep(0.001)
            if "is full" in caplog.text:
                committing.cancel()
                break
            assert seq < 100
        assert seq * 20_000 > 1 << 20
        assert not store.fits(1)
        for number in range(seq * 3 // 4):
            store.record(*plain(r.DONE, number))
        async with asyncio.timeout(RUN_TIMEOUT_S):
            await store.commit()
            while not store.fits(100):  # noqa: ASYNC110 - it looks by itself
                await asyncio.sleep(0.05)
    async with opened(path) as (_, state):
        assert list(state.messages) == list(range(seq * 3 // 4, seq))


async def test_a_file_of_the_first_schema_is_read_and_goes_on(path: Path) -> None:
    first = ClientTables()
    first.migrations = first.migrations[:1]
    with contextlib.closing(connect(str(path))) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        migrate(connection, str(path), first)
        batch = [accepted(3), plain(r.IDENTITY, 1, b"pump")]
        connection.execute("INSERT INTO log (records) VALUES (?)", (first.encode(batch),))
    assert list(read(path).messages) == [3]
    async with opened(path) as (store, state):
        assert list(state.messages) == [3]
        await keep(store, accepted(4))
    assert list(read(path).messages) == [3, 4]
