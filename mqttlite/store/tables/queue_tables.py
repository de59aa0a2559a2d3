"""The tables of a broker's store for what it keeps by a name (broker/queues): queues and streams with their messages,
how far streams are read, messages for later, numbers of producers. CPython only.

Records as in broker_tables.py. `session` is the number of the queue or stream where it says *owner*; an extra that has
*at* in front of it begins with a time by the broker's clock (ms) in 6 bytes.

    kind        session  number         head         payload       extra
    COLLECTOR   owner    kind, above    name         topic filter  at (used last)
                         it when made
    DELETED     owner                                                  it ends, with all that it holds
    COLLECTED   owner    number         as PUBLISH   payload       at, extra
    TAKEN       owner    number                                    it has left for good
    TRIED       owner    number         tries (4 bytes)
    TRIMMED     owner    number                                    all below it have left
    READ_TO        yes      offset         topic filter               what its reader is sent next
    UNREAD      yes                     topic filter
    DELAYED     0        number         as PUBLISH   payload       at (due), extra
    PUBLISHED   0        number
    NUMBER_SEEN        0        sequence       name of a window           at
    FORGOTTEN   0                       name of a window
"""

from typing import Any, NamedTuple

from ...core.keys import see
from .sqlite_tables import Connection, ranges

COLLECTOR = 48
DELETED = 49
COLLECTED = 50
TAKEN = 51
TRIED = 52
TRIMMED = 53
READ_TO = 54
UNREAD = 55
DELAYED = 56
PUBLISHED = 57
NUMBER_SEEN = 58
FORGOTTEN = 59

SESSION_ENDED = 33  # broker_tables.ENDED

FIRST = COLLECTOR  # kinds from here on are of these tables
TIME_SIZE = 6  # bytes
ALWAYS = (1 << 8 * TIME_SIZE) - 1  # in the place of when a collector was used last: it is of the configuration

MIGRATION = (
    # next: number of the next message
    "CREATE TABLE collector (id INTEGER PRIMARY KEY, kind INTEGER, name BLOB, filter BLOB, used INTEGER,"
    " next INTEGER NOT NULL DEFAULT 0)",
    # id: collector << 40 | number
    "CREATE TABLE collected (id INTEGER PRIMARY KEY, at INTEGER, tries INTEGER, head BLOB, payload BLOB, extra BLOB)",
    "CREATE TABLE reader (session INTEGER, topic_filter BLOB, next INTEGER, PRIMARY KEY (session, topic_filter))"
    " WITHOUT ROWID",
    "CREATE TABLE delayed (id INTEGER PRIMARY KEY, due INTEGER, head BLOB, payload BLOB, extra BLOB)",
    "CREATE TABLE numbers (name BLOB PRIMARY KEY, highest INTEGER, bits BLOB, at INTEGER) WITHOUT ROWID",
)
TABLES = ("collector", "collected", "reader", "delayed", "numbers")

_SEQ = 40  # bits of a number

Record = tuple[int, int, int, bytes, bytes, bytes]


class Collector(NamedTuple):
    """A queue or stream; its messages by number: at, tries, head, payload, extra. `made`: when (ms)."""

    kind: int
    made: int
    name: bytes
    filter: bytes
    used: int
    next: int
    messages: dict[int, tuple[int, int, bytes, bytes, bytes]]


class QueuesState(NamedTuple):
    """What these tables hold. `readers`: offsets by session and topic filter. `delayed`: due, head, payload, extra by
    number. `numbers`: highest, bits, at by name.
    """

    collectors: dict[int, Collector]
    readers: dict[tuple[int, bytes], int]
    delayed: dict[int, tuple[int, bytes, bytes, bytes]]
    numbers: dict[bytes, tuple[int, int, int]]


EMPTY = QueuesState({}, {}, {}, {})


def load(connection: Connection) -> QueuesState:
    """The state that the tables hold."""
    collectors: dict[int, Collector] = {}
    for number, kind, name, topic_filter, used, after in connection.execute(
        "SELECT id, kind, name, filter, used, next FROM collector ORDER BY id"
    ):
        collectors[number] = Collector(kind & 1, kind >> 1, name, topic_filter, used, after, {})
    for number, at, tries, head, payload, extra in connection.execute("SELECT * FROM collected ORDER BY id"):
        collector = collectors.get(number >> _SEQ)
        if collector:
            collector.messages[number & (1 << _SEQ) - 1] = (at, tries, head, payload, extra)
    readers = {(session, name): after for session, name, after in connection.execute("SELECT * FROM reader")}
    delayed = {number: tuple(more) for number, *more in connection.execute("SELECT * FROM delayed ORDER BY due, id")}
    numbers = {
        name: (highest, int.from_bytes(bits, "big"), at)
        for name, highest, bits, at in connection.execute("SELECT name, highest, bits, at FROM numbers ORDER BY at")
    }
    return QueuesState(collectors, readers, delayed, numbers)


def write(connection: Connection, batch: list[Record]) -> None:
    """Write the sum of the records that are of these tables; in a transaction."""
    named = [record for record in batch if record[1] >= FIRST or record[1] == SESSION_ENDED]
    if named:
        _Sum(connection).write(named)


class _Sum:
    """What a batch adds up to, until it is written."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._new: dict[int, tuple[int, int, int, bytes, bytes, bytes]] = {}
        self._gone: list[int] = []
        self._after: dict[int, int] = {}  # next number by owner
        self._read: dict[tuple[int, bytes], int] = {}
        self._delayed: dict[int, tuple[int, int, bytes, bytes, bytes]] = {}
        self._published: list[int] = []
        self._seen: dict[bytes, list[tuple[int, int]]] = {}  # sequence and time, in order

    def write(self, batch: list[Record]) -> None:
        for record in batch:
            self._add(*record)
        self._flush()

    def _add(self, owner: int, kind: int, number: int, head: bytes, payload: bytes, extra: bytes) -> None:
        key = owner << _SEQ | number
        if kind == COLLECTED:
            self._new[key] = (key, _time(extra), 0, head, payload, extra[TIME_SIZE:])
            self._after[owner] = max(number + 1, self._after.get(owner, 0))
        elif kind == TAKEN:
            if self._new.pop(key, None) is None:
                self._gone.append(key)
        elif kind == READ_TO:
            self._read[owner, head] = number
        elif kind == DELAYED:
            self._delayed[number] = (number, _time(extra), head, payload, extra[TIME_SIZE:])
        elif kind == PUBLISHED:
            if self._delayed.pop(number, None) is None:
                self._published.append(number)
        elif kind == NUMBER_SEEN:
            self._seen.setdefault(head, []).append((number, _time(extra)))
        else:
            self._flush()  # in order
            self._add_rare(owner, kind, number, head, payload, extra)

    def _add_rare(self, owner: int, kind: int, number: int, head: bytes, payload: bytes, extra: bytes) -> None:
        execute = self._connection.execute
        if kind == COLLECTOR:
            execute(
                "INSERT INTO collector (id, kind, name, filter, used) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET filter = excluded.filter, used = excluded.used",
                (owner, number, head, payload, _time(extra)),
            )
        elif kind == DELETED:
            execute("DELETE FROM collected WHERE id >= ? AND id < ?", (owner << _SEQ, (owner + 1) << _SEQ))
            execute("DELETE FROM collector WHERE id = ?", (owner,))
        elif kind == TRIED:
            execute(
                "UPDATE collected SET tries = ? WHERE id = ?", (int.from_bytes(head, "big"), owner << _SEQ | number)
            )
        elif kind == TRIMMED:
            execute("DELETE FROM collected WHERE id >= ? AND id < ?", (owner << _SEQ, owner << _SEQ | number))
        elif kind == UNREAD:
            execute("DELETE FROM reader WHERE session = ? AND topic_filter = ?", (owner, head))
        elif kind == SESSION_ENDED:
            execute("DELETE FROM reader WHERE session = ?", (owner,))
        elif kind == FORGOTTEN:
            execute("DELETE FROM numbers WHERE name = ?", (head,))
        else:
            raise ValueError(f"unknown record {kind}")

    def _flush(self) -> None:
        many: Any = self._connection.executemany
        if self._gone:
            many("DELETE FROM collected WHERE id BETWEEN ? AND ?", ranges(self._gone))
        if self._new:
            many("INSERT OR REPLACE INTO collected VALUES (?, ?, ?, ?, ?, ?)", self._new.values())
        if self._after:
            many(
                "UPDATE collector SET next = max(next, ?) WHERE id = ?",
                [(value, owner) for owner, value in self._after.items()],
            )
        if self._read:
            many("INSERT OR REPLACE INTO reader VALUES (?, ?, ?)", [(*key, at) for key, at in self._read.items()])
        if self._published:
            many("DELETE FROM delayed WHERE id BETWEEN ? AND ?", ranges(self._published))
        if self._delayed:
            many("INSERT OR REPLACE INTO delayed VALUES (?, ?, ?, ?, ?)", self._delayed.values())
        for name, found in self._seen.items():
            self._write_numbers(name, found)
        for gathered in (self._new, self._gone, self._after, self._read, self._published, self._delayed, self._seen):
            gathered.clear()

    def _write_numbers(self, name: bytes, found: list[tuple[int, int]]) -> None:
        window: list[int] = []
        for highest, bits in self._connection.execute("SELECT highest, bits FROM numbers WHERE name = ?", (name,)):
            window = [highest, int.from_bytes(bits, "big")]
        for sequence, _ in found:
            see(window, sequence)
        at = found[-1][1]
        bits = window[1].to_bytes((window[1].bit_length() + 7) // 8, "big")
        self._connection.execute("INSERT OR REPLACE INTO numbers VALUES (?, ?, ?, ?)", (name, window[0], bits, at))


def _time(extra: bytes) -> int:
    return int.from_bytes(extra[:TIME_SIZE], "big")
