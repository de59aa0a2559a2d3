"""The store on SQLite, `store="state.db"`: CPython's default. CPython only; imports its library, core and store.

Records gather in a list while a batch is written to the file (sqlite_file.py); the next batch takes all that have
gathered. Who waits for a commit starts a batch; records that nobody waits for are written after `LINGER_S`. A batch is
written by a thread, or on the loop's own while the disk is quick (pace.py).
"""

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from ..core import records as r
from ..core.records import State
from .base import Store, StoreError
from .in_sqlite import sqlite_reading, sqlite_reserve
from .in_sqlite.sqlite_file import LOG_MAX, PAGE, Full, SqliteFile, connect
from .pace import Pace
from .place import shown
from .tables.sqlite_schema import Tables
from .tables.sqlite_tables import ClientTables, Connection

SIZE_MAX = 256 << 20  # bytes
LINGER_S = 0.01
RECORD = 16  # bytes in the log of a record without a message, about
RETRY_S = 1.0  # after a batch that found no room, and while there is little
SCARCE = 1 << 20  # bytes of room that are looked at again and again, as others may take or leave some
FEW = 4  # records in a batch; who waits after each message makes no more
# Where there were more, on a disk that is not quick: packets come one by one, and those that come now share the commit
GATHER_S = 0.0003


def read(path: str | os.PathLike[str]) -> State:
    """What the store of a client holds, without changing it; works while a client has it open. StoreError when it
    cannot be read.
    """
    state: State | None = sqlite_reading.read(path, ClientTables())
    return state or State()


T = TypeVar("T")
logger = logging.getLogger("mqttlite.store")


async def _through(work: "asyncio.Future[None]") -> None:
    """Wait for it to its end, also when this is cancelled meanwhile: that is raised then."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait((work,))
        except asyncio.CancelledError as error:
            cancelled = error
    work.result()
    if cancelled:
        raise cancelled


class SqliteWriter:
    """Group commit into one SQLite file, which nothing else may write to.

    `path`: the file; made, with mode 0600, when it is not there. It must be on a local disk. Beside it, SQLite keeps
    `-wal` and `-shm`, and the store `.lock`.
    `size_max`: bytes that the file may have; a few MB of `-wal` come on top. What does not fit is refused by `fits`,
    early enough that what has been accepted can be finished; what comes without asking may take a quarter more.
    `reserve`: bytes that are kept on the disk beside it (`.reserve`, less on a small disk, 0: none) for when the disk
    is full: the store can still be opened, and what is in it be finished. A disk that is full is no failure: `fits`
    says no, and a batch for which there is no room at all waits, with all who wait for it, until there is.
    `log_max`: bytes of records that gather before the tables are brought up to date with them.
    `allow_reset`: a file that is damaged is moved aside (`.corrupt-` and the time) and the store begins empty: **what
    was accepted and not delivered is lost**. Without it, opening such a file raises StoreError.
    `connect`: makes the connection, in the thread that will own it; for tests.
    `on_room`: called when `fits` has said no, and there is room again.
    """

    on_failure: Callable[[StoreError], None] | None = None
    on_room: Callable[[], None] | None = None
    on_written: Callable[[float], None] | None = None  # a batch is durable, after so long (s); in any thread

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        size_max: int = SIZE_MAX,
        log_max: int = LOG_MAX,
        allow_reset: bool = False,
        connect: Callable[[str], Connection] = connect,
        reserve: int = sqlite_reserve.SIZE,
    ) -> None:
        self.path = os.path.realpath(path)
        self.name = shown(self.path)  # as messages have it
        self.size_max = size_max
        self._file = SqliteFile(self.path, self._tables(), size_max, log_max, allow_reset, connect, reserve)
        self._pace = Pace()
        self._failure = f"{self.name} is not open"  # why nothing can be committed; "": it can
        self._retry: asyncio.TimerHandle | None = None  # of the batch that waits for room
        self._hurries = False  # nothing may wait for room
        self._is_stuck = False  # a batch waits for room
        self._watches = False  # will look for room
        self._records: list[Any] = []  # taken, and in no batch yet
        self._needed = 0  # bytes that they will take at most
        self._taken = 0  # bytes of messages in them
        self._batch = 0  # records in the last one
        self._busy = False  # a batch is being written, or is about to be
        self._lingers = False  # a batch will be written soon
        self._written: list[asyncio.Future[None]] = []  # wait for the batch that is being written
        self._waiting: list[asyncio.Future[None]] = []  # wait for the next one
        self._thread: ThreadPoolExecutor | None = None  # of one thread, which owns the file
        self._room = 0  # bytes that surely fit
        self._measured = 0  # what `_room` was when it was counted
        self._wanted = 0  # bytes that did not fit when `fits` was asked: count again after each batch

    def _tables(self) -> Tables:
        raise NotImplementedError

    async def open(self) -> Any:
        """What was durable last, as the tables tell it. StoreError when it cannot be told: the text says what is in the
        way.
        """
        if self._thread:
            raise StoreError(f"{self.name} is open already")
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "mqttlite store")
        try:
            state, self._room = await self._loop.run_in_executor(self._thread, self._open)
        except BaseException:  # also cancelled while the file was being opened: it is let go of before anybody goes on
            thread, self._thread = self._thread, None
            await self._let_go(thread)
            raise
        self._measured = self._room
        self._failure = ""
        self._watch_room()
        return state

    def _open(self) -> tuple[Any, int]:
        return self._file.open(), self._file.room()

    def _take(self, record: Any, size: int, count: int = 1) -> None:
        """Take a record for the next batch. `size`: of each of the `count` messages in it, bytes."""
        self._records.append(record)
        if size:
            need = count * _need(size)
            self._needed += need
            self._taken += count * size
            self._room -= need
        if not self._busy:
            self._linger()

    def _linger(self) -> None:
        if not self._lingers and not self._failure:
            self._lingers = True
            self._loop.call_later(LINGER_S, self._lingered)

    def _lingered(self) -> None:
        self._lingers = False
        if self._records and not self._busy and not self._failure:
            self._start()

    async def commit(self) -> None:
        """Return when every record taken until now is durable. StoreError: it is not, and the store is of no use."""
        if self._failure:
            raise StoreError(self._failure)
        future = self._loop.create_future()  # each waiter has its own: one that is cancelled must not cancel others
        if self._records or self._wanted:
            self._waiting.append(future)
            if not self._busy:
                self._busy = True
                self._start_soon()
        elif self._busy:
            self._written.append(future)
        else:
            return
        await future

    def _start_soon(self) -> None:
        """Have a batch started, once others have had a chance to join in."""
        if self._batch > FEW and not self._pace.is_quick:
            self._loop.call_later(GATHER_S, self._start)
        else:
            self._loop.call_soon(self._start)  # after all tasks that are ready to run

    def commit_now(self) -> bool:
        """Make every record taken until now durable before this returns; False: that has to be waited for (`commit`),
        since the disk is slow, a batch is being written or there is no room. StoreError as `commit`.
        """
        if self._failure:
            raise StoreError(self._failure)
        if self._busy or not self._pace.is_quick:
            return False
        if self._records or self._wanted:
            self._start()
            if self._failure:
                raise StoreError(self._failure)
        return not self._busy

    def fits(self, size: int) -> bool:
        """Whether a message of `size` bytes (topic and payload) can be accepted now. If not, ask again after a commit
        of what has finished. StoreError when it never can.
        """
        need = _need(size)
        if need <= self._room:
            return True
        if need > self.size_max - self._file.reserve - 16 * PAGE:
            raise StoreError(f"a message of {size} bytes is too large for {self.name}: raise size_max={self.size_max}")
        self._wanted = need
        self._watch_room()
        return False

    def fits_all(self, size: int, count: int) -> bool:
        """Whether `count` messages of `size` bytes can surely be accepted now. If not, `fits` knows more."""
        return count * _need(size) <= self._room

    def read(self, what: "Callable[[Connection], T]") -> "T":
        """Read something that is committed. StoreError: the store is of no use any more."""
        try:
            return self._file.read(what)
        except StoreError as error:
            if not self._failure:
                self._failure = str(error)
                if self.on_failure:
                    self.on_failure(error)
            raise

    def _carried(self) -> None:
        """A batch is durable, and the log may have been carried over."""

    def hurry(self) -> None:
        """From now on a batch that finds no room fails, instead of waiting: the program is about to end."""
        self._hurries = True
        if self._retry:
            self._retry.cancel()
            self._start()

    async def close(self) -> None:
        """Commit, and let go of the file. StoreError also when something was taken for which there is no room.
        Cancelled, this returns when it is done all the same.
        """
        thread = self._thread
        if not thread:
            return
        self.hurry()
        try:
            if not self._failure:
                try:
                    await self.commit()
                except asyncio.CancelledError:
                    await _through(self._loop.create_task(self.commit()))
                    raise
        finally:
            self._thread = None
            self._failure = self._failure or f"{self.name} is closed"
            await self._let_go(thread)

    async def _let_go(self, thread: ThreadPoolExecutor) -> None:
        """Close the file in its thread, and end that. Cancelled, this returns when it is done all the same."""
        try:
            await _through(self._loop.run_in_executor(thread, self._file.close))
        finally:
            thread.shutdown()

    def _batch_of(self, records: list[Any]) -> list[Any]:
        """What of the records has to be written together."""
        return records

    def _start(self, look: bool = False) -> None:
        """Have a batch written. `look`: count the room, whatever was written."""
        assert self._thread
        self._busy = True
        self._retry = None
        batch = self._batch_of(self._records)
        self._batch = len(batch)
        self._records = []
        size = self._taken + RECORD * len(batch)
        self._needed = self._taken = 0
        self._written = self._waiting
        self._waiting = []
        empty_log = self._wanted > 0 or 2 * self._room < self._measured
        job = partial(self._write, batch, empty_log or look, empty_log and not look)
        if self._pace.is_quick and not look and not empty_log and not self._file.is_due(size):
            self._finished(batch, job())
        else:
            self._loop.run_in_executor(self._thread, job).add_done_callback(
                lambda written: self._finished(batch, written.result())
            )

    def _write(self, batch: list[Any], count: bool, empty_log: bool) -> int | StoreError:
        """Write, and count the room if that is wanted, else -1. In the thread, mostly; no exception leaves it."""
        try:
            if batch or (empty_log and not self._file.is_full):
                self._file.write(batch, empty_log)
                if not self._file.has_carried:  # which says nothing of a sync, and is not for the loop's thread
                    self._pace.took(self._file.took_s)
                if batch and self.on_written:
                    self.on_written(self._file.took_s)
            return self._file.room() if count or self._file.is_full else -1
        except StoreError as error:
            return error
        except Exception as error:
            return StoreError(str(error))

    def _finished(self, batch: list[Any], result: int | StoreError) -> None:
        """A batch is durable, or will never be; or waits for room."""
        written = self._written
        self._written = []
        if isinstance(result, Full) and not self._hurries:
            self._wait_for_room(batch, written, result)
            return
        if isinstance(result, StoreError):
            self._failure = str(result)
            if self.on_failure:
                self.on_failure(StoreError(self._failure))
            written += self._waiting
            self._waiting = []
        for future in written:
            if future.done():  # cancelled
                continue
            if self._failure:
                future.set_exception(StoreError(self._failure))
            else:
                future.set_result(None)
        self._busy = False
        if isinstance(result, StoreError):
            return
        self._is_stuck = False
        self._carried()
        if result >= 0:
            self._measured = result
            self._room = room = result - self._needed
            if self._wanted and self._wanted <= room:
                self._wanted = 0
                if self.on_room:
                    self.on_room()
            self._watch_room()
        if self._waiting:
            self._start()
        elif self._records:
            self._linger()

    def _wait_for_room(self, batch: list[Any], written: "list[asyncio.Future[None]]", full: Full) -> None:
        """Nothing of a batch is stored: it stays what it was, the first of what is pending."""
        if not self._is_stuck:
            self._is_stuck = True
            logger.error("%s", full)
        self._records = batch + self._records
        self._waiting = written + self._waiting
        self._room = self._measured = 0
        self._retry = self._loop.call_later(RETRY_S, self._start)

    def _watch_room(self) -> None:
        """While there is little room, look again and again: the disk is not only ours."""
        if not self._watches and (self._file.is_full or self._wanted or self._room < SCARCE):
            self._watches = True
            self._loop.call_later(RETRY_S, self._look_for_room)

    def _look_for_room(self) -> None:
        self._watches = False
        if self._failure or not self._thread:
            return
        if self._busy:
            self._watch_room()
        else:
            self._start(look=True)


class SqliteStore(SqliteWriter, Store):
    """A client's state in one SQLite file; see SqliteWriter for the arguments."""

    is_durable = True

    def _tables(self) -> Tables:
        return ClientTables()

    def record(self, kind: int, number: int, head: bytes = b"", payload: bytes = b"", key: bytes = b"") -> None:
        """Take a record (records.py). It is durable when a `commit` that began later has returned."""
        self._take((kind, number, head, payload, key), len(head) + len(payload) + len(key) if kind == r.ACCEPTED else 0)


def _need(size: int) -> int:
    """Bytes that a message of `size` bytes takes at most: rows waste up to half of a page, large ones up to two."""
    return size + (size if size < 2 * PAGE else 2 * PAGE) + 128
