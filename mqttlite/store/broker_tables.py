"""The tables of a broker's store in SQLite: many sessions and the retained messages in one file. CPython only.

A record is `(session, kind, number, head, payload)`: `session` is the number of a session, kinds and the rest are those
of core/records.py, and of these three more:

    kind      session   number   head         payload
    BEGUN     yes                client_id              a session begins
    ENDED     yes                                       it ends, and all that it holds
    RETAINED  0         QoS      topic name   payload   the retained message of a topic; without a payload: none

A message is in a row for each session that it is queued for. Rows have the session in the upper bits of their number,
so that what belongs to a session lies side by side.
"""

from typing import Any, NamedTuple

from ..core import records as r
from ..core.codec import released
from ..core.records import State
from .sqlite_tables import LIFE, LOG, Connection, parts, prefixed, ranges

BEGUN = 32
ENDED = 33
RETAINED = 34

Record = tuple[int, int, int, bytes, bytes]

APPLICATION_ID = 0x6D717462  # "mqtb", in the header of the file

MIGRATIONS: list[tuple[str, ...]] = [
    (
        f"PRAGMA application_id = {APPLICATION_ID}",
        # next: sequence number of the next message
        "CREATE TABLE session (session INTEGER PRIMARY KEY, client_id BLOB UNIQUE, next INTEGER)",
        # id: session << 40 | sequence number. released: PUBREC has come. head, payload: as in records.py
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
]

_SEQ = 40  # bits of a sequence number
_PACKET_ID = 16


class BrokerState(NamedTuple):
    """What a broker has kept: sessions by client identifier, retained messages (topic, payload, QoS)."""

    sessions: dict[bytes, tuple[int, State]]
    retained: list[tuple[bytes, bytes, int]]


class BrokerTables:
    """What a broker keeps."""

    application_id = APPLICATION_ID
    migrations = MIGRATIONS

    def load(self, connection: Connection) -> BrokerState:
        """The state that the file holds."""
        sessions: dict[bytes, tuple[int, State]] = {}
        states: dict[int, State] = {}
        for session, client_id, after in connection.execute("SELECT session, client_id, next FROM session"):
            state = states[session] = State()
            state.client_id = client_id
            state.next = after
            sessions[client_id] = (session, state)
        for number, is_released, head, payload in connection.execute("SELECT * FROM outbound ORDER BY id"):
            states[number >> _SEQ].messages[number & (1 << _SEQ) - 1] = (
                released(head) if is_released else head,
                payload,
                b"",
            )
        for number, digest in connection.execute("SELECT id, digest FROM inbound"):
            states[number >> _PACKET_ID].held[number & 0xFFFF] = digest
        for session, topic_filter, qos in connection.execute("SELECT * FROM subscription"):
            states[session].subscriptions[topic_filter] = qos
        retained = list(connection.execute("SELECT topic, payload, qos FROM retained ORDER BY rowid"))
        return BrokerState(sessions, retained)

    def encode(self, batch: list[Record]) -> bytes:
        """The records one after the other: length, number of the session, record."""
        return b"".join([prefixed(record[0].to_bytes(4, "big") + r.encode(*record[1:])) for record in batch])

    def decode(self, data: bytes) -> list[Record]:
        """The records that `encode` made these bytes from."""
        return [(int.from_bytes(record[:4], "big"), *r.decode(record[4:])[:4]) for record in parts(data)]

    def write(self, connection: Connection, batch: list[Record]) -> None:
        """Write the sum of a batch; in a transaction. What came and went within it is not written."""
        messages: dict[int, tuple[int, int, bytes, bytes]] = {}
        owned: list[int] = []  # released, and in the file
        done: list[int] = []
        held: dict[int, int] = {}  # digest; -1: not any more
        after: dict[int, int] = {}  # next sequence number by session
        retained: dict[bytes, tuple[bytes, bytes, int]] = {}
        many = connection.executemany

        def write_messages() -> None:
            many("UPDATE outbound SET released = 1 WHERE id BETWEEN ? AND ?", ranges(owned))
            many("DELETE FROM outbound WHERE id BETWEEN ? AND ?", ranges(done))
            many("INSERT OR REPLACE INTO outbound VALUES (?, ?, ?, ?)", messages.values())
            many(
                "DELETE FROM inbound WHERE id BETWEEN ? AND ?", ranges([n for n, digest in held.items() if digest < 0])
            )
            many("INSERT OR REPLACE INTO inbound VALUES (?, ?)", [pair for pair in held.items() if pair[1] >= 0])
            many("UPDATE session SET next = ? WHERE session = ?", [(value, key) for key, value in after.items()])
            for gathered in (messages, owned, done, held, after):
                gathered.clear()

        for session, kind, number, head, payload in batch:
            if kind == r.ACCEPTED:
                key = session << _SEQ | number
                messages[key] = (key, 0, head, payload)
                after[session] = max(number + 1, after.get(session, 0))
            elif kind == r.DONE:
                key = session << _SEQ | number
                if messages.pop(key, None) is None:
                    done.append(key)
            elif kind == r.RELEASED:
                key = session << _SEQ | number
                if key in messages:
                    messages[key] = (key, 1, *messages[key][2:])
                else:
                    owned.append(key)
            elif kind == r.HELD or kind == r.FREED:
                held[session << _PACKET_ID | number & 0xFFFF] = number >> 16 if kind == r.HELD else -1
            elif kind == r.SUBSCRIBED:
                connection.execute("INSERT OR REPLACE INTO subscription VALUES (?, ?, ?)", (session, head, number))
            elif kind == r.UNSUBSCRIBED:
                connection.execute("DELETE FROM subscription WHERE session = ? AND topic_filter = ?", (session, head))
            elif kind == BEGUN:
                connection.execute("INSERT INTO session VALUES (?, ?, ?)", (session, head, number))
            elif kind == RETAINED:
                retained.pop(head, None)  # the order of publication is kept
                retained[head] = (head, payload, number)
            elif kind == r.LOST or kind == ENDED:
                write_messages()  # in order: what it has gathered for this session goes, too
                spans = [("inbound", _PACKET_ID)] if kind == r.LOST else [("inbound", _PACKET_ID), ("outbound", _SEQ)]
                for table, bits in spans:
                    first, beyond = session << bits, (session + 1) << bits
                    connection.execute(f"DELETE FROM {table} WHERE id >= ? AND id < ?", (first, beyond))
                if kind == ENDED:
                    connection.execute("DELETE FROM subscription WHERE session = ?", (session,))
                    connection.execute("DELETE FROM session WHERE session = ?", (session,))
            else:
                raise ValueError(f"unknown record {kind}")
        write_messages()
        many("DELETE FROM retained WHERE topic = ?", [(topic,) for topic in retained])
        rows: Any = [row for row in retained.values() if row[1]]
        many("INSERT INTO retained VALUES (?, ?, ?)", rows)
