"""One ledger's file: batches go in, the oldest entries out.

WAL with `synchronous = NORMAL`: a batch is a write without a sync, so a power cut may take the last ones and leaves the
file whole; the disk is synced once for some megabytes, when SQLite carries its log over.
"""

import os
import sqlite3
from typing import Any

from . import tables
from .notes import Batch

PAGE = 1024  # bytes: an entry takes some 100, and whatever page a batch touches is written whole
LOG_BYTES = 4 << 20  # of `-wal`, before it is carried over, which is when the disk is synced
SPARE = 64  # a file that is over a limit gets below it by one part in so many, so that not each batch deletes some


class LedgerFile:
    """Of one place, by one writer. Any of its methods may be called in any thread, one at a time.

    `entries`, `max_bytes`, `max_age_ms`: what it may have at most. `gone`: entries that had to go since then.
    """

    def __init__(self, path: str | os.PathLike[str], node: str, entries: int, max_bytes: int, max_age_ms: int) -> None:
        self.path = os.fspath(path)
        self.node = node
        self.entries_max = entries
        self.max_bytes = max_bytes
        self.max_age_ms = max_age_ms
        self.entries = 0
        self.gone = 0
        self.bytes = 0
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Make the file, mode 0600, where it is missing. sqlite3.Error, OSError or ValueError says why it cannot be."""
        if not os.path.exists(self.path):
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600))
        connection = sqlite3.connect(self.path, timeout=5.0, check_same_thread=False)
        try:
            connection.execute(f"PRAGMA page_size = {PAGE}")  # of a file that is new
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_BYTES // PAGE}")
            connection.execute("PRAGMA synchronous = NORMAL")
            tables.create(connection)
            with connection:
                tables.set_about(connection, "node", self.node)
            self.entries = connection.execute("SELECT count(*) FROM ledger_steps").fetchone()[0]
            self.gone = tables.about(connection, "gone", 0)
            self.bytes = _used(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def write(self, batch: Batch, missed: int, wall_ms: int) -> None:
        """Add a batch, and let go what is too much, in one transaction. `missed`: notes that are not in it."""
        connection = self._connection
        assert connection
        with connection:
            before = _last(connection)
            tables.write(connection, batch)
            entries = self.entries + max(0, _last(connection) - before)
            if missed:
                tables.set_about(connection, "missed", tables.about(connection, "missed", 0) + missed)
            gone = self._let_go(connection, entries, wall_ms)
        # Not before it is committed: on a full disk that is what fails
        self.entries = entries - gone
        self.gone += gone
        self.bytes = _used(connection)

    def _let_go(self, connection: sqlite3.Connection, entries: int, wall_ms: int) -> int:
        """Delete what is too much of so many entries; how many had to go."""
        gone = 0
        if self.max_age_ms:
            row = connection.execute("SELECT id FROM ledger_steps ORDER BY id LIMIT 1").fetchone()
            if row:
                gone += self._delete(
                    connection,
                    # Ids grow with time, as far as the clock was right: the first that is young ends it
                    "id < coalesce((SELECT id FROM ledger_steps WHERE since >= ? ORDER BY id LIMIT 1), ?)",
                    wall_ms - self.max_age_ms,
                    _last(connection) + 1,
                )
        over = entries - gone - self.entries_max
        size = _used(connection)
        if size > self.max_bytes:
            share = (size - self.max_bytes) / size
            over = max(over, int((entries - gone) * share) + 1)
        if over > 0:
            over += self.entries_max // SPARE
            gone += self._delete(
                connection, "id <= (SELECT max(id) FROM (SELECT id FROM ledger_steps ORDER BY id LIMIT ?))", over
            )
        if gone:
            tables.set_about(connection, "gone", self.gone + gone)
        return gone

    def _delete(self, connection: sqlite3.Connection, which: str, *values: Any) -> int:
        return connection.execute(f"DELETE FROM ledger_steps WHERE {which}", values).rowcount

    def close(self) -> None:
        """Carry the log over and let go of the file."""
        connection, self._connection = self._connection, None
        if connection:
            connection.close()


def _last(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT max(id) FROM ledger_steps").fetchone()
    return row[0] or 0


def _used(connection: sqlite3.Connection) -> int:
    """Bytes of the file that are in use: what was deleted is used again, and the file never gets smaller."""
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    free = connection.execute("PRAGMA freelist_count").fetchone()[0]
    size: int = connection.execute("PRAGMA page_size").fetchone()[0]
    return int(pages - free) * size
