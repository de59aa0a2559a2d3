"""Reads an SQLite store without changing it, also while somebody has it open; what is wrong with it. CPython only."""

import contextlib
import os
import sqlite3
from typing import Any
from urllib.parse import quote

from ..base import StoreError
from ..place import demand_file, had_store, shown
from ..tables.sqlite_schema import Damaged, Tables, check, load, migrate, row
from . import sqlite_wal

# What can be done about a damaged file, for whoever reads the message.
ADVICE = (
    "restore a backup, or take out what is whole with `mqttlite store salvage {0}`, or begin empty with `mqttlite store"
    " reset {0}`; both keep the damaged file"
)


def read(path: str | os.PathLike[str], tables: Tables) -> Any:
    """What a store holds, without changing it; works while somebody has it open; None: nothing. StoreError when it
    cannot be read.
    """
    path = os.fspath(path)
    demand_there(path)
    try:
        with contextlib.closing(reading(path, at_rest=True)) as connection:
            connection.execute("BEGIN")  # one moment for all tables
            if not check(connection, path, tables):
                return None
            with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
                connection.backup(copy)  # where an older schema can be changed, and the log carried over
                migrate(copy, path, tables)
                return load(copy, tables)
    except (sqlite3.Error, Damaged) as error:
        raise StoreError(what_is_wrong(path, "cannot be read", error)) from error


def what_is_wrong(path: str, what: str, error: Exception) -> str:
    """In words, with what can be done: for a file that is damaged, or one that was never a store."""
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_NOTADB and _was_never_one(path):
        return (
            f"{shown(path)} is not a store of mqttlite: give the store the name of another file; if it was one, its"
            f" first bytes are overwritten, and `mqttlite store salvage {shown(path)}` takes out what is whole"
        )
    return f"{shown(path)} {what} ({error}): {ADVICE.format(shown(path))}"


def _was_never_one(path: str) -> bool:
    """Whether a file that is no database was none before, either, as far as what is there tells."""
    if had_store(path) or sqlite_wal.examine(path).header:
        return False
    with open(path, "rb") as file:
        return any(file.read(16))  # else it has lost a block


def missing(path: str) -> str:
    """What a database that is not in use lacks, in words; "": nothing, as far as can be told."""
    wal = sqlite_wal.examine(path)
    if wal.at >= 0:
        return f"its -wal is wrong at byte {wal.at}, and {wal.commits} commits behind that are not shown"
    if wal.header:
        return ""
    try:
        with contextlib.closing(reading(path, at_rest=True)) as connection:
            in_use = bool(row(connection, "SELECT open FROM life")[0])
    except sqlite3.Error:
        return ""
    return "it was in use and has no -wal, so what was written last is missing" if in_use else ""


def demand_there(path: str) -> None:
    """StoreError when there is no file at `path`."""
    demand_file(path)
    if not os.path.isfile(path):
        raise StoreError(f"{shown(path)}: there is no such file")


def reading(path: str, at_rest: bool = False, any_thread: bool = False) -> sqlite3.Connection:
    """A connection that cannot write. `at_rest`: without a WAL nobody has the file, so nothing is put beside it.
    `any_thread`: one thread after the other may use it. sqlite3.Error.
    """
    path = os.path.realpath(path)
    address = "file:" + quote(path) + "?mode=ro"
    if not os.path.exists(path + "-wal") and (at_rest or not os.access(os.path.dirname(path), os.W_OK)):
        address += "&immutable=1"  # SQLite wants to create -shm beside it, even to read
    return sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=not any_thread)
