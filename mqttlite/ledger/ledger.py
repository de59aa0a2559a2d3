"""The ledger of one place: notes are taken at once, and written by a thread, a batch a second at most. When nothing
happens there is no timer and no write.
"""

import asyncio
import logging
import os
import platform
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

from ..core.shown import shown
from .file import LedgerFile
from .notes import Notes
from .reading import Reader
from .steps import STEPS, Key

log = logging.getLogger("mqttlite.ledger")

ENTRIES = 200_000
MAX_BYTES = 64 << 20
MAX_AGE_S = 7 * 86_400


def now_ms() -> int:
    """A clock that only goes on."""
    return time.monotonic_ns() // 1_000_000


class Ledger:
    """What has happened to messages with idempotency keys at one place, in a SQLite file: `async with Ledger(...)`.

    path          the file; made, with mode 0600, when it is not there. One for each place, written by one process
    node          the place's name, as `mqttlite verify` and charts have it
    entries       how many it has at most: one for a message and who brought it, one for each who gets it
    max_bytes     how large the file may be; a few MB of `-wal` come on top
    max_age_s     what is older goes with the next batch; 0: age does not matter

    The oldest go first, and are counted (`describe`). A broker, a client or an inbox that has been given a ledger opens
    and closes it with itself. It decides nothing: when the file fails, that is logged, and what happens is not noted.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        node: str = "",
        *,
        entries: int = ENTRIES,
        max_bytes: int = MAX_BYTES,
        max_age_s: float = MAX_AGE_S,
    ) -> None:
        if entries < 1 or max_bytes < 1 or max_age_s < 0:
            raise ValueError("entries and max_bytes of a ledger must be more than 0, and max_age_s not less")
        self.path = os.fspath(path)
        self.node = node or platform.node()
        self.notes = Notes()
        self.problem = ""  # why nothing is written; "": it is
        self.batches = 0  # written until now
        self._file = LedgerFile(path, self.node, entries, max_bytes, int(max_age_s * 1000))
        self._reader: Reader | None = None
        self._users = 0
        self._thread: ThreadPoolExecutor | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_soon = False  # it ends at once
        self._writing: asyncio.Future[None] | None = None
        self._rows = 0  # in the batch that is being written
        self._told = 0  # notes that the file has counted as missing
        self._telling = 0  # and when the batch is written

    # -- beginning and end

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Open the file; `close` as often as this. ValueError says why it cannot be opened."""
        self._users += 1
        if self._users > 1:
            return
        self._loop = asyncio.get_running_loop()
        self._set_time()
        self._thread = ThreadPoolExecutor(1, "mqttlite ledger")
        try:
            await self._loop.run_in_executor(self._thread, self._file.open)
        except (sqlite3.Error, OSError, ValueError) as error:
            self._users = 0
            self._thread.shutdown(wait=False)
            self._thread = None
            raise ValueError(f"the ledger {shown(self.path, 200)} cannot be opened: {error}") from error

    async def close(self) -> None:
        """Write what is there, and let go of the file."""
        self._users -= 1
        thread = self._thread
        if self._users or thread is None:
            return
        if self._timer:
            self._timer.cancel()
            self._timer = None
        await self.flush()
        self._thread = None
        await self._loop.run_in_executor(thread, self._file.close)
        thread.shutdown()
        if self._reader:
            self._reader.close()
            self._reader = None

    # -- what happens

    def note(
        self,
        step: int,
        key: Key,
        peer: bytes,
        now: int,
        topic: bytes = b"",
        size: int = 0,
        trace: bytes = b"",
        cause: str = "",
    ) -> None:
        """As Notes.note."""
        self.notes.note(step, key, peer, now, topic, size, trace, cause)
        if self._timer is None or self.notes.is_full:
            self._wake(now)

    def wait_for_commit(self, step: int, key: Key, peer: bytes) -> None:
        """As Notes.wait_for_commit."""
        self.notes.wait_for_commit(step, key, peer)

    def note_in_turn(self, step: int, key: Key, peer: bytes, now: int, cause: str = "") -> None:
        """As Notes.note_in_turn."""
        self.notes.note_in_turn(step, key, peer, now, cause)
        if self._timer is None or self.notes.is_full:
            self._wake(now)

    def commit_begins(self) -> None:
        """As Notes.commit_begins."""
        self.notes.commit_begins()

    def committed(self, now: int | None = None) -> None:
        """As Notes.committed."""
        moment = now_ms() if now is None else now
        self.notes.committed(moment)
        if self._timer is None or self.notes.is_full:
            self._wake(moment)

    # -- batches

    def _wake(self, now: int) -> None:
        due = self.notes.due_ms()
        if due is not None and self._thread and self._writing is None:
            if self._timer:
                if self._is_soon:
                    return
                self._timer.cancel()
            self._is_soon = due <= now
            self._timer = self._loop.call_later(max(0, due - now) / 1000, self._begin)

    def _begin(self) -> None:
        self._timer = None
        if self._writing is None and self._thread and len(self.notes):
            self._set_time()
            missed = self.notes.missed - self._told
            self._telling = self.notes.missed
            batch = self.notes.take()
            self._rows = len(batch)
            wall = now_ms() + self.notes.ahead_ms
            self._writing = self._loop.run_in_executor(self._thread, self._file.write, batch, missed, wall)
            self._writing.add_done_callback(self._written)

    def _written(self, done: "asyncio.Future[None]") -> None:
        self._writing = None
        error = done.exception()
        if error is None:
            self.batches += 1
            self._told = self._telling
            if self.problem:
                log.warning("the ledger %s is written again", shown(self.path, 200))
            self.problem = ""
        else:
            self.notes.missed += self._rows
            words = str(error) or type(error).__name__
            if words != self.problem:
                log.error("the ledger %s cannot be written: %s; messages go on", shown(self.path, 200), words)
            self.problem = words
        if self._thread:
            self._wake(now_ms())

    async def flush(self) -> None:
        """Have everything written that is noted by now."""
        while self._writing is not None or len(self.notes):
            if self._writing is None:
                self._begin()
            if self._writing is None:
                return
            await asyncio.wait((self._writing,))

    def _set_time(self) -> None:
        """The time of the day may have been set since: a Raspberry Pi learns it after its start."""
        self.notes.ahead_ms = time.time_ns() // 1_000_000 - now_ms()

    # -- what it has

    def recent(self, limit: int, filter: str = "") -> list[dict[str, Any]]:
        """The messages noted last, the newest first (reading.py); at most a second old."""
        reader = self._read()
        return reader.recent(limit, filter) if reader else []

    def way(self, key: str) -> dict[str, Any] | None:
        """The way of one message, as way.py has it; None: nothing is known of it, or that is no key."""
        reader = self._read()
        try:
            return reader.way(key) if reader else None
        except ValueError:
            return None

    def _read(self) -> Reader | None:
        if self._reader is None and self._thread:
            self._reader = Reader(self.path)
        return self._reader

    def describe(self) -> dict[str, Any]:
        """How it is, as JSON data. `gone`: entries that were too many, too large or too old; `missed`: notes that were
        not taken because the file could not keep up.
        """
        file = self._file
        return {
            "path": self.path,
            "node": self.node,
            "entries": file.entries,
            "entries_max": file.entries_max,
            "bytes": file.bytes,
            "bytes_max": file.max_bytes,
            "max_age_s": file.max_age_ms // 1000,
            "gone": file.gone,
            "missed": self.notes.missed,
            "noted": dict(zip(STEPS, self.notes.counts, strict=True)),
            "batches": self.batches,
            "problem": self.problem,
        }
