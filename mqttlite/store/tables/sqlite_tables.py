"""The tables of a client's store in SQLite, and what records change in them. CPython only.

The schema has a version (`PRAGMA user_version`); MIGRATIONS leads from each to the next. A release that changes a table
appends to it and changes nothing that is there.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from ...core import records as r
from ...core.codec import released
from ...core.records import State
from . import batches

if TYPE_CHECKING:
    from ...core.records import Record

# States of an outbound message; bits, because a message in doubt was released before.
_RELEASED = 1
_DOUBT = 2

APPLICATION_ID = 0x6D717474  # "mqtt", in the header of the file

# Where batches of records are until they are carried over (sqlite_schema.py)
LOG = "CREATE TABLE log (id INTEGER PRIMARY KEY, records BLOB)"

# From version 2 on. `life`: whether the file is in use: then its WAL belongs to it. `crc`: CRC-32 of the records.
LIFE = (
    "CREATE TABLE life (open INTEGER)",
    "INSERT INTO life VALUES (0)",
    "ALTER TABLE log ADD COLUMN crc INTEGER",
)

# What leads from schema version n to n + 1, from n = 0, an empty file.
MIGRATIONS: list[tuple[str, ...]] = [
    (
        f"PRAGMA application_id = {APPLICATION_ID}",
        # client_id; epoch, next and clearing as integers
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
        # state: 0 accepted, 1 released, 3 in doubt. head, payload and key as in records.py.
        "CREATE TABLE outbound (seq INTEGER PRIMARY KEY, state INTEGER, head BLOB, payload BLOB, key BLOB)",
        "CREATE TABLE inbound (packet_id INTEGER PRIMARY KEY)",
        "CREATE TABLE subscription (topic_filter BLOB PRIMARY KEY, qos INTEGER) WITHOUT ROWID",
        # Numbers of applications have 64 bits without a sign, so they are kept as bytes.
        "CREATE TABLE origin (producer BLOB PRIMARY KEY, number BLOB) WITHOUT ROWID",
        "CREATE TABLE seen (producer BLOB PRIMARY KEY, sequence BLOB, window BLOB) WITHOUT ROWID",
        LOG,
    ),
    LIFE,
    # digest: of the content that the identifier stands for; 0: not known. meta: clearing is a number (records.py).
    ("ALTER TABLE inbound ADD COLUMN digest INTEGER NOT NULL DEFAULT 0",),
]


class Connection(Protocol):
    """What the store needs of a database connection; sqlite3 (in autocommit) and apsw have it."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Iterable[Any]: ...
    def executemany(self, sql: str, parameters: Any, /) -> Any: ...
    def close(self) -> None: ...


class _Sum:
    """What the records of a batch add up to; `next`: messages from there on are not in the file."""

    __slots__ = ("changed", "done", "held", "lost", "messages", "meta", "next", "origins", "seen", "subscriptions")

    def __init__(self, after: int) -> None:
        self.next = after
        self.messages: dict[int, tuple[int, int, bytes, bytes, bytes]] = {}
        self.changed: dict[int, int] = {}  # bits to set in messages that are in the file
        self.done: list[int] = []
        self.held: dict[int, int] = {}  # -1: not any more
        self.lost = False  # what was held before
        self.meta: dict[str, int | bytes] = {}
        self.subscriptions: dict[bytes, int] = {}  # -1: none any more
        self.origins: dict[bytes, int] = {}
        self.seen: dict[bytes, None] = {}


class ClientTables:
    """What a client keeps: its session, as records tell it."""

    application_id = APPLICATION_ID
    migrations = MIGRATIONS

    def load(self, connection: Connection) -> State:
        """The state that the file holds."""
        state = State()
        meta = dict(connection.execute("SELECT name, value FROM meta"))
        state.client_id = meta.get("client_id", b"")
        state.epoch = meta.get("epoch", 0)
        state.next = meta.get("next", -1)
        state.clearing = meta.get("clearing", 0)
        for seq, bits, head, payload, key in connection.execute("SELECT * FROM outbound ORDER BY seq"):
            if bits & _RELEASED:
                head = released(head)
            (state.doubts if bits & _DOUBT else state.messages)[seq] = (head, payload, key)
            state.next = max(state.next, seq + 1)
        state.held = dict(connection.execute("SELECT packet_id, digest FROM inbound"))
        state.subscriptions = dict(connection.execute("SELECT topic_filter, qos FROM subscription"))
        for producer, number in connection.execute("SELECT producer, number FROM origin"):
            state.origins[producer] = int.from_bytes(number, "big")
        for producer, sequence, window in connection.execute("SELECT producer, sequence, window FROM seen"):
            state.seen[producer] = [int.from_bytes(sequence, "big"), int.from_bytes(window, "big")]
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

    def prepare(self, connection: Connection) -> None:
        """Before `write`: what has to be known of the file for that."""
        self.load(connection)

    def committed(self) -> None:
        """What was written is durable."""

    def rolled_back(self, connection: Connection) -> None:
        """What was written is not in the file."""
        self.load(connection)

    def encode(self, batch: "list[Record]") -> bytes:
        """The records one after the other, each behind the 4 bytes of its length."""
        return batches.encode(batch)

    def decode(self, data: bytes) -> "list[Record]":
        """The records that `encode` made these bytes from."""
        return batches.decode(data)

    def write(self, connection: Connection, batch: "list[Record]") -> None:
        """Write the sum of a batch; in a transaction."""
        total = self._sum(batch)
        # No number is used twice. While the message with the last number is in the file, that message says so.
        last = max(self._last, max(total.messages)) if total.messages else self._last
        if last in total.done and last not in total.messages:
            last = -2
        if total.next > self._next_kept and last + 1 != total.next:
            total.meta["next"] = total.next
        self._write_messages(connection, total)
        self._write_rest(connection, total)
        self._next = total.next
        self._next_kept = max(self._next_kept, int(total.meta.get("next", -1)))
        self._last = last

    def _sum(self, batch: "list[Record]") -> _Sum:
        """What the records of a batch add up to."""
        total = _Sum(self._next)
        known = after = self._next
        messages = total.messages
        changed = total.changed
        done = total.done
        held = total.held
        meta = total.meta
        subscriptions = total.subscriptions
        origins = total.origins
        windows = self._windows
        for kind, number, head, payload, key in batch:
            if kind == r.ACCEPTED:
                messages[number] = (number, 0, head, payload, key)
                if number >= after:
                    after = number + 1
                if len(key) > 9:
                    key = r.bare(key)
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
                held[number & 0xFFFF] = number >> 16
            elif kind == r.FREED:
                held[number] = -1
            elif kind == r.LOST:
                held.clear()
                total.lost = True
            elif kind == r.NEXT:
                after = max(after, number)
            elif kind == r.SUBSCRIBED:
                subscriptions[head] = number
            elif kind == r.UNSUBSCRIBED:
                subscriptions[head] = -1
            elif kind == r.IDENTITY:
                meta["client_id"] = head
                meta["epoch"] = number
            elif kind == r.ORIGIN:
                origins[head] = number
            elif kind == r.CLEARING:
                meta["clearing"] = number
            elif kind == r.SEEN:
                windows.apply(kind, number, head, payload)
                total.seen[head] = None
        total.next = after
        return total

    def _write_messages(self, connection: Connection, total: _Sum) -> None:
        many = connection.executemany
        if total.changed:
            for bits in set(total.changed.values()):
                numbers = [number for number, value in total.changed.items() if value == bits]
                sql = f"UPDATE outbound SET state = state | {bits} WHERE seq BETWEEN ? AND ? AND state < {_DOUBT}"
                many(sql, ranges(numbers))
        if total.done:  # first, so that new messages take the places of old ones
            many("DELETE FROM outbound WHERE seq BETWEEN ? AND ?", ranges(total.done))
        if total.messages:
            many("INSERT OR REPLACE INTO outbound VALUES (?, ?, ?, ?, ?)", total.messages.values())

    def _write_rest(self, connection: Connection, total: _Sum) -> None:
        many = connection.executemany
        held = total.held
        if total.lost and self._held:
            connection.execute("DELETE FROM inbound")
            self._held.clear()
        if held:
            freed = [number for number, digest in held.items() if digest < 0 and number in self._held]
            taken = {number: digest for number, digest in held.items() if digest >= 0}
            many("DELETE FROM inbound WHERE packet_id BETWEEN ? AND ?", ranges(freed))
            many("INSERT OR REPLACE INTO inbound VALUES (?, ?)", taken.items())
            self._held.difference_update(freed)
            self._held.update(taken)
        if total.meta:
            many("INSERT OR REPLACE INTO meta VALUES (?, ?)", total.meta.items())
        for topic_filter, qos in total.subscriptions.items():
            if qos < 0:
                connection.execute("DELETE FROM subscription WHERE topic_filter = ?", (topic_filter,))
            else:
                connection.execute("INSERT OR REPLACE INTO subscription VALUES (?, ?)", (topic_filter, qos))
        if total.origins:
            rows = [(producer, number.to_bytes(8, "big")) for producer, number in total.origins.items()]
            many("INSERT OR REPLACE INTO origin VALUES (?, ?)", rows)
        windows = self._windows.seen
        if total.seen:
            gone = self._seen - windows.keys()
            many("DELETE FROM seen WHERE producer = ?", [(producer,) for producer in sorted(gone)])
            self._seen = set(windows)
        for producer in sorted(total.seen.keys() & self._seen):
            sequence, window = windows[producer]
            row = (producer, sequence.to_bytes(8, "big"), window.to_bytes((window.bit_length() + 7) // 8, "big"))
            connection.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", row)


def ranges(numbers: list[int]) -> Iterator[tuple[int, int]]:
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
