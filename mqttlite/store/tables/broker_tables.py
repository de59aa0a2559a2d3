"""The tables of a broker's store in SQLite: many sessions and the retained messages in one file. CPython only.

A record is `(session, kind, number, head, payload, extra)`: `session` is the number of a session, kinds and the rest
are those of core/records.py (`extra` is its key, of which a broker makes broker/messages/extras.py), and of these more:

    kind      session   number   head         payload
    BEGUN     yes                client_id              a session begins
    ENDED     yes                                       it ends, and all that it holds
    RETAINED  0         QoS      topic name   payload   the retained message of a topic; without a payload: none
    EXPIRY    yes       ms                              how long the session outlives its connection; 0: as long as the
                                                        broker's limits say
    OFFLINE   yes       ms       sent                   since when it has none, by the broker's clock; 0: it has one.
                                                        sent: 8 bytes, the first message that was never sent; none: any
                                                        may have been
    WILL      yes       delay    topic name   payload   QoS << 1 | RETAIN, and above 3 bits the delay (s) of its will,
                                                        which has yet to be published; without a topic: there is none.
                                                        Of a session that is not kept, under a number of its own
    STARTED   yes       seq                             a message that may expire was sent for the first time
    CLOCK     0         ms                              the broker's clock
    OWNER     yes                owner                  to whom the session belongs (broker/access/identity.py)
    HEARD     yes       0 or 1                          0: its client may not know of it; 1: it does, as of any other

and runs of them (batches.py).

What is queued for sessions is in blocks (broker_blocks.py). Rows have the session in the upper bits of their number, so
that what belongs to a session lies side by side.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from ...core import records as r
from ...core.records import State
from . import batches, broker_blocks, queue_tables
from .broker_blocks import Blocks, Content, Waiting
from .queue_tables import EMPTY, QueuesState
from .sqlite_schema import row
from .sqlite_tables import LIFE, LOG, Connection, ranges

BEGUN = 32
ENDED = 33
RETAINED = 34
EXPIRY = 35
OFFLINE = 36
WILL = 37
CLOCK = 38
STARTED = 39
OWNER = 40
HEARD = 43  # 41 and 42 are runs (batches.py)

_NUMBERS = frozenset((r.DONE, r.RELEASED, r.HELD, r.FREED, STARTED))  # that are numbers alone
_CHANGES = _NUMBERS - {r.HELD, r.FREED}  # what becomes of a message

Record = tuple[int, int, int, bytes, Any, bytes]  # the payload is one, but of runs (batches.py)

APPLICATION_ID = 0x6D717462  # "mqtb", in the header of the file

MIGRATIONS: list[tuple[str, ...]] = [
    (
        f"PRAGMA application_id = {APPLICATION_ID}",
        # next: sequence number of the next message
        "CREATE TABLE session (session INTEGER PRIMARY KEY, client_id BLOB UNIQUE, next INTEGER)",
        # id: session << 40 | sequence number. released: bit 0, PUBREC has come; bit 1, it has STARTED.
        # head, payload: as in records.py
        "CREATE TABLE outbound (id INTEGER PRIMARY KEY, released INTEGER, head BLOB, payload BLOB)",
        # id: session << 16 | packet identifier
        "CREATE TABLE inbound (id INTEGER PRIMARY KEY)",
        "CREATE TABLE subscription (session INTEGER, topic_filter BLOB, qos INTEGER,"
        " PRIMARY KEY (session, topic_filter)) WITHOUT ROWID",
        "CREATE TABLE retained (topic BLOB PRIMARY KEY, payload BLOB, qos INTEGER)",
        LOG,
    ),
    LIFE,
    # digest: of the content that the identifier stands for; 0: not known
    ("ALTER TABLE inbound ADD COLUMN digest INTEGER NOT NULL DEFAULT 0",),
    # What came with MQTT 5.0
    (
        "ALTER TABLE outbound ADD COLUMN extra BLOB NOT NULL DEFAULT x''",
        "ALTER TABLE retained ADD COLUMN extra BLOB NOT NULL DEFAULT x''",
        "ALTER TABLE session ADD COLUMN expiry INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE session ADD COLUMN offline INTEGER NOT NULL DEFAULT 0",
        # flags: QoS << 1 | RETAIN; delay in s
        "CREATE TABLE will (session INTEGER PRIMARY KEY, flags INTEGER, delay INTEGER, topic BLOB, payload BLOB,"
        " extra BLOB)",
        "CREATE TABLE clock (ms INTEGER)",
        "INSERT INTO clock VALUES (0)",
    ),
    # Of whom it was before there were owners: NULL
    ("ALTER TABLE session ADD COLUMN owner BLOB",),
    queue_tables.MIGRATION,
    broker_blocks.MIGRATION,  # since when `outbound` is empty
    # Messages from this one on were never sent; -1: any may have been
    ("ALTER TABLE session ADD COLUMN sent INTEGER NOT NULL DEFAULT -1",),
    (),  # since when there are runs in the log and in blocks
    ("ALTER TABLE session ADD COLUMN heard INTEGER NOT NULL DEFAULT 1",),
]

_SEQ = broker_blocks.SEQ
_PACKET_ID = 16


class Will(NamedTuple):
    """A will that has yet to be published; `delay_s` after its connection has ended. `flags`: QoS << 1 | RETAIN."""

    topic: bytes
    payload: bytes
    flags: int
    delay_s: int
    extra: bytes


class Times(NamedTuple):
    """When a session ends: `expiry_ms` after its connection, which ended at `offline`; 0 as for the records. `sent`:
    from which message on none was sent before that; -1: any may have been. `heard`: 0: its client may not know of it.
    """

    expiry_ms: int
    offline: int
    sent: int = -1
    heard: int = 1


class BrokerState(NamedTuple):
    """What a broker has kept: sessions by client identifier, with their number; by that, when they end and their wills;
    retained messages (topic, payload, QoS, extra); its clock; by number, messages that may expire and were sent, to
    whom a session belongs, and those of its messages that are not in memory.
    """

    sessions: dict[bytes, tuple[int, State]]
    retained: list[tuple[bytes, bytes, int, bytes]]
    times: dict[int, Times]
    wills: dict[int, Will]
    clock: int
    started: dict[int, set[int]]
    owners: dict[int, bytes]
    waiting: dict[int, list[Waiting]]
    queues: QueuesState = EMPTY


class BrokerTables:
    """What a broker keeps. `keep`: messages of a session that `load` gives back; those behind stay on the disk. 0: it
    gives back all.
    """

    application_id = APPLICATION_ID
    migrations = MIGRATIONS

    def __init__(self, blocks: Blocks | None = None, keep: int = 0) -> None:
        self.blocks = blocks or Blocks()
        self._keep = keep

    def prepare(self, connection: Connection) -> None:
        """Before `write`: what has to be known of the file for that."""
        broker_blocks.take_over(connection, self.blocks)
        self.blocks.index(connection)

    def committed(self) -> None:
        """What was written is durable."""
        self.blocks.committed()

    def rolled_back(self, connection: Connection) -> None:
        """What was written is not in the file."""
        self.blocks.rolled_back()

    def load(self, connection: Connection) -> BrokerState:
        """The state that the file holds."""
        sessions: dict[bytes, tuple[int, State]] = {}
        states: dict[int, State] = {}
        times: dict[int, Times] = {}
        owners: dict[int, bytes] = {}
        for session, client_id, after, owner, *ends in connection.execute(
            "SELECT session, client_id, next, owner, expiry, offline, sent, heard FROM session"
        ):
            times[session] = Times(*ends)
            if owner is not None:
                owners[session] = owner
            state = states[session] = State()
            state.client_id = client_id
            state.next = after
            sessions[client_id] = (session, state)
        started: dict[int, set[int]] = {}
        waiting: dict[int, list[Waiting]] = {}
        broker_blocks.take_over(connection, self.blocks)
        for session, loaded in self.blocks.load(connection, self._keep):
            states[session].messages.update(loaded.messages)
            if loaded.started:
                started.setdefault(session, set()).update(loaded.started)
            if loaded.waiting:
                waiting.setdefault(session, []).append(loaded.waiting)
        for number, digest in connection.execute("SELECT id, digest FROM inbound"):
            states[number >> _PACKET_ID].held[number & 0xFFFF] = digest
        for session, topic_filter, qos in connection.execute("SELECT * FROM subscription"):
            states[session].subscriptions[topic_filter] = qos
        retained = list(connection.execute("SELECT topic, payload, qos, extra FROM retained ORDER BY rowid"))
        wills = {
            session: Will(topic, payload, flags, delay_s, extra)
            for session, flags, delay_s, topic, payload, extra in connection.execute("SELECT * FROM will")
        }
        (clock,) = row(connection, "SELECT max(ms) FROM clock")
        named = queue_tables.load(connection)
        return BrokerState(sessions, retained, times, wills, clock, started, owners, waiting, named)

    def encode(self, batch: list[Record]) -> bytes:
        """The records one after the other: length, number of the session, record."""
        return batches.encode_of_sessions(batch)

    def decode(self, data: bytes) -> list[Record]:
        """The records that `encode` made these bytes from."""
        return batches.decode_of_sessions(data)

    def write(self, connection: Connection, batch: list[Record]) -> None:
        """Write the sum of a batch; in a transaction. What came and went within it is not written."""
        _Sum(connection, self.blocks, batch).write()
        queue_tables.write(connection, batch)


class _Sum:
    """What a batch adds up to. Messages of sessions that have nothing but new ones go into blocks as they came."""

    def __init__(self, connection: Connection, blocks: Blocks, batch: list[Record]) -> None:
        self._connection = connection
        self._blocks = blocks
        self._batch = batch
        self._mixed = _mixed(batch)
        self._plain: dict[int, tuple[int, list[Content]]] = {}  # first number, messages; by session
        self._messages: dict[int, tuple[int, int, bytes, bytes, bytes]] = {}  # of the others
        self._owned: list[int] = []  # released, and in the file
        self._started: list[int] = []  # the same
        self._done: list[int] = []
        self._held: dict[int, int] = {}  # digest; -1: not any more
        self._after: dict[int, int] = {}  # next sequence number by session
        self._times: dict[int, dict[str, int]] = {}  # by session and column

    def write(self) -> None:
        retained: dict[bytes, tuple[bytes, bytes, int, bytes]] = {}
        for record in self._batch:
            session, kind, number, head, payload, extra = record
            if kind == r.ACCEPTED:
                self._add_messages(session, number, [(head, payload, extra)])
            elif kind == batches.RUN:
                self._add_messages(session, number, payload)
            elif kind == batches.NUMBERS:
                self._add_numbers(session, number, payload)
            elif kind in _NUMBERS:
                self._add_numbers(session, kind, (number,))
            elif kind == RETAINED:
                retained.pop(head, None)  # the order of publication is kept
                retained[head] = (head, payload, number, extra)
            elif kind == EXPIRY:
                self._times.setdefault(session, {})["expiry"] = number
            elif kind == HEARD:
                self._times.setdefault(session, {})["heard"] = number
            elif kind == OFFLINE:
                sent = int.from_bytes(head, "big") if head else -1
                self._times.setdefault(session, {}).update(offline=number, sent=sent)
            elif kind == r.LOST or kind == ENDED:
                self._flush()  # in order: what it has gathered for this session goes, too
                _write_end(self._connection, self._blocks, session, kind)
            elif kind < queue_tables.FIRST:
                _write_rare(self._connection, *record)
        self._flush()
        _write_retained(self._connection, retained)

    def _add_messages(self, session: int, number: int, messages: list[Content]) -> None:
        if session in self._mixed:
            for key, message in enumerate(messages, session << _SEQ | number):
                self._messages[key] = (key, 0, *message)
        else:
            first, found = self._plain.get(session) or (number, [])
            if number != first + len(found):  # one is missing, or was there before
                self._flush()
                first, found = number, []
            found += messages
            self._plain[session] = (first, found)
        self._after[session] = max(number + len(messages), self._after.get(session, 0))

    def _add_numbers(self, session: int, kind: int, numbers: Iterable[int]) -> None:
        if kind == r.HELD or kind == r.FREED:
            start = session << _PACKET_ID
            for number in numbers:
                self._held[start | number & 0xFFFF] = number >> 16 if kind == r.HELD else -1
            return
        start = session << _SEQ
        messages = self._messages
        for number in numbers:
            key = start | number
            if kind == r.DONE:
                if messages.pop(key, None) is None:
                    self._done.append(key)
            elif key in messages:
                _, bits, head, payload, extra = messages[key]
                bits |= broker_blocks.IS_RELEASED if kind == r.RELEASED else broker_blocks.IS_STARTED
                messages[key] = (key, bits, head, payload, extra)
            else:
                (self._owned if kind == r.RELEASED else self._started).append(key)

    def _flush(self) -> None:
        """Write what has been gathered."""
        connection = self._connection
        many = connection.executemany
        blocks = self._blocks
        blocks.mark(connection, self._owned, broker_blocks.IS_RELEASED)
        blocks.mark(connection, self._started, broker_blocks.IS_STARTED)
        blocks.mark(connection, self._done, broker_blocks.IS_DONE)
        for session, (first, found) in self._plain.items():
            blocks.write_plain(connection, session, first, found)
        if self._messages:
            blocks.write(connection, self._messages.values())
        held = self._held
        many("DELETE FROM inbound WHERE id BETWEEN ? AND ?", ranges([n for n, digest in held.items() if digest < 0]))
        many("INSERT OR REPLACE INTO inbound VALUES (?, ?)", [pair for pair in held.items() if pair[1] >= 0])
        many("UPDATE session SET next = ? WHERE session = ?", [(value, key) for key, value in self._after.items()])
        for column in ("expiry", "offline", "sent", "heard"):
            changed = [(found[column], session) for session, found in self._times.items() if column in found]
            many(f"UPDATE session SET {column} = ? WHERE session = ?", changed)
        gathered: tuple[Any, ...] = (self._plain, self._messages, self._owned, self._started, self._done, held)
        for each in (*gathered, self._after, self._times):
            each.clear()


def _mixed(batch: list[Record]) -> set[int]:
    """The sessions of which each message has to be looked at: something becomes of one, or its payload may be another
    one's, too.
    """
    found: set[int] = set()
    owners: dict[int, int] = {}  # sessions with one message by the identity of its payload
    for session, kind, number, _, payload, _ in batch:
        if kind == r.ACCEPTED or kind == batches.RUN:
            content = payload if kind == r.ACCEPTED else payload[0][1]
            if len(content) >= broker_blocks.SHARE_MIN:
                other = owners.setdefault(id(content), session)
                if other != session:
                    found |= {other, session}
        elif kind in _CHANGES or (kind == batches.NUMBERS and number in _CHANGES):
            found.add(session)
    return found


def _write_end(connection: Connection, blocks: Blocks, session: int, kind: int) -> None:
    first, beyond = session << _PACKET_ID, (session + 1) << _PACKET_ID
    connection.execute("DELETE FROM inbound WHERE id >= ? AND id < ?", (first, beyond))
    if kind == ENDED:
        blocks.end(connection, session)
        for table in ("subscription", "will", "session"):
            connection.execute(f"DELETE FROM {table} WHERE session = ?", (session,))


def _write_retained(connection: Connection, retained: dict[bytes, tuple[bytes, bytes, int, bytes]]) -> None:
    connection.executemany("DELETE FROM retained WHERE topic = ?", [(topic,) for topic in retained])
    rows: Any = [row for row in retained.values() if row[1]]
    connection.executemany("INSERT INTO retained VALUES (?, ?, ?, ?)", rows)


def _write_rare(
    connection: Connection, session: int, kind: int, number: int, head: bytes, payload: bytes, extra: bytes
) -> None:
    execute = connection.execute
    if kind == r.SUBSCRIBED:
        execute("INSERT OR REPLACE INTO subscription VALUES (?, ?, ?)", (session, head, number))
    elif kind == r.UNSUBSCRIBED:
        execute("DELETE FROM subscription WHERE session = ? AND topic_filter = ?", (session, head))
    elif kind == BEGUN:
        execute("INSERT INTO session (session, client_id, next) VALUES (?, ?, ?)", (session, head, number))
    elif kind == CLOCK:
        execute("UPDATE clock SET ms = ?", (number,))
    elif kind == OWNER:
        execute("UPDATE session SET owner = ? WHERE session = ?", (head, session))
    elif kind == WILL:
        execute("DELETE FROM will WHERE session = ?", (session,))
        if head:
            will = (session, number & 7, number >> 3, head, payload, extra)
            execute("INSERT INTO will VALUES (?, ?, ?, ?, ?, ?)", will)
    else:
        raise ValueError(f"unknown record {kind}")
