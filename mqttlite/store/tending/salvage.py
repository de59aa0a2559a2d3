"""Taking out of a damaged store what is whole in it, into a new one. CPython only.

The damaged file is only read, and stays. Of an SQLite store, each page is taken in its last version: those that the WAL
has behind its damage, too. Then its tables are read row by row, from both ends to where they cannot be read; then the
batches of the log that check. What is not certain is done again rather than lost: identifiers of received messages are
forgotten, since one that was freed meanwhile would swallow a message, and sequence numbers leave some out.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from typing import Any

from .. import damage
from ..area_host import FileArea
from ..base import StoreError
from ..folder import sync_folder
from ..in_sqlite import sqlite_reading, sqlite_wal
from ..in_sqlite.sqlite_found import beside, move_aside
from ..journal import Journal
from ..place import Lock, copy, demand_files, shown
from ..tables import broker_blocks, sqlite_schema
from ..tables.queue_tables import TABLES as QUEUE_TABLES
from .kinds import BROKER, JOURNAL, Reading, kind_of, tables_of

SIZE_AT = 28  # in a database: how many pages it has
_TABLES = {
    "client": ("meta", "outbound", "inbound", "subscription", "origin", "seen"),
    "broker": (
        "session",
        "outbound",
        "block",
        "content",
        "mark",
        "inbound",
        "subscription",
        "retained",
        "will",
        "clock",
        *QUEUE_TABLES,
    ),
}


def salvage(path: str, to: str | None = None) -> list[str]:
    """Put what is whole in the store `path` into a new store: `to`, or in its place, and then the damaged one is moved
    aside. What was got and what is lost, in lines of text. StoreError: nothing can be got; OSError of the disk.
    """
    path = os.path.realpath(path)
    demand_files(path)
    kind = kind_of(path)
    if kind == "empty":
        raise StoreError(f"{shown(path)} is empty: there is nothing to be salvaged; restore a backup")
    if to is not None and os.path.lexists(to):
        raise StoreError(f"{shown(to)} is there already: give another name")
    target = os.path.realpath(to) if to is not None else beside(path, "salvaged")
    with contextlib.ExitStack() as stack:
        if kind != JOURNAL:
            stack.callback(Lock(path).close)
        lost = _salvage_journal(path, target) if kind == JOURNAL else _salvage_database(path, target, kind)
        lines = lost or ["nothing was damaged"]
        if to is None:
            aside = move_aside(path, "damaged")
            os.rename(target, path)
            sync_folder(path)
            lines.append(f"{shown(path)} has what is whole; the damaged file is kept as {shown(aside)}")
        else:
            lines.append(f"{shown(target)} has what is whole; {shown(path)} is as it was")
    return lines


def _salvage_journal(path: str, target: str) -> list[str]:
    reading = Reading(path)
    journal = Journal(FileArea(target, max(65536, 2 * os.path.getsize(path))))
    try:
        journal._compact(reading.state)
    finally:
        journal._area.close()
    return [f"damaged: {reading.problem}; what was in between is lost"] if reading.problem else []


def _salvage_database(path: str, target: str, kind: str) -> list[str]:
    """Most of a damaged page is better than an older one, but not where it says what the others are: the way counts in
    which the new store has more.
    """
    ways: list[tuple[int, str, list[str]]] = []
    problem = ""
    for damaged in (True, False):
        way = f"{target}.{len(ways)}"
        try:
            lost = _salvage_pages(path, way, kind, damaged)
        except sqlite3.Error as error:
            problem = str(error)
            continue
        ways.append((_rows_in(way, kind), way, lost))
        if not lost:
            break
    if not ways:
        raise StoreError(f"{shown(path)}: nothing can be salvaged: {problem}")
    _, best, lost = max(ways, key=lambda found: found[0])
    os.rename(best, target)
    for _, way, _ in ways:
        _remove(way)
    sync_folder(target)
    return lost


def _rows_in(path: str, kind: str) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        counts = [f"(SELECT count(*) FROM {table})" for table in _TABLES[kind]]
        return int(connection.execute(f"SELECT {' + '.join(counts)}").fetchone()[0])


def _salvage_pages(path: str, target: str, kind: str, damaged: bool) -> list[str]:
    work = beside(path, "work")
    try:
        copy(path, work)
        lost = _apply_wal(path, work, damaged)
        with contextlib.closing(sqlite3.connect(work, isolation_level=None)) as source:
            source.execute("PRAGMA journal_mode = DELETE")
            return lost + _transfer(source, target, kind, lost)
    except BaseException:
        _remove(target)
        raise
    finally:
        _remove(work)


def _remove(path: str) -> None:
    for name in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + name)


def _apply_wal(path: str, work: str, damaged: bool) -> list[str]:
    """Put the last version of each page that the WAL has into a copy of the database."""
    wal = sqlite_wal.examine(path)
    if not wal.header and wal.at < 0:
        with (
            contextlib.closing(sqlite_reading.reading(work, at_rest=True)) as connection,
            contextlib.suppress(sqlite3.Error),
        ):
            if sqlite_schema.row(connection, "SELECT open FROM life")[0]:
                return ["it was in use and has no -wal: what was written last is lost"]
        return []
    file = os.open(work, os.O_RDWR | os.O_CLOEXEC)
    try:
        pages, size = sqlite_wal.apply(path, lambda page, data: os.pwrite(file, data, page), damaged)
        if pages:
            os.ftruncate(file, pages * size)
            os.pwrite(file, pages.to_bytes(4, "big"), SIZE_AT)  # its first page may be an older one
    finally:
        os.close(file)
    if wal.at < 0:
        return []
    return [f"the -wal is wrong at byte {wal.at}: {wal.behind} whole frames of {wal.commits} commits were behind that"]


def _transfer(source: sqlite3.Connection, target: str, kind: str, problems: list[str]) -> list[str]:
    tables = tables_of(kind)
    lost: list[str] = []
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as connection:
        sqlite_schema.migrate(connection, target, tables)
        with contextlib.suppress(sqlite3.Error, StoreError):
            sqlite_schema.migrate(source, target, tables)  # of a copy: its columns are those of this release
        connection.execute("BEGIN")
        for table in _TABLES[kind]:
            columns = [row[1] for row in source.execute(f"PRAGMA table_info({table})")]
            key = next((row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[5]), "rowid")
            problem = ""
            for row in _rows(source, table, key, columns):
                if isinstance(row, str):
                    problem = row
                    continue
                marks = ", ".join("?" * len(row))
                connection.execute(f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}) VALUES ({marks})", row)
            if problem:
                lost.append(f"rows of the table {table} are lost: {problem}")
        connection.execute("COMMIT")
        if kind == BROKER:
            lost += _drop_orphans(connection) + broker_blocks.mend(connection)
        lost += _carry_over(source, connection, tables)
        if kind == BROKER:
            lost += _drop_orphans(connection)
        if lost or problems or not _is_whole(source):
            connection.execute("DELETE FROM inbound")
            if kind == BROKER:
                connection.execute("UPDATE session SET next = next + ?", (damage._AHEAD,))
            elif (after := tables.load(connection).next) >= 0:
                connection.execute("INSERT OR REPLACE INTO meta VALUES ('next', ?)", (after + damage._AHEAD,))
        connection.execute("PRAGMA journal_mode = WAL")
    return lost


def _is_whole(connection: sqlite3.Connection) -> bool:
    try:
        return bool(sqlite_schema.row(connection, "PRAGMA integrity_check(1)") == ("ok",))
    except sqlite3.Error:
        return False


def _rows(source: sqlite3.Connection, table: str, key: str, columns: list[str]) -> Iterator[tuple[Any, ...] | str]:
    """The rows of a table, from its beginning to where they cannot be read, and from its end; then why."""
    seen = set()
    for order in ("ASC", "DESC"):
        try:
            for row in source.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {key} {order}"):
                if order == "DESC" and row in seen:
                    return
                seen.add(row)
                yield row
            return
        except sqlite3.Error as error:
            yield str(error)


def _carry_over(source: sqlite3.Connection, connection: sqlite3.Connection, tables: Any) -> list[str]:
    """Bring the new tables up to date with the batches of the log that check."""
    batches: list[bytes] = []
    wrong = 0
    problem = ""
    try:
        batches, wrong = sqlite_schema.logged(source)
    except sqlite3.Error as error:
        problem = str(error)
    failed = 0
    for batch in batches:
        tables.load(connection)
        try:
            sqlite_schema.carry_over(connection, tables, tables.decode(batch))
        except Exception:  # it speaks of what is lost
            connection.execute("ROLLBACK")
            failed += _one_by_one(connection, tables, tables.decode(batch))
    lost = []
    if wrong:
        lost.append(f"{wrong} of {wrong + len(batches)} batches of the log are lost")
    if problem:
        lost.append(f"the log cannot be read to its end: {problem}")
    if failed:
        lost.append(f"{failed} records of the log speak of what is lost")
    return lost


def _one_by_one(connection: sqlite3.Connection, tables: Any, records: list[Any]) -> int:
    failed = 0
    for record in records:
        tables.load(connection)
        try:
            sqlite_schema.carry_over(connection, tables, [record])
        except Exception:
            connection.execute("ROLLBACK")
            failed += 1
    return failed


def _drop_orphans(connection: sqlite3.Connection) -> list[str]:
    """What belongs to sessions that are lost: nobody could ever fetch it. (A will needs no session.)"""
    lost = []
    owned = {
        "outbound": "id >> 40",
        "block": "id >> 40",
        "mark": "id >> 40",
        "inbound": "id >> 16",
        "subscription": "session",
    }
    for table, session in owned.items():
        count = connection.execute(f"DELETE FROM {table} WHERE {session} NOT IN (SELECT session FROM session)").rowcount
        if count:
            lost.append(f"{count} rows of the table {table} belong to sessions that are lost")
    return lost
