"""Connections of sqlite3: which are as durable as an acknowledgement says, which are made so, which are refused."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqttlite.database import DatabaseError, sqlite


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        yield connection


async def test_a_connection_as_python_opens_it_syncs_the_deletion_of_its_rollback_journal(
    connection: sqlite3.Connection,
) -> None:
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    connection.row_factory = sqlite3.Row
    await sqlite(connection).create_tables()
    assert tuple(connection.execute("PRAGMA synchronous").fetchone()) == (3,)


@pytest.mark.parametrize("level", ["OFF", "NORMAL"])
async def test_commits_that_do_not_wait_for_the_disk_are_refused(connection: sqlite3.Connection, level: str) -> None:
    connection.execute(f"PRAGMA synchronous = {level}")
    with pytest.raises(DatabaseError, match="execute PRAGMA synchronous = FULL"):
        await sqlite(connection).create_tables()


@pytest.mark.parametrize("mode", ["memory", "off"])
async def test_a_journal_that_does_not_survive_the_process_is_refused(
    connection: sqlite3.Connection, mode: str
) -> None:
    connection.execute(f"PRAGMA journal_mode = {mode}")
    with pytest.raises(DatabaseError, match=f"journal_mode is {mode}: .*execute PRAGMA journal_mode = WAL"):
        await sqlite(connection).create_tables()


async def test_a_file_that_is_no_database_is_refused_as_one_that_has_failed(tmp_path: Path) -> None:
    (tmp_path / "app.db").write_bytes(b"x" * 8192)
    with (
        contextlib.closing(sqlite3.connect(tmp_path / "app.db")) as connection,
        pytest.raises(DatabaseError, match="the database has failed: file is not a database"),
    ):
        await sqlite(connection).create_tables()


async def test_a_database_in_memory_is_taken_for_what_it_is() -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        await sqlite(connection).create_tables()


async def test_a_wal_is_written_again_as_it_is_while_others_have_it_open(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE numbers (n INTEGER)")
    connection.executemany("INSERT INTO numbers VALUES (?)", [(n,) for n in range(5000)])
    connection.commit()
    before = (tmp_path / "app.db-wal").read_bytes()
    with contextlib.closing(sqlite3.connect(tmp_path / "app.db")) as second:
        reading = second.execute("SELECT n FROM numbers ORDER BY n")
        assert reading.fetchone() == (0,)
        await sqlite(connection).create_tables()
        after = (tmp_path / "app.db-wal").read_bytes()
        assert len(before) > 32 and after.startswith(before)  # the tables come behind
        assert len(reading.fetchall()) == 4999
        assert second.execute("PRAGMA integrity_check").fetchone() == ("ok",)
