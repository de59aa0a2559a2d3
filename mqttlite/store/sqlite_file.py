"""One SQLite file that is a store: locked, checked, migrated; batches of records in, a state out. CPython only.

A batch of records is one row that is appended to the table `log`: the least that SQLite can be asked to write. When the
log has grown, its records are carried over into the tables (sqlite_tables.py), as their sum: what came and went
meanwhile never gets there.

WAL mode with synchronous=FULL: a transaction that has returned survives a power cut. One process has the file at a
time: `.lock` beside it is locked with flock. The kernel lets go of that lock however the process ends; it is a file of
its own because closing any descriptor of the database would drop SQLite's own locks; and it does not keep readers away,
so `mqttlite store show` works while a client runs.
"""

import contextlib
import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import quote

from .base import StoreError
from .folder import sync_folder
from .sqlite_leftovers import settle_wal
from .sqlite_tables import Connection

PAGE = 4096  # bytes
CHECKPOINT = 1000  # pages in the WAL that are worth being moved to the database
LOG_MAX = 256 << 10  # bytes of records in the log
PATIENCE = 30.0  # seconds that a program which writes to the file by itself is waited for

_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

logger = logging.getLogger("mqttlite.store")


class Tables(Protocol):
    """What is in the file: sqlite_tables.py."""

    application_id: int
    migrations: list[tuple[str, ...]]

    def load(self, connection: Connection) -> Any: ...
    def write(self, connection: Connection, batch: list[Any]) -> None: ...
    def encode(self, batch: list[Any]) -> bytes: ...
    def decode(self, data: bytes) -> list[Any]: ...


class _Damaged(Exception):
    """The file is not what a store has written."""


def connect(path: str) -> sqlite3.Connection:
    """A connection for writing, with the settings that are not about what is promised."""
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}")
    connection.execute("PRAGMA secure_delete = OFF")  # overwriting what was deleted would double what is written
    return connection


def migrate(connection: Connection, path: str, tables: Tables) -> None:
    """Bring the schema to the version of this release. StoreError: not ours, or of a later one."""
    for number in range(check(connection, path, tables), len(tables.migrations)):
        connection.execute("BEGIN IMMEDIATE")
        for statement in tables.migrations[number]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")


def check(connection: Connection, path: str, tables: Tables) -> int:
    """The schema version of a file; 0: it is empty. StoreError when it is not a store, or of a later version."""
    (application,) = row(connection, "PRAGMA application_id")
    (version,) = row(connection, "PRAGMA user_version")
    (names,) = row(connection, "SELECT count(*) FROM sqlite_master")
    if application != tables.application_id and (application or version or names):
        raise StoreError(f"{path} is an SQLite database of another program: give the store a file of its own")
    newest = len(tables.migrations)
    if version > newest:
        raise StoreError(
            f"{path} has schema version {version} and was written by a later release of mqttlite; this one knows"
            f" {newest}: install that release, or give the store another file"
        )
    return int(version)


def read(path: str | os.PathLike[str], tables: Tables) -> Any:
    """What a store holds, without changing it; works while somebody has it open; None: nothing. StoreError when it
    cannot be read.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise StoreError(f"{path}: there is no such file")
    address = "file:" + quote(os.path.abspath(path)) + "?mode=ro"
    if not os.path.exists(path + "-wal") and not os.access(os.path.dirname(os.path.abspath(path)), os.W_OK):
        address += "&immutable=1"  # SQLite wants to create -shm beside it, even to read
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
            connection.execute("BEGIN")  # one moment for all tables
            if not check(connection, path, tables):
                return None
            with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
                connection.backup(copy)  # where an older schema can be changed, and the log carried over
                migrate(copy, path, tables)
                return load(copy, tables)
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def load(connection: Connection, tables: Tables) -> Any:
    """What the file holds, once its log is carried over."""
    state = tables.load(connection)
    logged = b"".join([data for (data,) in connection.execute("SELECT records FROM log ORDER BY id")])
    records = tables.decode(logged)
    if not records:
        return state
    carry_over(connection, tables, records)
    return tables.load(connection)


def carry_over(connection: Connection, tables: Tables, records: list[Any]) -> None:
    """Bring the tables up to date with what is in the log, and what would come behind it; then the log is empty."""
    connection.execute("BEGIN IMMEDIATE")
    tables.write(connection, records)
    connection.execute("DELETE FROM log")
    connection.execute("COMMIT")


class SqliteFile:
    """The file, used by one thread. Arguments: see SqliteWriter."""

    def __init__(
        self,
        path: str,
        tables: Tables,
        size_max: int,
        log_max: int,
        allow_reset: bool,
        connect: Callable[[str], Connection],
    ) -> None:
        self.path = path
        self.size_max = size_max
        self._tables = tables
        self._allow_reset = allow_reset
        self._connect = connect
        self._connection: Connection | None = None
        self._lock: int | None = None
        self._failed = False
        self._log_max = min(log_max, size_max // 16)
        self._log_bytes = 0
        self._logged: list[Any] = []  # records that are in the log

    def open(self) -> Any:
        """The state that was durable last. StoreError when it cannot be told: the text says what is in the way."""
        try:
            self._lock = _lock(self.path)
            return self._open()
        except Exception as error:
            self.close()
            if isinstance(error, StoreError):
                raise
            raise StoreError(f"{self.path} cannot be opened: {error}") from error

    def _open(self) -> Any:
        try:
            return self._open_file()
        except Exception as error:
            if _code(error) not in _CORRUPT and not isinstance(error, _Damaged):
                raise
            if not self._allow_reset:
                raise StoreError(
                    f"{self.path} is damaged ({error}): restore it, or open it with allow_reset=True to move it aside"
                    " and begin empty; what was accepted and not delivered is lost then"
                ) from error
            self._disconnect()
            aside = _move_aside(self.path)
            logger.error(
                "%s is damaged (%s): moved to %s; the store begins empty, and what was accepted and not delivered is"
                " lost, unless it can be recovered from there",
                self.path,
                error,
                aside,
            )
            return self._open_file()

    def _open_file(self) -> Any:
        with contextlib.suppress(FileExistsError):  # SQLite gives -wal and -shm the mode of the database
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        if _may_be_ours(self.path, self._tables.application_id):
            # Before SQLite has it open: whatever goes wrong then, it would still carry over what is in the WAL.
            settle_wal(self.path)
        connection = self._connection = self._connect(self.path)
        check(connection, self.path, self._tables)  # before anything is written to what may not be ours
        (mode,) = row(connection, "PRAGMA journal_mode = WAL")
        if mode != "wal":
            raise StoreError(f"{self.path}: no WAL mode here ({mode}): put the store on a local disk")
        connection.execute("PRAGMA synchronous = FULL")
        (verdict,) = row(connection, "PRAGMA quick_check(1)")
        if verdict != "ok":
            raise _Damaged(" ".join(verdict.split()))
        migrate(connection, self.path, self._tables)
        self._page = int(row(connection, "PRAGMA page_size")[0])
        self._pages = int(row(connection, f"PRAGMA max_page_count = {self.size_max // self._page}")[0])
        sync_folder(self.path)
        return load(connection, self._tables)

    def write(self, batch: list[Any], empty_log: bool = False) -> None:
        """Make a batch durable, in one transaction, and carry over the log if room is needed. StoreError: it is not,
        and the file is of no more use: SQLite can no longer say what is on the disk, and neither can we.
        """
        connection = self._connection
        if connection is None or self._failed:
            raise StoreError(f"{self.path} is closed")
        try:
            data = self._tables.encode(batch)
            if empty_log or self._log_bytes + len(data) > self._log_max:
                carry_over(connection, self._tables, self._logged + batch)
                self._logged = []
                self._log_bytes = 0
            else:
                connection.execute("INSERT INTO log (records) VALUES (?)", (data,))
                self._log_bytes += len(data)
                self._logged += batch
        except Exception as error:
            self._failed = True
            full = _code(error) == sqlite3.SQLITE_FULL
            todo = "make room on the disk (or raise size_max)" if full else "see to the disk"
            failure = (
                f"{self.path} cannot keep what it is given: {error}; {todo} and restart: what was not confirmed may or"
                " may not be stored"
            )
            logger.error("%s", failure)
            raise StoreError(failure) from error

    def room(self) -> int:
        """Bytes that still fit."""
        assert self._connection
        used = int(row(self._connection, "PRAGMA page_count")[0])
        free = int(row(self._connection, "PRAGMA freelist_count")[0])
        return max(0, (self._pages - used + free) * self._page - self.reserve)

    @property
    def reserve(self) -> int:
        """Bytes kept for what must not fail: acknowledgements, identifiers, subscriptions; and for carrying over."""
        return min(1 << 20, self.size_max // 4) + 2 * self._log_max

    def close(self) -> None:
        """Let go of the file. What is committed is on the disk already; who looks into it finds it in the tables."""
        if self._connection is not None and self._logged and not self._failed:
            with contextlib.suppress(Exception):
                carry_over(self._connection, self._tables, self._logged)
        self._disconnect()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()
            self._connection = None


def row(connection: Connection, sql: str) -> Any:
    """The one row of a query."""
    (row,) = list(connection.execute(sql))
    return row


def _code(error: Exception) -> int:
    """SQLite's primary result code of an error of sqlite3 or apsw; 0: it has none."""
    code = getattr(error, "sqlite_errorcode", None) or getattr(error, "result", 0)
    return int(code) & 0xFF if isinstance(code, int) else 0


def _lock(path: str) -> int:
    """Take the store for this process; the descriptor that holds it. StoreError when somebody has it."""
    lock = os.open(path + ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode(errors="replace") or "that is just starting"
        os.close(lock)
        if holder == str(os.getpid()):
            text = f"{path} is open in this process already: a store serves one client"
        else:
            text = f"{path} is in use by process {holder}: stop that one, or give this client a store of its own"
        raise StoreError(text) from None
    except BaseException:
        os.close(lock)
        raise
    return lock


def _may_be_ours(path: str, application_id: int) -> bool:
    """Whether a database is a store or empty, as far as its first bytes tell. See SQLite's file format."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        header = os.pread(file, 100, 0)
    finally:
        os.close(file)
    return int.from_bytes(header[68:72], "big") == application_id or not any(header[40:44])  # no schema was ever made


def _move_aside(path: str) -> str:
    """Rename a damaged database and its WAL; the new name. The database first: without it, SQLite drops a WAL that is
    left, but without its WAL a database looks whole and is old.
    """
    aside = stem = path + time.strftime(".corrupt-%Y%m%dT%H%M%S")
    number = 1
    while os.path.exists(aside):
        number += 1
        aside = f"{stem}-{number}"
    os.rename(path, aside)
    with contextlib.suppress(FileNotFoundError):
        os.rename(path + "-wal", aside + "-wal")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path + "-shm")
    sync_folder(path)
    return aside
