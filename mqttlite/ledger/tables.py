"""The tables of a ledger, one file for each place; and the statements that write them.

`ledger_steps` has a row for each key and peer, in the order in which they were first heard of. Times are ms since 1970
by the clock of that place, NULL: that step has not happened. What a key's message is itself (topic, bytes, traceparent)
stands in the row of who brought it.
"""

import sqlite3
from collections.abc import Iterable
from typing import Any

from .notes import Batch
from .steps import STEPS

VERSION = 1

TABLES = (
    "CREATE TABLE IF NOT EXISTS ledger_about (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
    f"""CREATE TABLE IF NOT EXISTS ledger_steps (id INTEGER PRIMARY KEY, producer TEXT NOT NULL, epoch INTEGER NOT NULL,
        sequence INTEGER NOT NULL, peer TEXT NOT NULL, topic TEXT, bytes INTEGER, traceparent TEXT,
        {", ".join(f"{step} INTEGER" for step in STEPS)}, cause TEXT, times_accepted INTEGER NOT NULL,
        times_forwarded INTEGER NOT NULL, times_handled INTEGER NOT NULL, since INTEGER NOT NULL)""",
    "CREATE UNIQUE INDEX IF NOT EXISTS ledger_keys ON ledger_steps (producer, epoch, sequence, peer)",
)

_KEPT = ("topic", "bytes", "traceparent", *STEPS)  # what was known first stays
_ADDED = ("times_accepted", "times_forwarded", "times_handled")
_COLUMNS = ("producer", "epoch", "sequence", "peer", *_KEPT, "cause", *_ADDED, "since")

_WRITE = (
    f"INSERT INTO ledger_steps ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "
    "ON CONFLICT (producer, epoch, sequence, peer) DO UPDATE SET "
    + ", ".join(f"{name} = coalesce({name}, excluded.{name})" for name in _KEPT)
    + ", cause = coalesce(excluded.cause, cause), "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in _ADDED)
)


def create(connection: sqlite3.Connection) -> None:
    """Make the tables where they are missing. ValueError: the file is of a version that is not known here."""
    with connection:
        for table in TABLES:
            connection.execute(table)
        found = about(connection, "version", VERSION)
        if found != VERSION:
            raise ValueError(f"it has version {found} of the ledger's tables, and this mqttlite knows {VERSION}")
        set_about(connection, "version", VERSION)


def about(connection: sqlite3.Connection, name: str, otherwise: Any = None) -> Any:
    """What the file says about itself."""
    row = connection.execute("SELECT value FROM ledger_about WHERE name = ?", (name,)).fetchone()
    return row[0] if row else otherwise


def set_about(connection: sqlite3.Connection, name: str, value: Any) -> None:
    """What it is to say from now on; nothing is written where it does so already."""
    connection.execute(
        "INSERT INTO ledger_about (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value "
        "WHERE value IS NOT excluded.value",
        (name, value),
    )


def write(connection: sqlite3.Connection, batch: Batch) -> None:
    """Add a batch, in the caller's transaction."""
    connection.executemany(_WRITE, _values(batch))


def _values(batch: Batch) -> Iterable[tuple[Any, ...]]:
    for ((producer, epoch, sequence), peer), row in batch.items():
        times = [at or None for at in row.at]
        yield (
            producer.decode(),
            epoch,
            sequence,
            text(peer),
            text(row.topic) or None,
            row.size if row.topic else None,
            text(row.trace) or None,
            *times,
            row.cause or None,
            *row.counts,
            min(at for at in row.at if at),
        )


def text(name: bytes) -> str:
    """As it stands in the tables: whatever has no place in UTF-8 is written so that it can be seen."""
    return name.decode(errors="backslashreplace")
