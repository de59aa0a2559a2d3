"""What a ledger's file has, read without changing it, while its place goes on writing or after that was killed."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from . import tables
from .steps import STEPS, Key, key_from, key_text
from .way import Entry, summary, way

SEARCHED = 5_000  # newest rows in which `recent` looks for a filter: the loop of a gateway waits for that
_ENTRY = ("producer", "epoch", "sequence", "peer", "topic", "bytes", "traceparent", *STEPS, "cause")
_COLUMNS = ", ".join((*_ENTRY, "times_accepted", "times_forwarded", "times_handled"))


def connect(path: str | os.PathLike[str]) -> sqlite3.Connection:
    """A connection that reads. sqlite3.Error says why there is none."""
    whole = os.path.abspath(os.fspath(path))
    if not os.path.exists(whole):
        raise FileNotFoundError(f"there is no file {os.fspath(path)}")
    # Any thread: the page's, or a test's
    return sqlite3.connect(f"file:{quote(whole)}?mode=ro", uri=True, timeout=5.0, check_same_thread=False)


class Reader:
    """A ledger's file. `node`: whose it is; `gone`, `missed`: entries that it had no room for, or no time."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._connection = connect(path)
        try:
            version = tables.about(self._connection, "version")
            if version != tables.VERSION:
                raise ValueError(f"{self.path} has version {version} of a ledger, this mqttlite reads {tables.VERSION}")
            self.node = str(tables.about(self._connection, "node", ""))
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.Error):
                raise ValueError(f"{self.path} cannot be read as a delivery ledger: {error}") from error
            raise

    @property
    def gone(self) -> int:
        """How many entries had to go: the oldest."""
        return int(tables.about(self._connection, "gone", 0))

    @property
    def missed(self) -> int:
        """How many notes were not taken: the file could not keep up."""
        return int(tables.about(self._connection, "missed", 0))

    @property
    def entries(self) -> int:
        """How many it has."""
        return int(self._connection.execute("SELECT count(*) FROM ledger_steps").fetchone()[0])

    @property
    def waiting(self) -> int:
        """How many messages are stored for somebody who has not taken them over."""
        sql = "SELECT count(*) FROM ledger_steps WHERE stored IS NOT NULL AND acknowledged IS NULL AND ended IS NULL"
        return int(self._connection.execute(sql).fetchone()[0])

    def has(self, step: int) -> bool:
        """Whether such a step is in it at all."""
        sql = f"SELECT 1 FROM ledger_steps WHERE {STEPS[step]} IS NOT NULL LIMIT 1"
        return self._connection.execute(sql).fetchone() is not None

    def keys(self, step: int) -> Iterator[tuple[Key, int, str, int]]:
        """Every key to which this has happened, how often, the topic ("": not known) and the first time (ms)."""
        times = {"accepted": "times_accepted", "forwarded": "times_forwarded", "handled": "times_handled"}
        name = STEPS[step]
        sql = (
            f"SELECT producer, epoch, sequence, sum({times.get(name, '1')}), max(coalesce(topic, '')), min({name}) "
            f"FROM ledger_steps WHERE {name} IS NOT NULL GROUP BY producer, epoch, sequence"
        )
        for producer, epoch, sequence, count, topic, at in self._connection.execute(sql):
            yield (producer.encode(), epoch, sequence), count, topic, at

    def of(self, key: Key) -> list[Entry]:
        """Everything about one key."""
        sql = f"SELECT {_COLUMNS} FROM ledger_steps WHERE producer = ? AND epoch = ? AND sequence = ? ORDER BY id"
        values = (key[0].decode(), key[1], key[2])
        return [self._entry(row) for row in self._connection.execute(sql, values)]

    def way(self, key: str) -> dict[str, Any] | None:
        """The way of one message, as seen here; None: nothing is known of it. ValueError: that is no key."""
        entries = self.of(key_from(key))
        return way(entries) if entries else None

    def recent(self, limit: int, filter: str = "") -> list[dict[str, Any]]:
        """The messages that came last, the newest first: those whose key or topic has `filter` in it."""
        found = self.newest(limit, lambda key, topic: filter in topic or filter in key_text(key), SEARCHED)
        return [summary(self.of(key)) for key in found]

    def newest(self, limit: int, takes: Callable[[Key, str], bool], searched: int = -1) -> list[Key]:
        """The keys of those that came last and that `takes` does, by key and topic ("": not known), the newest first;
        among the newest `searched` entries, -1: all of them.
        """
        sql = "SELECT producer, epoch, sequence, topic FROM ledger_steps ORDER BY id DESC LIMIT ?"
        found: dict[Key, None] = {}
        for producer, epoch, sequence, topic in self._connection.execute(sql, (searched,)):
            if len(found) >= limit:
                break
            key = (producer.encode(), epoch, sequence)
            if takes(key, topic or ""):
                found[key] = None
        return list(found)

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        producer, epoch, sequence, peer, topic, size, trace = row[:7]
        at, (cause, *times) = row[7 : 7 + len(STEPS)], row[7 + len(STEPS) :]
        return Entry(
            self.node,
            f"{producer}/{epoch}/{sequence}",
            peer,
            topic or "",
            size or 0,
            trace or "",
            tuple(moment or 0 for moment in at),
            cause or "",
            (times[0], times[1], times[2]),
        )

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
