"""A copy of a store that is whole, made while its client or broker runs. CPython only."""

import contextlib
import os
import sqlite3

from ..base import StoreError
from ..folder import sync_folder
from ..in_sqlite import sqlite_reading
from ..in_sqlite.sqlite_found import beside, move_aside
from ..place import Lock, copy, shown, tighten
from ..tables.sqlite_schema import row
from .kinds import EMPTY, JOURNAL, kind_of

STEP = 1000  # pages that are copied at once: whoever writes does not wait for longer


def backup(path: str, to: str) -> int:
    """Copy the store `path` to the new file `to`, mode 0600, durably; its bytes. StoreError: it cannot be, `to` is
    there already, or the copy does not check; OSError of the disk.
    """
    kind = kind_of(path)
    if kind == EMPTY:
        raise StoreError(f"{shown(path)} is empty: there is nothing to be copied")
    if os.path.isdir(to):
        to = os.path.join(to, os.path.basename(path))
    if os.path.lexists(to):
        raise StoreError(f"{shown(to)} is there already: give another name")
    if not os.path.isdir(folder := os.path.dirname(to) or "."):
        raise StoreError(f"there is no folder {shown(folder)}: make it, or give another name")
    part = beside(to, "part")
    try:
        if kind == JOURNAL:
            copy(path, part)
        else:
            _copy_database(path, part)
        os.rename(part, to)
        sync_folder(to)
    except sqlite3.Error as error:
        raise StoreError(f"{shown(path)} cannot be copied: {error}") from error
    finally:
        for name in ("", "-wal", "-shm", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part + name)
    return os.path.getsize(to)


def _copy_database(path: str, to: str) -> None:
    os.close(os.open(to, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    with (
        contextlib.closing(sqlite_reading.reading(path)) as source,
        contextlib.closing(sqlite3.connect(to, isolation_level=None)) as target,
    ):
        source.execute("BEGIN")  # one moment for all of it, however long it takes
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(target, pages=STEP)
        target.execute("PRAGMA journal_mode = DELETE")
        with contextlib.suppress(sqlite3.OperationalError):  # of an earlier release: it has no such table
            target.execute("UPDATE life SET open = 0")
        if row(target, "PRAGMA integrity_check(1)") != ("ok",):
            raise StoreError(
                f"{shown(path)} is damaged, so is the copy: mqttlite store salvage takes out what is whole"
            )
    tighten(to)


def reset(path: str) -> str:
    """Move the store `path` aside, whatever it is, so that the next start begins with an empty one; its new name.
    StoreError: somebody has it, or it is not there.
    """
    path = os.path.realpath(path)
    sqlite_reading.demand_there(path)
    lock = Lock(path)
    try:
        aside = move_aside(path, "reset")
        lock.forget()
    finally:
        lock.close()
    return aside
