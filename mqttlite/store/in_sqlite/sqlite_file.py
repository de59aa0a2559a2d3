"""One SQLite file that is a store: locked, checked, migrated; batches of records in, a state out. CPython only. What is
in it: sqlite_schema.py.

WAL mode with synchronous=FULL: a transaction that has returned survives a power cut. One process has the file at a
time: `.lock` beside it is locked with flock (place.py). It is a file of its own because closing any descriptor of the
database would drop SQLite's own locks; and it does not keep readers away, so `mqttlite store show` works while a client
runs.

A torn end of the WAL is cut off in silence. Anything else that does not check is said and kept: a WAL that is damaged
in its middle (sqlite_wal.py), a database that was in use and has no WAL (table `life`), an empty file where a store
was, a batch of the log with another checksum. After each commit the files must still be the ones at their path.
"""

import atexit
import contextlib
import ctypes
import errno
import logging
import os
import sqlite3
import time
from binascii import crc32
from collections.abc import Callable
from typing import Any, TypeVar

from ..base import StoreError
from ..folder import sync_folder
from ..place import Lock, copy, demand_files, identity, shown, tighten_all, why_not
from ..tables.sqlite_schema import Damaged, Tables, carry_over, check, load, migrate, row
from ..tables.sqlite_tables import Connection
from . import sqlite_wal
from .sqlite_beside import Beside
from .sqlite_found import beside, is_new, may_be_ours, move_aside
from .sqlite_leftovers import settle_wal
from .sqlite_reading import reading, what_is_wrong
from .sqlite_reserve import Reserve

PAGE = 4096  # bytes
CHECKPOINT = 1000  # pages in the WAL that are worth being moved to the database, about
CHECKPOINT_LATEST = 2 * CHECKPOINT  # SQLite does so by itself, whatever thread has just committed
LOG_MAX = 512 << 10  # bytes of records in the log
CHECKPOINT_FULL = 32  # the same while the disk is full: the WAL must not grow
PATIENCE = 30.0  # seconds that a program which writes to the file by itself is waited for
LOOK_S = 1.0  # how often all files are looked at, and not only the database after each commit ...
LOOK_WAL_S = 0.02  # ... and its WAL
MARGIN = 256 << 10  # bytes on the disk that messages do not get

_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_NO_ROOM_FOR_SHM = 4874  # SQLITE_IOERR_SHMSIZE

logger = logging.getLogger("mqttlite.store")


T = TypeVar("T")


class _Incomplete(Exception):
    """The file was in use when it was copied, or its WAL is lost."""


class Full(StoreError):
    """A batch did not fit, and nothing of it is stored: the same may be tried again."""


def connect(path: str) -> sqlite3.Connection:
    """A connection for writing, with the settings that are not about what is promised."""
    # Whoever uses it is the only one: while a thread writes a batch, the loop begins none (sqlite.py).
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_LATEST}")
    connection.execute("PRAGMA secure_delete = OFF")  # overwriting what was deleted would double what is written
    return connection


class SqliteFile:
    """The file, used by one thread. Arguments: see SqliteWriter.

    `is_full`: the disk has no room; what is there can be finished, and nothing more be taken.
    """

    def __init__(
        self,
        path: str,
        tables: Tables,
        size_max: int,
        log_max: int,
        allow_reset: bool,
        connect: Callable[[str], Connection],
        reserve: int,
    ) -> None:
        self.path = path
        self._wal = path + "-wal"
        self.size_max = size_max
        self.is_full = False
        self._tables = tables
        self._allow_reset = allow_reset
        self._connect = connect
        self._room_kept = Reserve(path, reserve)
        self._beside = Beside(path)
        self._connection: Connection | None = None
        self._lock: Lock | None = None
        self._files: dict[str, tuple[int, int] | None] = {}  # which they were when they were opened
        self._failed = False
        self._is_marked = False  # the file says that it is in use
        self._inode = self._wal_inode = 0
        self._look_at = self._look_at_wal = 0.0
        self._is_careful = False  # there is no reserve: the WAL must not grow
        self._log_max = min(log_max, size_max // 16)
        self._log_bytes = 0
        self._logged: list[Any] = []  # records that are in the log
        self.took_s = 0.0  # how long the last commit took
        self.has_carried = False  # with it, the log was carried over
        self._in_wal = 0  # pages in the WAL, about
        self._written = 0  # bytes since the last look at how much the database will grow

    def open(self) -> Any:
        """The state that was durable last. StoreError when it cannot be told: the text says what is in the way."""
        try:
            demand_files(self.path)
            try:
                return self._open()
            except Exception as error:
                if not _is_full(error) or not self._room_kept.give_up():
                    raise
                self._close(in_order=True)
                self._fill("at its start")
                return self._open()
        except Exception as error:
            self._close()
            if isinstance(error, StoreError):
                raise
            todo = "; make room on the disk, and start again" if _is_full(error) else ""
            raise StoreError(f"{shown(self.path)} cannot be opened: {why_not(self.path, error)}{todo}") from error

    def _open(self) -> Any:
        self._lock = Lock(self.path)
        try:
            return self._open_file()
        except _Incomplete:
            self._disconnect()
            self._keep_incomplete()
            return self._open_file(incomplete=True)
        except Exception as error:
            if _code(error) not in _CORRUPT and not isinstance(error, Damaged):
                raise
            if not self._allow_reset:
                raise StoreError(what_is_wrong(self.path, "is damaged", error)) from error
            self._disconnect()
            self._is_marked = self._lock.knew_store = False
            aside = move_aside(self.path, "corrupt")
            logger.error(
                "%s is damaged (%s): moved to %s; the store begins empty, and what was accepted and not delivered is"
                " lost, unless it is salvaged from there (mqttlite store salvage)",
                shown(self.path),
                error,
                shown(aside),
            )
            return self._open_file()

    def _open_file(self, incomplete: bool = False) -> Any:
        assert self._lock
        has_wal = is_new(self.path, self._lock.knew_store)
        with contextlib.suppress(FileExistsError):  # SQLite gives -wal and -shm the mode of the database
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        if may_be_ours(self.path, self._tables.application_id):
            wal = sqlite_wal.examine(self.path)
            if wal.at >= 0:
                raise Damaged(
                    f"its -wal is wrong at byte {wal.at}, and behind that are {wal.behind} whole frames of"
                    f" {wal.commits} commits"
                )
            has_wal = has_wal or wal.header
            # Before SQLite has it open: whatever goes wrong then, it would still carry over what is in the WAL.
            settle_wal(self.path)
        connection = self._connection = self._connect(self.path)
        version = check(connection, self.path, self._tables)  # before anything is done to what may not be ours
        tighten_all(self.path)
        self._is_marked = version > 1 and bool(row(connection, "SELECT open FROM life")[0])
        if self._is_marked and not has_wal and not incomplete:
            self._is_marked = False  # there is no WAL that could be lost
            raise _Incomplete
        (mode,) = row(connection, "PRAGMA journal_mode = WAL")
        if mode != "wal":
            raise StoreError(f"{shown(self.path)}: no WAL mode here ({mode}): put the store on a local disk")
        connection.execute("PRAGMA synchronous = FULL")
        (verdict,) = row(connection, "PRAGMA quick_check(1)")
        if verdict != "ok":
            raise Damaged(" ".join(verdict.split()))
        migrate(connection, self.path, self._tables)
        self._page = int(row(connection, "PRAGMA page_size")[0])
        self._pages = int(row(connection, f"PRAGMA max_page_count = {self.size_max // self._page}")[0])
        state = load(connection, self._tables)
        if not self._is_marked:
            self._is_marked = True
            connection.execute("UPDATE life SET open = 1")
        # So that the database alone tells that it is not all: as long as it does, there is a WAL with a header.
        list(connection.execute("PRAGMA wal_checkpoint(PASSIVE)"))
        has_reserve = self.is_full or self._room_kept.make()
        sync_folder(self.path)
        self._lock.made()
        self._files = {self.path + name: identity(self.path + name) for name in ("", "-wal")}
        self._files[self.path + ".lock"] = self._lock.identity()
        self._inode, self._wal_inode = [(found or (0, 0))[1] for found in list(self._files.values())[:2]]
        if self.is_full or not has_reserve:
            self._set_checkpoint(CHECKPOINT_FULL)
        return state

    def _keep_incomplete(self) -> None:
        """The database has been copied without its WAL, or lost it. What it has is used, and it is kept as it was."""
        try:
            kept = f"as it was, it is kept as {shown(copy(self.path, beside(self.path, 'incomplete')))}"
        except OSError as error:
            kept = f"it could not be kept as it was ({error})"
        logger.error(
            "%s is a copy of a store that was in use, without its -wal (or that is lost): what was written last is"
            " missing; %s. It goes on with what there is; if the -wal exists, stop, put both back together and start"
            " again. `mqttlite store backup` makes copies that are whole",
            shown(self.path),
            kept,
        )

    def write(self, batch: list[Any], empty_log: bool = False) -> None:
        """Make a batch durable, in one transaction, and carry over the log if room is needed. Full: nothing of it is
        stored, for want of room. StoreError: the file is of no more use: SQLite can no longer say what is on the disk,
        and neither can we.
        """
        connection = self._connection
        if connection is None or self._failed:
            raise StoreError(f"{shown(self.path)} is closed")
        try:
            data = self._tables.encode(batch)
            is_wal_due = self._in_wal > CHECKPOINT
            try:
                self._write(
                    connection,
                    batch,
                    data,
                    empty_log or self.is_log_full or self._log_bytes + len(data) > self._log_max,
                )
            except Exception as error:
                if not _is_full(error) or len(data) > self.size_max - self.reserve:
                    raise
                self._write_in_need(connection, batch, data, error)
            self._demand_unmoved()
            self._written += len(data)
            if is_wal_due:
                self._checkpoint(connection)
            if 0 < self._room_kept.kept < 16 * self._written:
                self._bound_growth(connection)
        except Full:
            raise
        except Exception as error:
            self._failed = True
            todo = "make room on the disk (or raise size_max)" if _is_full(error) else "see to the disk"
            failure = (
                str(error)
                if isinstance(error, StoreError)
                else f"{shown(self.path)} cannot keep what it is given: {error}; {todo} and restart: what was not"
                " confirmed may or may not be stored"
            )
            logger.error("%s", failure)
            raise StoreError(failure) from error

    def read(self, what: Callable[[Connection], T]) -> T:
        """Read something that is committed, from the loop's thread, while another one may write. StoreError."""
        connection = self._connection
        if connection is None or self._failed:
            raise StoreError(f"{shown(self.path)} is closed")
        try:
            return what(self._beside.connection(connection))
        except Exception as error:
            self._failed = True
            failure = what_is_wrong(self.path, "cannot be read", error)
            logger.error("%s", failure)
            raise StoreError(failure) from error

    @property
    def is_log_full(self) -> bool:
        """Whether the next batch will have the log carried over."""
        return self._log_bytes > self._log_max - (self._log_max >> 3)

    def is_due(self, size: int) -> bool:
        """Whether a batch of `size` bytes will have something carried over, which takes its time."""
        return self.is_log_full or self._log_bytes + size > self._log_max or self._in_wal > CHECKPOINT

    def _write(self, connection: Connection, batch: list[Any], data: bytes, empty_log: bool) -> None:
        began = time.perf_counter()
        if empty_log:
            carry_over(connection, self._tables, self._logged + batch)
            self._in_wal += 2 * (self._log_bytes + len(data)) // self._page + 50
            self._logged = []
            self._log_bytes = 0
        else:
            connection.execute("INSERT INTO log (records, crc) VALUES (?, ?)", (data, crc32(data)))
            self._in_wal += 2 + len(data) // self._page
            self._log_bytes += len(data)
            self._logged += batch
        self.took_s = time.perf_counter() - began
        self.has_carried = empty_log

    def _checkpoint(self, connection: Connection) -> None:
        """Move what is in the WAL to the database. What goes wrong with that is passed over, as SQLite does when it
        does so by itself: it is in the WAL, and the next time comes.
        """
        with contextlib.suppress(Exception):
            list(connection.execute("PRAGMA wal_checkpoint(PASSIVE)"))
            self._in_wal = 0

    def _bound_growth(self, connection: Connection) -> None:
        """Carry over the WAL before the database has to grow by more than the reserve for that. On a disk that others
        have filled a checkpoint that cannot be finished would take all that is left, and free nothing.
        """
        self._written = 0
        try:
            grows = int(row(connection, "PRAGMA page_count")[0]) * self._page - os.stat(self.path).st_size
            # Then the log comes into the tables at once, so not more than a part of it.
            if grows > max(self._room_kept.kept * 5 // 8, CHECKPOINT_FULL * self._page):
                list(connection.execute("PRAGMA wal_checkpoint(PASSIVE)"))
        except Exception as error:
            if not _is_full(error) and not isinstance(error, OSError):
                raise

    def _write_in_need(self, connection: Connection, batch: list[Any], data: bytes, error: Exception) -> None:
        """A batch that did not fit, with all the room that can be had: what was taken has to be finished. Full."""
        self._roll_back(connection)
        for find_room in (self._exceed, self._use_reserve):
            if not find_room(error):
                continue
            for empty_log in (True, False):  # what has come and gone meanwhile needs no room in the tables
                try:
                    return self._write(connection, batch, data, empty_log)
                except Exception as again:
                    if not _is_full(again):
                        raise
                    self._roll_back(connection)
                    error = again
        raise Full(f"{shown(self.path)} is full ({error}): what has come waits until there is room") from error

    def _exceed(self, error: Exception) -> bool:
        """What comes without asking whether it fits may go beyond the limit, by a quarter of it."""
        assert self._connection
        self._pages = int(row(self._connection, f"PRAGMA max_page_count = {self.size_max * 5 // 4 // self._page}")[0])
        return True

    def _use_reserve(self, error: Exception) -> bool:
        """Give up what was kept for this."""
        had = self._room_kept.give_up()
        if not self.is_full and (had or self._room_kept.free() < MARGIN):
            self._fill(str(error))
            self._set_checkpoint(CHECKPOINT_FULL)
        return had

    def _roll_back(self, connection: Connection) -> None:
        with contextlib.suppress(Exception):  # SQLite may have done so already
            connection.execute("ROLLBACK")
        self._tables.rolled_back(connection)

    def _fill(self, why: str) -> None:
        self.is_full = True
        logger.error(
            "%s: no room on the disk (%s); nothing more is taken until there is, what is there can be fetched",
            shown(self.path),
            why,
        )

    def _set_checkpoint(self, pages: int) -> None:
        assert self._connection
        self._is_careful = pages < CHECKPOINT
        list(self._connection.execute(f"PRAGMA wal_autocheckpoint = {pages}"))

    def _demand_unmoved(self) -> None:
        """StoreError when a file is no longer the one at its path: what is written there is lost."""
        now = time.monotonic()
        if now < self._look_at:  # often: only what matters most, as quickly as can be
            try:
                if os.stat(self.path).st_ino == self._inode:
                    if now < self._look_at_wal:
                        return
                    self._look_at_wal = now + LOOK_WAL_S
                    if os.stat(self._wal).st_ino == self._wal_inode:
                        return
            except OSError:
                pass  # it is not there: as below
        self._look_at = now + LOOK_S
        for name, which in self._files.items():
            if identity(name) != which:
                raise StoreError(
                    f"{shown(name)} is no longer the file that was opened: it was deleted, moved or replaced; nothing"
                    " more is stored or confirmed. Put it back, or begin with what is there now, and restart"
                )

    def room(self) -> int:
        """Bytes that still fit."""
        assert self._connection
        used = int(row(self._connection, "PRAGMA page_count")[0])
        free = int(row(self._connection, "PRAGMA freelist_count")[0])
        pages = (self.size_max // self._page - used + free) * self._page - self.reserve
        if self._is_careful and self._room_kept.make() and self._room_kept.free() > 2 * MARGIN:
            self._set_checkpoint(CHECKPOINT_LATEST)
        disk = self._room_kept.free()
        inside = free * self._page if disk < 4 * MARGIN else 0  # what was fetched leaves room there, not on the disk
        if self.is_full and (not self._is_careful or inside > 4 * MARGIN):
            self.is_full = False
            logger.warning("%s: there is room %s again", shown(self.path), "in it" if inside else "on the disk")
        if self.is_full:
            return 0
        # A message is in the log, in a table and in the WAL before it is in one place.
        return max(0, min(pages, (max(disk, inside) - MARGIN) // 3))

    @property
    def reserve(self) -> int:
        """Bytes kept for what must not fail: acknowledgements, identifiers, subscriptions; and for carrying over."""
        return min(1 << 20, self.size_max // 4) + 2 * self._log_max

    def close(self) -> None:
        """Let go of the file. What is committed is on the disk already; who looks into it finds it in the tables."""
        connection = self._connection
        in_order = not self._failed
        if connection is not None and in_order:
            try:
                self._demand_unmoved()
                if self._logged:
                    carry_over(connection, self._tables, self._logged)
            except StoreError:
                in_order = False
            except Exception as error:
                with contextlib.suppress(Exception):
                    connection.execute("ROLLBACK")
                in_order = _is_full(error)
        self._close(in_order)
        if self.is_full:  # the room that the WAL has left, so that the next life can begin
            with contextlib.suppress(OSError):
                self._room_kept.make(share=1)

    def _close(self, in_order: bool = False) -> None:
        self._disconnect(in_order)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _disconnect(self, in_order: bool = False) -> None:
        """Close the connection. SQLite then carries over the WAL and removes it: the file must be marked as not in use.
        If that cannot be, or the WAL at its path is not ours, it is left as by a process that was killed.
        """
        connection = self._connection
        self._connection = None
        self._beside.close()
        if connection is None:
            return
        try:
            if self._is_marked and in_order:
                connection.execute("UPDATE life SET open = 0")
                self._is_marked = False
        except Exception:
            pass
        if self._is_marked and not self._close_beside_another(connection):
            strays.append(connection)
        elif not self._is_marked:
            with contextlib.suppress(Exception):
                connection.close()

    def _close_beside_another(self, connection: Connection) -> bool:
        """Close a connection while another one, which can only read, has the file: then SQLite leaves the WAL as it is.
        Whether that could be.
        """
        if not isinstance(connection, sqlite3.Connection):  # it may be on a disk that is not this machine's
            return False
        try:
            if self._inode and os.stat(self.path).st_ino != self._inode:
                return False
            with contextlib.closing(reading(self.path)) as other:
                other.execute("BEGIN")
                list(other.execute("SELECT count(*) FROM sqlite_master"))
                connection.close()
        except (OSError, sqlite3.Error):
            return False
        return True


# Connections that must not be closed by the garbage collector either, not even at the end of the process.
strays: list[Connection] = []


@atexit.register
def _leave_strays() -> None:
    for stray in strays:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(stray))


def _code(error: Exception) -> int:
    """SQLite's primary result code of an error of sqlite3 or apsw; 0: it has none."""
    code = getattr(error, "sqlite_errorcode", None) or getattr(error, "result", 0)
    return int(code) & 0xFF if isinstance(code, int) else 0


def _is_full(error: BaseException) -> bool:
    """Whether it is for want of room."""
    extended = getattr(error, "sqlite_errorcode", None) or getattr(error, "extendedresult", 0)
    is_full = isinstance(error, Exception) and _code(error) == sqlite3.SQLITE_FULL
    return is_full or extended == _NO_ROOM_FOR_SHM or getattr(error, "errno", 0) in (errno.ENOSPC, errno.EDQUOT)
