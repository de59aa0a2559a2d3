"""What an end is: a ledger, the table of an inbox in SQLite or PostgreSQL, a list of keys."""

import json
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ....core.keys import EPOCHS, SPAN
from ....core.matching import matches
from ....core.shown import shown
from ....ledger.compare import End
from ....ledger.reading import Reader, connect
from ....ledger.steps import ACCEPTED, HANDLED, STEPS, Key, key_from

SQLITE_HEADER = b"SQLite format 3\0"
POSTGRES = ("postgresql://", "postgres://")
_WINDOWS = "SELECT producer, epoch, highest, bitmap FROM mqttlite_keys"


@dataclass(frozen=True)
class Wanted:
    """Which keys count: of topics that match `topic`, of producers like `producer`; of inboxes called `inbox`.
    `table`: where a gateway with PostgreSQL as an upstream puts messages.
    """

    topic: str = ""
    producer: str = ""
    inbox: str = ""
    table: str = "mqttlite_messages"

    def takes(self, key: Key, topic: str) -> bool:
        """Whether this one does. A topic that is not known is one of those."""
        if self.producer and not fnmatchcase(key[0].decode(), self.producer):
            return False
        return not (self.topic and topic) or matches(self.topic.encode(), topic.encode())


class InboxEnd(End):
    """What the windows of an inbox say: the last SPAN numbers of a producer and epoch one by one; what is older counts
    as handled for an inbox, and here as what cannot be told. Unless a gateway has put the messages themselves there,
    as rows with their keys: from the lowest of a producer's rows on, there is nothing that cannot be told.
    """

    def __init__(self, name: str, what: str) -> None:
        End.__init__(self, name, what, "handled")
        self._highest: dict[tuple[bytes, int], int] = {}
        self._lowest: dict[tuple[bytes, int], int] = {}  # of the rows
        self._epochs: dict[bytes, list[int]] = {}

    def take_window(self, producer: bytes, epoch: int, highest: int, bitmap: bytes, wanted: Wanted) -> None:
        """The keys of one window."""
        if not bitmap or not wanted.takes((producer, epoch, highest), ""):
            return
        bits = int.from_bytes(bitmap, "big")
        for behind in range(SPAN):
            if bits >> behind & 1:
                self.keys.add((producer, epoch, highest - behind))
        stream = (producer, epoch)
        self._highest[stream] = max(highest, self._highest.get(stream, 0))
        self._epochs.setdefault(producer, []).append(epoch)

    def take_row(self, key: Key, times: int, wanted: Wanted, topic: str) -> None:
        """A message that is there, so many times."""
        if wanted.takes(key, topic):
            self.take(key, times)
        stream = key[:2]
        self._lowest[stream] = min(key[2], self._lowest.get(stream, key[2]))

    def cannot_tell(self, key: Key) -> bool:
        """See End."""
        producer, epoch, sequence = key
        highest = self._highest.get((producer, epoch))
        if sequence >= self._lowest.get((producer, epoch), sequence + 1):
            return False
        if highest is not None:
            return sequence <= highest - SPAN
        kept = [other for other in self._epochs.get(producer, []) if other]
        return epoch > 0 and len(kept) >= EPOCHS and epoch < min(kept)


class LedgerEnd(End):
    """What a ledger says. One that had no room for its oldest entries cannot tell what came before a producer's lowest
    number that it has.
    """

    def __init__(self, name: str, what: str, step: str, has_forgotten: bool) -> None:
        End.__init__(self, name, what, step)
        self._has_forgotten = has_forgotten
        self._lowest: dict[tuple[bytes, int], int] = {}

    def take_entry(self, key: Key, times: int, wanted: Wanted, topic: str) -> bool:
        """One of its keys; whether it counts."""
        stream = key[:2]
        self._lowest[stream] = min(key[2], self._lowest.get(stream, key[2]))
        if not wanted.takes(key, topic):
            return False
        self.take(key, times)
        return True

    def cannot_tell(self, key: Key) -> bool:
        """See End."""
        return self._has_forgotten and key[2] < self._lowest.get(key[:2], key[2] + 1)


def is_ledger(name: str) -> bool:
    """Whether this is the file of one."""
    return _is_sqlite(name) and "ledger_steps" in _tables(name)


def end_of(name: str, wanted: Wanted, is_start: bool, young_ms: int | None = None) -> End:
    """What an end has. `is_start`: messages begin there; those since `young_ms` may be under way. OSError or ValueError
    says why it cannot be read.
    """
    if name.startswith(POSTGRES):
        return _postgres(name, wanted)
    if name == "-":
        return _list("standard input", sys.stdin.buffer, wanted)
    if not _is_sqlite(name):
        with open(name, "rb") as file:
            return _list(name, file, wanted)
    tables = _tables(name)
    if "ledger_steps" in tables:
        return _ledger(name, wanted, is_start, young_ms)
    if "mqttlite_keys" in tables:
        end = InboxEnd(name, "inbox")
        with closing(connect(name)) as connection:
            where, values = _inbox(wanted, "?")
            _take_windows(end, connection.execute(_WINDOWS + where, values), wanted)
        return end
    raise ValueError(
        f"{name} is a SQLite file without a ledger or an inbox: name a ledger (ledger_steps) or the database of an "
        "application with an inbox (mqttlite_keys)"
    )


def _is_sqlite(name: str) -> bool:
    if name == "-" or name.startswith(POSTGRES):
        return False
    with open(name, "rb") as file:
        return file.read(len(SQLITE_HEADER)) == SQLITE_HEADER


def _tables(name: str) -> set[str]:
    try:
        with closing(connect(name)) as connection:
            return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        raise ValueError(f"{name} cannot be read: {error}") from error


def _ledger(name: str, wanted: Wanted, is_start: bool, young_ms: int | None) -> End:
    with closing(Reader(name)) as reader:
        step = ACCEPTED if is_start or not reader.has(HANDLED) else HANDLED
        if is_start and not reader.has(ACCEPTED) and reader.has(HANDLED):
            step = HANDLED
        end = LedgerEnd(name, f"ledger of {shown(reader.node)}", STEPS[step], reader.gone > 0)
        for key, times, topic, at in reader.keys(step):
            # At the beginning a message may come again: its sender had no answer. That is not a repeat.
            counts = end.take_entry(key, 1 if step == ACCEPTED else times, wanted, topic)
            if counts and young_ms is not None and at >= young_ms:
                end.young.add(key)
        if reader.gone:
            end.notes.append(f"{reader.gone:,} older entries had to go: nothing is said of those")
        if reader.missed:
            end.notes.append(f"{reader.missed:,} notes were not taken: its disk could not keep up")
        return end


def _inbox(wanted: Wanted, mark: str) -> tuple[str, tuple[str, ...]]:
    return (f" WHERE inbox = {mark}", (wanted.inbox,)) if wanted.inbox else ("", ())


def _take_windows(end: InboxEnd, rows: Iterable[Any], wanted: Wanted) -> None:
    for producer, epoch, highest, bitmap in rows:
        end.take_window(bytes(producer), epoch, highest, bytes(bitmap), wanted)


def _postgres(url: str, wanted: Wanted) -> End:
    try:
        import psycopg
    except ImportError:
        raise ValueError("postgresql:// needs psycopg: pip install 'mqttlite[postgres]'") from None
    name = url.rpartition("@")[2].partition("?")[0]  # without a password
    end = InboxEnd(name, "inbox in PostgreSQL")
    try:
        with psycopg.connect(url) as connection:
            if wanted.table:
                _take_rows(end, connection, wanted)
            where, values = _inbox(wanted, "%s")
            _take_windows(end, connection.execute((_WINDOWS + where).encode(), values), wanted)
    except psycopg.Error as error:
        raise ValueError(f"{name} cannot be read: {str(error).strip()}") from error
    return end


def _take_rows(end: InboxEnd, connection: Any, wanted: Wanted) -> None:
    """Those that a gateway has put into its table of messages, if there is one."""
    table = ".".join('"' + part.replace('"', '""') + '"' for part in wanted.table.split("."))
    (found,) = connection.execute("SELECT to_regclass(%s)", (table,)).fetchone()
    if found is None:
        return
    end.what = "inbox and messages in PostgreSQL"
    sql = f"SELECT key, count(*), min(topic) FROM {table} WHERE key IS NOT NULL GROUP BY key"
    with connection.cursor(name="verify") as cursor:  # row by row: there may be millions
        for text, times, topic in cursor.execute(sql.encode()):
            end.take_row(key_from(text), times, wanted, topic)


def _list(name: str, lines: Iterable[bytes], wanted: Wanted) -> End:
    end = End(name, "list", "listed")
    for key, topic in _keys(name, lines):
        if wanted.takes(key, topic):
            end.take(key)
    return end


def _keys(name: str, lines: Iterable[bytes]) -> Iterator[tuple[Key, str]]:
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode().strip()
            if text.startswith("{"):
                found = json.loads(text)
                yield key_from(str(found["key"])), str(found.get("topic", ""))
            elif text and not text.startswith("#"):
                yield key_from(text), ""
        except (ValueError, KeyError) as error:
            words = 'it has no "key"' if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{name}, line {number}: {words}") from None
