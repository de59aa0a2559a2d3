"""The store on SQLite, `store="state.db"`: CPython's default. CPython only; imports its library, core and store.

Records gather in a list while a thread writes a batch to the file (sqlite_file.py); the next batch takes all that have
gathered. Who waits for a commit starts a batch; records that nobody waits for are written after `LINGER_S`.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import records as r
from . import sqlite_file
from .base import Store, StoreError
from .records import State
from .sqlite_file import LOG_MAX, PAGE, SqliteFile, Tables, connect
from .sqlite_tables import ClientTables, Connection

SIZE_MAX = 256 << 20  # bytes
LINGER_S = 0.01
FEW = 4  # records in a batch; who waits after each message makes no more
GATHER_S = 0.0003  # where there were more: packets come one by one, and those that come now share the commit


def read(path: str | os.PathLike[str]) -> State:
    """What the store of a client holds, without changing it; works while a client has it open. StoreError when it
    cannot be read.
    """
    state: State | None = sqlite_file.read(path, ClientTables())
    return state or State()


class SqliteWriter:
    """Group commit into one SQLite file, which nothing else may write to.

    `path`: the file; made, with mode 0600, when it is not there. It must be on a local disk. Beside it, SQLite keeps
    `-wal` and `-shm`, and the store `.lock`.
    `size_max`: bytes that the file may have; a few MB of `-wal` come on top. What does not fit is refused by `fits`,
    early enough that what has been accepted can be finished.
    `log_max`: bytes of records that gather before the tables are brought up to date with them.
    `allow_reset`: a file that is damaged is moved aside (`.corrupt-` and the time) and the store begins empty: **what
    was accepted and not delivered is lost**. Without it, opening such a file raises StoreError.
    `connect`: makes the connection, in the thread that will own it; for tests.
    """

    on_failure: Callable[[StoreError], None] | None = None

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        size_max: int = SIZE_MAX,
        log_max: int = LOG_MAX,
        allow_reset: bool = False,
        connect: Callable[[str], Connection] = connect,
    ) -> None:
        self.path = os.path.realpath(path)
        self.size_max = size_max
        self._file = SqliteFile(self.path, self._tables(), size_max, log_max, allow_reset, connect)
        self._failure = f"{self.path} is not open"  # why nothing can be committed; "": it can
        self._records: list[Any] = []  # taken, and in no batch yet
        self._needed = 0  # bytes that they will take
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
            raise StoreError(f"{self.path} is open already")
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "mqttlite store")
        try:
            state, self._room = await self._loop.run_in_executor(self._thread, self._open)
        except BaseException:
            self._thread.submit(self._file.close)  # whoever was cancelled while the file was being opened
            self._thread.shutdown(wait=False)
            self._thread = None
            raise
        self._measured = self._room
        self._failure = ""
        return state

    def _open(self) -> tuple[Any, int]:
        return self._file.open(), self._file.room()

    def _take(self, record: Any, size: int) -> None:
        """Take a record for the next batch. `size`: of a message in it, bytes."""
        self._records.append(record)
        if size:
            need = _need(size)
            self._needed += need
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
        if self._records or self._wanted:
            waiting = self._waiting
            if not self._busy:
                self._busy = True
                if self._batch > FEW:
                    self._loop.call_later(GATHER_S, self._start)
                else:
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
        if need > self.size_max - self._file.reserve - 16 * PAGE:
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
            await asyncio.shield(self._loop.run_in_executor(thread, self._file.close))
            thread.shutdown()

    def _start(self) -> None:
        """Have a batch written."""
        assert self._thread
        self._busy = True
        batch = self._records
        self._batch = len(batch)
        self._records = []
        self._needed = 0
        self._written = self._waiting
        self._waiting = []
        count = self._wanted > 0 or 2 * self._room < self._measured
        self._loop.run_in_executor(self._thread, self._write, batch, count).add_done_callback(self._finished)

    def _write(self, batch: list[Any], count: bool) -> int:
        """In the thread: write, and count the room if that is wanted, else -1."""
        if batch or count:
            self._file.write(batch, count)
        return self._file.room() if count else -1

    def _finished(self, result: "asyncio.Future[int]") -> None:
        """A batch is durable, or will never be."""
        written = self._written
        self._written = []
        error = result.exception()
        if error:
            self._failure = str(error)
            if self.on_failure:
                self.on_failure(StoreError(self._failure))
            written += self._waiting
            self._waiting = []
        for future in written:
            if future.done():  # cancelled
                continue
            if error:
                future.set_exception(StoreError(self._failure))
            else:
                future.set_result(None)
        if not error and result.result() >= 0:
            self._measured = result.result()
            self._room = room = self._measured - self._needed
            if self._wanted <= room:
                self._wanted = 0
        self._busy = False
        if self._waiting:
            self._start()
        elif self._records:
            self._linger()


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
