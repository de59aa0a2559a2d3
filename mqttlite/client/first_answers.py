"""The first answer to each key of a request, for as long as it may be repeated: in memory, or in a file beside the
client's store, which survives a restart. Host only.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol, TypeVar

from ..core.errors import StoreError

T = TypeVar("T")

COUNT_MAX = 10_000
BYTES_MAX = 16 << 20
KEEP_S = 86_400.0  # one day
OWN_BYTES = 100  # of each, besides its key and payload


class Answer(NamedTuple):
    """`content`: a digest of the request. `error`: words, "" when there is none."""

    content: bytes
    payload: bytes
    error: str = ""


class FirstAnswers(Protocol):
    """Where they are kept. At the end of a bound the oldest are forgotten."""

    async def get(self, key: str) -> Answer | None:
        """The first answer to a request with this key."""

    async def put(self, key: str, answer: Answer) -> None:
        """Keep it; on return it survives whatever this survives. StoreError when it cannot be kept."""

    async def close(self) -> None:
        """Let go of what is open."""


class MemoryAnswers:
    """In memory; a restart forgets them."""

    def __init__(self, count_max: int = COUNT_MAX, bytes_max: int = BYTES_MAX, keep_s: float = KEEP_S) -> None:
        self._all: OrderedDict[str, tuple[float, Answer]] = OrderedDict()
        self._size = 0
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._keep_s = keep_s

    async def get(self, key: str) -> Answer | None:
        self._forget()
        found = self._all.get(key)
        return found[1] if found else None

    async def put(self, key: str, answer: Answer) -> None:
        self._all[key] = (time.monotonic(), answer)
        self._size += _size(key, answer)
        self._forget()

    def _forget(self) -> None:
        oldest = time.monotonic() - self._keep_s
        while self._all:
            key, (at, answer) = next(iter(self._all.items()))
            if len(self._all) <= self._count_max and self._size <= self._bytes_max and at > oldest:
                return
            del self._all[key]
            self._size -= _size(key, answer)

    async def close(self) -> None:
        pass


class FileAnswers:
    """In an SQLite file; `put` returns when the answer is on the disk."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        count_max: int = COUNT_MAX,
        bytes_max: int = BYTES_MAX,
        keep_s: float = KEEP_S,
    ) -> None:
        self._path = os.fspath(path)
        self._bounds = (count_max, bytes_max, keep_s)
        self._thread = ThreadPoolExecutor(1, "mqttlite answers")
        self._db: sqlite3.Connection | None = None
        self._size = self._count = 0
        self._version = -1  # of the file, when they were counted

    async def get(self, key: str) -> Answer | None:
        return await self._run(self._get, key)

    async def put(self, key: str, answer: Answer) -> None:
        await self._run(self._put, key, answer)

    async def close(self) -> None:
        await self._run(self._close)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[..., T], *args: Any) -> T:
        job = asyncio.get_running_loop().run_in_executor(self._thread, work, *args)
        try:
            return await asyncio.shield(job)
        except sqlite3.Error as error:
            raise StoreError(f"the answers to requests cannot be kept in {self._path}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            if not os.path.exists(self._path):
                os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            db = sqlite3.connect(self._path, isolation_level=None)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute(
                "CREATE TABLE IF NOT EXISTS answer (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, "
                "content BLOB NOT NULL, payload BLOB NOT NULL, error TEXT NOT NULL, time REAL NOT NULL)"
            )
            self._db = db
            self._version = -1
        return self._db

    def _count_again(self, db: sqlite3.Connection) -> None:
        """If anybody else has written: another `serve` of the client has the same file."""
        (version,) = db.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._version = version
            sizes = "SELECT count(*), coalesce(sum(length(key) + length(payload) + length(error) + ?), 0) FROM answer"
            self._count, self._size = db.execute(sizes, (OWN_BYTES,)).fetchone()

    def _get(self, key: str) -> Answer | None:
        db = self._open()
        sql = "SELECT content, payload, error FROM answer WHERE key = ? AND time > ?"
        row = db.execute(sql, (key, time.time() - self._bounds[2])).fetchone()
        return Answer(*row) if row else None

    def _put(self, key: str, answer: Answer) -> None:
        db = self._open()
        count_max, bytes_max, keep_s = self._bounds
        db.execute("BEGIN IMMEDIATE")
        try:
            self._count_again(db)
            self._forget(db, "time <= ?", time.time() - keep_s)
            sql = "INSERT OR REPLACE INTO answer (key, content, payload, error, time) VALUES (?, ?, ?, ?, ?)"
            db.execute(sql, (key, answer.content, answer.payload, answer.error, time.time()))
            self._count += 1
            self._size += _size(key, answer)
            while self._count > 1 and (self._count > count_max or self._size > bytes_max):
                self._forget(db, "number = (SELECT min(number) FROM answer)")
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            self._db = None  # counts are looked up again
            db.close()
            raise

    def _forget(self, db: sqlite3.Connection, where: str, *args: float) -> None:
        gone = db.execute(f"DELETE FROM answer WHERE {where} RETURNING key, content, payload, error", args).fetchall()
        self._count -= len(gone)
        self._size -= sum(_size(key, Answer(content, payload, error)) for key, content, payload, error in gone)

    def _close(self) -> None:
        if self._db:
            self._db.close()
            self._db = None


def _size(key: str, answer: Answer) -> int:
    return len(key) + len(answer.payload) + len(answer.error) + OWN_BYTES
