"""The store on SQLite, `store="state.db"`: CPython's default. CPython only; imports its library, core and store.

- One file, in WAL mode with synchronous=FULL: a commit that has returned survives a power cut. One thread owns the
  connection. Records gather in a list while it writes a batch; the next batch takes all that have gathered, and only
  their sum reaches the disk: a message that was accepted and finished within one batch never does.
- After any error of the disk the store refuses: SQLite can no longer say what is on it, and neither can we.
- One process has the store at a time: `state.db.lock` is locked with flock. The kernel lets go of that lock however
  the process ends; it is a file of its own because closing any descriptor of the database would drop SQLite's own
  locks; and it does not keep readers away, so `mqttlite store show` works while a client runs.
- The schema has a version (`PRAGMA user_version`); MIGRATIONS leads from each to the next. A release that changes a
  table appends to it and changes nothing that is there.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from ..core.codec import released
from . import records as r
from .base import Store, StoreError
from .records import State

if TYPE_CHECKING:
    from .records import Record

SIZE_MAX = 256 << 20  # bytes
APPLICATION_ID = 0x6D717474  # "mqtt", in the header of the file
PAGE = 4096  # bytes
CHECKPOINT = 1000  # pages in the WAL that are worth being moved to the database
PATIENCE = 30.0  # seconds that a program which writes to the file by itself is waited for

# States of an outbound message; bits, because a message in doubt was released before.
_RELEASED = 1
_DOUBT = 2

# What leads from schema version n to n + 1, from n = 0, an empty file.
MIGRATIONS: list[tuple[str, ...]] = [
    (
        f"PRAGMA application_id = {APPLICATION_ID}",
        # client_id; epoch, next, window as integers
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
        # state: 0 accepted, 1 released, 3 in doubt. head, payload and key as in records.py.
        "CREATE TABLE outbound (seq INTEGER PRIMARY KEY, state INTEGER, head BLOB, payload BLOB, key BLOB)",
        "CREATE TABLE inbound (packet_id INTEGER PRIMARY KEY)",
        "CREATE TABLE subscription (topic_filter BLOB PRIMARY KEY, qos INTEGER) WITHOUT ROWID",
        # Numbers of applications have 64 bits without a sign, so they are kept as bytes.
        "CREATE TABLE origin (producer BLOB PRIMARY KEY, number BLOB) WITHOUT ROWID",
        "CREATE TABLE seen (producer BLOB PRIMARY KEY, sequence BLOB, window BLOB) WITHOUT ROWID",
    ),
]

_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_FULL = sqlite3.SQLITE_FULL

logger = logging.getLogger(__name__)


class Connection(Protocol):
    """What the store needs of a database connection; sqlite3 (in autocommit) and apsw have it."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Iterable[Any]: ...
    def executemany(self, sql: str, parameters: Any, /) -> Any: ...
    def close(self) -> None: ...


class _Damaged(Exception):
    """The file is not what a store has written."""


def connect(path: str) -> sqlite3.Connection:
    """A connection for writing, with the settings that are not about what is promised."""
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}")
    connection.execute("PRAGMA secure_delete = OFF")  # overwriting what was deleted would double what is written
    return connection


def migrate(connection: Connection, path: str, migrations: list[tuple[str, ...]] | None = None) -> int:
    """Bring the schema to the version of this release; the version it had. StoreError: not ours, or of a later one."""
    steps = MIGRATIONS if migrations is None else migrations
    version = check(connection, path, len(steps))
    for number in range(version, len(steps)):
        connection.execute("BEGIN IMMEDIATE")
        for statement in steps[number]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")
    return version


def check(connection: Connection, path: str, newest: int | None = None) -> int:
    """The schema version of a file; 0: it is empty. StoreError when it is not a store, or of a later version."""
    newest = len(MIGRATIONS) if newest is None else newest
    (application,) = _row(connection, "PRAGMA application_id")
    (version,) = _row(connection, "PRAGMA user_version")
    (tables,) = _row(connection, "SELECT count(*) FROM sqlite_master")
    if application != APPLICATION_ID and (application or version or tables):
        raise StoreError(f"{path} is an SQLite database of another program: give the store a file of its own")
    if version > newest:
        raise StoreError(
            f"{path} has schema version {version} and was written by a later release of mqttlite; this one knows"
            f" {newest}: install that release, or give the store another file"
        )
    return int(version)


def load(connection: Connection) -> State:
    """The state that the file holds."""
    state = State()
    meta = dict(connection.execute("SELECT name, value FROM meta"))
    state.client_id = meta.get("client_id", b"")
    state.epoch = meta.get("epoch", 0)
    state.next = meta.get("next", -1)
    state.window = meta.get("window", 0)
    for seq, bits, head, payload, key in connection.execute("SELECT * FROM outbound ORDER BY seq"):
        if bits & _RELEASED:
            head = released(head)
        (state.doubts if bits & _DOUBT else state.messages)[seq] = (head, payload, key)
        state.next = max(state.next, seq + 1)
    state.held = {packet_id for (packet_id,) in connection.execute("SELECT packet_id FROM inbound")}
    state.subscriptions = dict(connection.execute("SELECT topic_filter, qos FROM subscription"))
    for producer, number in connection.execute("SELECT producer, number FROM origin"):
        state.origins[producer] = int.from_bytes(number, "big")
    for producer, sequence, window in connection.execute("SELECT producer, sequence, window FROM seen"):
        state.seen[producer] = [int.from_bytes(sequence, "big"), int.from_bytes(window, "big")]
    return state


def read(path: str | os.PathLike[str]) -> State:
    """What a store holds, without changing it; works while a client has it open. StoreError when it cannot be read."""
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise StoreError(f"{path}: there is no such file")
    address = "file:" + quote(os.path.abspath(path)) + "?mode=ro"
    if not os.path.exists(path + "-wal") and not os.access(os.path.dirname(os.path.abspath(path)), os.W_OK):
        address += "&immutable=1"  # SQLite wants to create -shm beside it, even to read
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
            connection.execute("BEGIN")  # one moment for all tables
            if not check(connection, path):
                return State()
            return load(connection)
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


class SqliteStore(Store):
    """State in one SQLite file, which nothing else may write to.

    `path`: the file; made, with mode 0600, when it is not there. It must be on a local disk. Beside it, SQLite keeps
    `-wal` and `-shm`, and the store `.lock`.
    `size_max`: bytes that the file may have; a few MB of `-wal` come on top. What does not fit is refused by `fits`,
    early enough that what has been accepted can be finished.
    `allow_reset`: a file that is damaged is moved aside (`.corrupt-` and the time) and the store begins empty: **what
    was accepted and not delivered is lost**. Without it, opening such a file raises StoreError.
    `connect`: makes the connection, in the thread that will own it; for tests.
    """

    is_durable = True
    is_lazy = False

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        size_max: int = SIZE_MAX,
        allow_reset: bool = False,
        connect: Callable[[str], Connection] = connect,
    ) -> None:
        self.path = os.path.realpath(path)
        self.size_max = size_max
        self.allow_reset = allow_reset
        self._connect = connect
        self._failure = f"{self.path} is not open"  # why nothing can be committed; "": it can
        self._records: list[Record] = []  # taken, and in no batch yet
        self._busy = False  # a batch is being written, or is about to be
        self._written: list[asyncio.Future[None]] = []  # wait for the batch that is being written
        self._waiting: list[asyncio.Future[None]] = []  # wait for the next one
        self._jobs: SimpleQueue[tuple[list[Record], bool] | None] = SimpleQueue()  # None: the end
        self._thread: threading.Thread | None = None
        self._room = 0  # bytes that surely fit
        self._measured = 0  # what `_room` was when it was counted
        self._wanted = 0  # bytes that did not fit when `fits` was asked: count again after each batch

    # -- the event loop's side

    async def open(self) -> State:
        """The state that was durable last; a new `State` when there was none. StoreError when it cannot be told: the
        text says what is in the way.
        """
        if self._thread:
            raise StoreError(f"{self.path} is open already")
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[tuple[State, int]] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="mqttlite store", daemon=True)
        self._thread.start()
        try:
            state, self._room = await asyncio.shield(opened)
        except StoreError:
            self._thread.join()
            self._thread = None
            raise
        except asyncio.CancelledError:
            self._jobs.put(None)
            self._thread = None
            raise
        self._measured = self._room
        self._failure = ""
        return state

    def record(self, kind: int, number: int, head: bytes = b"", payload: bytes = b"", key: bytes = b"") -> None:
        """Take a record (records.py). It is durable when a `commit` that began later has returned."""
        self._records.append((kind, number, head, payload, key))
        if kind == r.ACCEPTED:
            self._room -= _need(len(head) + len(payload) + len(key))

    async def commit(self) -> None:
        """Return when every record taken until now is durable. StoreError: it is not, and the store is of no use."""
        if self._failure:
            raise StoreError(self._failure)
        if self._records or self._wanted:
            waiting = self._waiting
            if not self._busy:
                self._busy = True
                self._loop.call_soon(self._start)  # after all tasks that are ready to run, so that they join in
        elif self._busy:
            waiting = self._written
        else:
            return
        future = self._loop.create_future()  # each waiter has its own: one that is cancelled must not cancel others
        waiting.append(future)
        await future

    def fits(self, size: int) -> bool:
        """Whether a message of `size` bytes (topic and payload) can be accepted now. If not, ask again after a commit
        of what has finished. StoreError when it never can.
        """
        need = _need(size)
        if need <= self._room:
            return True
        if need > self.size_max - self._reserve() - 16 * PAGE:
            raise StoreError(f"a message of {size} bytes is too large for {self.path}: raise size_max={self.size_max}")
        self._wanted = need
        return False

    async def close(self) -> None:
        """Commit, and let go of the file."""
        thread = self._thread
        if not thread:
            return
        try:
            if not self._failure:
                await self.commit()
        finally:
            self._thread = None
            self._failure = self._failure or f"{self.path} is closed"
            self._jobs.put(None)
            await asyncio.shield(self._loop.run_in_executor(None, thread.join))

    def _start(self) -> None:
        batch = self._records
        self._records = []
        self._written = self._waiting
        self._waiting = []
        self._jobs.put((batch, self._wanted > 0 or 2 * self._room < self._measured))

    def _finished(self, failure: str, room: int) -> None:
        """A batch is durable, or will never be."""
        written = self._written
        self._written = []
        if failure:
            self._failure = failure
            written += self._waiting
            self._waiting = []
        for future in written:
            if future.done():  # cancelled
                continue
            if failure:
                future.set_exception(StoreError(failure))
            else:
                future.set_result(None)
        if room >= 0:
            self._measured = room
            for kind, _, head, payload, key in self._records:
                if kind == r.ACCEPTED:
                    room -= _need(len(head) + len(payload) + len(key))
            self._room = room
            if self._wanted <= room:
                self._wanted = 0
        self._busy = bool(self._waiting)
        if self._busy:
            self._start()

    def _reserve(self) -> int:
        """Bytes kept for what must not fail: acknowledgements, identifiers, subscriptions."""
        return min(1 << 20, self.size_max // 4)

    # -- the thread's side: the only one to touch the connection

    def _run(self, opened: "asyncio.Future[tuple[State, int]]") -> None:
        loop = self._loop
        try:
            lock = _lock(self.path)
            try:
                state = self._open()
                room = self._count()
            except BaseException:
                os.close(lock)
                raise
        except Exception as error:
            refusal = error if isinstance(error, StoreError) else StoreError(f"{self.path} cannot be opened: {error}")
            refusal.__cause__ = None if refusal is error else error
            _tell(loop, _settle, opened, None, refusal)
            return
        _tell(loop, _settle, opened, (state, room), None)
        del state
        failure = ""
        while job := self._jobs.get():
            room = -1
            if not failure:
                try:
                    if job[0]:
                        self._write(job[0])
                    if job[1]:
                        room = self._count()
                except Exception as error:
                    failure = f"{self.path} cannot keep what it is given: {error}; " + (
                        "make room on the disk (or raise size_max)" if _code(error) == _FULL else "see to the disk"
                    )
                    failure += " and restart: what was not confirmed may or may not be stored"
                    logger.error("%s", failure)
            del job  # the messages in it are not needed while we wait
            _tell(loop, self._finished, failure, room)
        with contextlib.suppress(Exception):  # what is committed is on the disk already
            self._connection.close()
        os.close(lock)

    def _open(self) -> State:
        try:
            return self._open_file()
        except Exception as error:
            if _code(error) not in _CORRUPT and not isinstance(error, _Damaged):
                raise
            if not self.allow_reset:
                raise StoreError(
                    f"{self.path} is damaged ({error}): restore it, or open it with allow_reset=True to move it aside"
                    " and begin empty; what was accepted and not delivered is lost then"
                ) from error
            aside = _move_aside(self.path)
            logger.error(
                "%s is damaged (%s): moved to %s; the store begins empty, and what was accepted and not delivered is"
                " lost, unless it can be recovered from there",
                self.path,
                error,
                aside,
            )
            return self._open_file()

    def _open_file(self) -> State:
        with contextlib.suppress(FileExistsError):  # SQLite gives -wal and -shm the mode of the database
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = self._connection = self._connect(self.path)
        try:
            check(connection, self.path)  # before anything is written to what may not be ours
            (mode,) = _row(connection, "PRAGMA journal_mode = WAL")
            if mode != "wal":
                raise StoreError(f"{self.path}: no WAL mode here ({mode}): put the store on a local disk")
            connection.execute("PRAGMA synchronous = FULL")
            (verdict,) = _row(connection, "PRAGMA quick_check(1)")
            if verdict != "ok":
                raise _Damaged(" ".join(verdict.split()))
            migrate(connection, self.path)
            self._page = int(_row(connection, "PRAGMA page_size")[0])
            self._pages = int(_row(connection, f"PRAGMA max_page_count = {self.size_max // self._page}")[0])
            _sync_directory(self.path)
            state = load(connection)
        except BaseException:
            connection.close()
            raise
        self._next = state.next  # in the file: as a number, or by the message before it
        self._next_kept = -1  # in the file as a number
        for (self._next_kept,) in connection.execute("SELECT value FROM meta WHERE name = 'next'"):
            pass
        self._last = max((*state.messages, *state.doubts), default=-2)  # the last message in the file; -2: none
        self._held = set(state.held)
        self._windows = State()  # only what is seen: which windows are forgotten is known there
        self._windows.seen = {producer: list(window) for producer, window in state.seen.items()}
        self._seen = set(state.seen)  # whose windows are in the file
        return state

    def _count(self) -> int:
        """Bytes that still fit."""
        used = int(_row(self._connection, "PRAGMA page_count")[0])
        free = int(_row(self._connection, "PRAGMA freelist_count")[0])
        return max(0, (self._pages - used + free) * self._page - self._reserve())

    def _write(self, batch: "list[Record]") -> None:
        """Make a batch durable: work out its sum, then write that in one transaction."""
        known = self._next  # messages from here on are not in the file
        after = known
        messages: dict[int, tuple[int, int, bytes, bytes, bytes]] = {}
        changed: dict[int, int] = {}  # bits to set in messages that are in the file
        done: list[int] = []
        held: dict[int, bool] = {}
        lost = False
        meta: dict[str, int | bytes] = {}
        subscriptions: dict[bytes, int] = {}  # -1: none any more
        origins: dict[bytes, int] = {}
        windows = self._windows
        seen: dict[bytes, None] = {}
        for kind, number, head, payload, key in batch:
            if kind == r.ACCEPTED:
                messages[number] = (number, 0, head, payload, key)
                if number >= after:
                    after = number + 1
                if len(key) > 9:
                    origins[key[9:]] = int.from_bytes(key[1:9], "big")
            elif kind == r.DONE:
                if messages.pop(number, None) is None or number < known:
                    done.append(number)
                    if changed:
                        changed.pop(number, None)
            elif kind == r.RELEASED or kind == r.DOUBT:
                bit = _RELEASED if kind == r.RELEASED else _DOUBT
                message = messages.get(number)
                bits = message[1] if message else changed.get(number, 0)
                if bits & _DOUBT:
                    continue
                if message:
                    messages[number] = (number, bits | bit, *message[2:])
                else:
                    changed[number] = bits | bit
            elif kind == r.HELD:
                held[number] = True
            elif kind == r.FREED:
                held[number] = False
            elif kind == r.LOST:
                held = {}
                lost = True
            elif kind == r.NEXT:
                after = max(after, number)
            elif kind == r.SUBSCRIBED:
                subscriptions[head] = number
            elif kind == r.UNSUBSCRIBED:
                subscriptions[head] = -1
            elif kind == r.IDENTITY:
                meta["client_id"] = head
                meta["epoch"] = number
            elif kind == r.WINDOW:
                meta["window"] = number
            elif kind == r.ORIGIN:
                origins[head] = number
            elif kind == r.SEEN:
                windows.apply(kind, number, head, payload)
                seen[head] = None
        # No number is used twice. While the message with the last number is in the file, that message says so.
        last = max(self._last, max(messages)) if messages else self._last
        if last in done and last not in messages:
            last = -2
        if after > self._next_kept and last + 1 != after:
            meta["next"] = after

        connection = self._connection
        many = connection.executemany
        connection.execute("BEGIN IMMEDIATE")
        if changed:
            for bits in set(changed.values()):
                numbers = [number for number, value in changed.items() if value == bits]
                sql = f"UPDATE outbound SET state = state | {bits} WHERE seq BETWEEN ? AND ? AND state < {_DOUBT}"
                many(sql, _ranges(numbers))
        if done:  # first, so that new messages take the places of old ones
            many("DELETE FROM outbound WHERE seq BETWEEN ? AND ?", _ranges(done))
        if messages:
            many("INSERT OR REPLACE INTO outbound VALUES (?, ?, ?, ?, ?)", messages.values())
        if lost and self._held:
            connection.execute("DELETE FROM inbound")
            self._held.clear()
        if held:
            freed = [number for number, value in held.items() if not value and number in self._held]
            taken = [number for number, value in held.items() if value and number not in self._held]
            many("DELETE FROM inbound WHERE packet_id BETWEEN ? AND ?", _ranges(freed))
            many("INSERT INTO inbound VALUES (?)", [(number,) for number in taken])
            self._held.difference_update(freed)
            self._held.update(taken)
        if meta:
            many("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta.items())
        for topic_filter, qos in subscriptions.items():
            if qos < 0:
                connection.execute("DELETE FROM subscription WHERE topic_filter = ?", (topic_filter,))
            else:
                connection.execute("INSERT OR REPLACE INTO subscription VALUES (?, ?)", (topic_filter, qos))
        if origins:
            rows = [(producer, number.to_bytes(8, "big")) for producer, number in origins.items()]
            many("INSERT OR REPLACE INTO origin VALUES (?, ?)", rows)
        if seen:
            gone = self._seen - windows.seen.keys()
            many("DELETE FROM seen WHERE producer = ?", [(producer,) for producer in gone])
            self._seen = set(windows.seen)
        for producer in seen.keys() & self._seen:
            sequence, window = windows.seen[producer]
            row = (producer, sequence.to_bytes(8, "big"), window.to_bytes((window.bit_length() + 7) // 8, "big"))
            connection.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", row)
        connection.execute("COMMIT")
        self._next = after
        self._next_kept = max(self._next_kept, int(meta.get("next", -1)))
        self._last = last


def _need(size: int) -> int:
    """Bytes that a message of `size` bytes takes at most: rows waste up to half of a page, large ones up to two."""
    return size + (size if size < 2 * PAGE else 2 * PAGE) + 128


def _ranges(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Numbers as ranges (first, last) of consecutive ones."""
    numbers.sort()
    first = last = -1
    for number in numbers:
        if number != last + 1 or first < 0:
            if first >= 0:
                yield first, last
            first = number
        last = number
    if first >= 0:
        yield first, last


def _row(connection: Connection, sql: str) -> Any:
    """The one row of a query."""
    (row,) = list(connection.execute(sql))
    return row


def _code(error: Exception) -> int:
    """SQLite's primary result code of an error of sqlite3 or apsw; 0: it has none."""
    code = getattr(error, "sqlite_errorcode", None) or getattr(error, "result", 0)
    return int(code) & 0xFF if isinstance(code, int) else 0


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *arguments: Any) -> None:
    """Call something on the event loop; nobody waits any more when that is closed."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(what, *arguments)


def _settle(opened: "asyncio.Future[tuple[State, int]]", result: Any, refusal: StoreError | None) -> None:
    if opened.done():
        return
    if refusal:
        opened.set_exception(refusal)
    else:
        opened.set_result(result)


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
    _sync_directory(path)
    return aside


def _sync_directory(path: str) -> None:
    """Make the names beside `path` durable."""
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
