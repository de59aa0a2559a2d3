"""PostgreSQL as a sink: each message becomes a row, exactly once (psycopg 3).

A batch is one transaction: the rows, what has been seen of the producers of idempotency keys (the inbox's own table,
mqttlite/database), and what this sink has written last. So a message that comes again, because the gateway was killed
between commit and acknowledgement, is recognised: by its key where it has one, whichever way it has come; else by its
name and its content. `owner` is the process that may write: of two gateways with one name, the one that
was there first ends, and says so.
"""

import contextlib
import hashlib
import json
import logging
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from mqttlite.core.keys import see, to_text
from mqttlite.core.properties import without_expiry
from mqttlite.core.shown import shown
from mqttlite.database.adapter import Database, DatabaseError, LostError, sqlstate
from mqttlite.database.on_postgres import psycopg_database
from mqttlite.database.windows import KeyWindows, SeenError

from .base import Key, Message, Settle, SinkError

log = logging.getLogger("mqttlite.gateway")

# Classes of SQLSTATE that are about a message: its data (22), a constraint of the table (23), its owner's trigger (P0)
OF_MESSAGE = ("22", "23", "P0")

_SINKS = """CREATE TABLE IF NOT EXISTS mqttlite_sinks (source text NOT NULL, sink text NOT NULL, owner bigint NOT NULL,
    recent bytea NOT NULL, PRIMARY KEY (source, sink))"""
_MESSAGES = """CREATE TABLE IF NOT EXISTS {table} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received timestamptz NOT NULL DEFAULT clock_timestamp(), source text NOT NULL, topic text NOT NULL,
    payload bytea NOT NULL, qos smallint NOT NULL, retain boolean NOT NULL, key text, content_type text,
    response_topic text, correlation_data bytea, user_properties jsonb, expires timestamptz)"""
_INSERT = """INSERT INTO {table} (source, topic, payload, qos, retain, key, content_type, response_topic,
    correlation_data, user_properties, expires)
    SELECT ?, m.topic, m.payload, m.qos, m.retain, m.key, m.content_type, m.response_topic, m.correlation_data,
        m.user_properties::jsonb, now() + make_interval(secs => m.seconds)
    FROM unnest(?::text[], ?::bytea[], ?::smallint[], ?::boolean[], ?::text[], ?::text[], ?::text[], ?::bytea[],
        ?::text[], ?::double precision[]) WITH ORDINALITY
        AS m(topic, payload, qos, retain, key, content_type, response_topic, correlation_data, user_properties, seconds,
            place)
    ORDER BY m.place"""


@dataclass(frozen=True, slots=True)
class PostgresOptions:
    """Keys of [[upstream]] with a postgresql:// URL.

    table   where messages are put, with its schema in front or not; it is made if there is none
    inbox   whose idempotency keys are shared: a message that an inbox of this name has handled, or another gateway has
            put there, is not put there again
    """

    table: str = "mqttlite_messages"
    inbox: str = "sink"

    def __post_init__(self) -> None:
        """ValueError says what is wrong."""
        if not 0 < len(self.table.split(".")) <= 2 or not all(0 < len(each) < 64 for each in self.table.split(".")):
            raise ValueError(f"table = '{self.table}': it is a name, or a schema and a name with a . between them")
        if not self.inbox:
            raise ValueError("inbox: a name is needed")


class PostgresSink:
    """`source`: the gateway whose messages they are; `window`: how many of them can be under way at once;
    `patience_s`: how long the uplink waits.
    """

    kind = "postgres"

    def __init__(
        self,
        url: str,
        name: str,
        options: PostgresOptions,
        source: str = "mqttlite",
        window: int = 200,
        patience_s: float = 60,
    ) -> None:
        try:
            import psycopg
        except ImportError:
            raise ValueError("postgresql:// needs psycopg: pip install 'mqttlite[postgres]'") from None
        self._psycopg = psycopg
        self._url = url
        self._who = (source, name)
        self._table = ".".join(_quoted(each) for each in options.table.split("."))
        self._database: Database | None = None
        self._connection: Any = None
        self._owner = 0
        self._recent: dict[bytes, None] = {}  # marks of what was written last, in order
        self._windows = KeyWindows(options.inbox)
        self._recent_max = 2 * window
        self._patience_s = patience_s
        self.repeats = 0  # recognised, and not written again

    # -- the connection

    async def _connect(self) -> Any:
        # A server that has gone without a word is found by the kernel, too, not only when the uplink has had enough;
        # and the server does not go on for a gateway that has given it up, or is gone itself: it has a row locked.
        options: dict[str, Any] = {"keepalives_idle": 20, "keepalives_count": 3, "tcp_user_timeout": 30000}
        connection = self._connection = await self._psycopg.AsyncConnection.connect(
            self._url, application_name=f"mqttlite {self._who[0]}", **options
        )
        try:
            await connection.execute(
                "SELECT set_config('statement_timeout', %s, false), set_config('tcp_keepalives_idle', '20', false), "
                "set_config('tcp_keepalives_count', '3', false)",
                (str(int(self._patience_s * 2000)),),
            )
            await connection.commit()
        except BaseException:  # nobody else knows of it yet
            await connection.close()
            raise
        return connection

    async def open(self) -> str:
        """Connect, have the tables there, and become the one who writes."""
        self._database = database = psycopg_database(self._connect)
        try:
            await database.create_tables()
            async with database.transaction() as db:
                rows = await database.execute(db, "SELECT to_regclass(?)::text", self._table)
                if rows[0][0] is None:
                    await database.execute(db, _MESSAGES.format(table=self._table))
                await database.execute(db, _SINKS)
                rows = await database.execute(
                    db,
                    "INSERT INTO mqttlite_sinks (source, sink, owner, recent) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (source, sink) DO UPDATE SET owner = excluded.owner RETURNING owner, recent",
                    *self._who,
                    int.from_bytes(os.urandom(7), "big"),
                    b"",
                )
        except Exception as error:
            raise self._failed(error) from error
        self._owner, recent = rows[0]
        self._recent = dict.fromkeys(recent[at : at + _MARK] for at in range(0, len(recent), _MARK))
        return f"table {self._table}"

    def abort(self) -> None:
        """Whatever waits for the server finds the connection ended."""
        connection = self._connection
        if connection is not None and not connection.closed:
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as sock:
                sock.shutdown(socket.SHUT_RDWR)

    async def close(self) -> None:
        database, self._database, self._connection = self._database, None, None
        if database is not None:
            with contextlib.suppress(Exception):
                await database.close()

    def _failed(self, error: Exception) -> SinkError:
        if isinstance(error, SinkError):
            return error
        text = shown(str(error).strip() or repr(error), 300)
        if sqlstate(error) in ("42P01", "42703", "42804"):
            text += f"; table {self._table} needs the columns that docs/sinks.md lists"
        return SinkError(text if isinstance(error, LostError) else f"PostgreSQL: {text}")

    # -- messages

    async def put(self, batch: Sequence[Message], settle: Settle) -> None:
        refused = await self._try(batch)
        if refused is not None and len(batch) > 1:  # somebody in it is to blame: each on its own
            for message in batch:
                settle(message, await self._try([message]) or "")
            return
        for message in batch:
            settle(message, refused or "")

    async def _try(self, batch: Sequence[Message]) -> str | None:
        """One transaction. None: it is there. Else why the database does not take what is in it."""
        if self._database is None:
            raise SinkError("not connected")
        try:
            async with self._database.transaction() as db:
                recent = await self._write(self._database, db, batch)
        except DatabaseError as error:
            raise self._failed(error) from error
        except self._psycopg.Error as error:
            if sqlstate(error)[:2] in OF_MESSAGE:
                return f"PostgreSQL does not take it: {shown(str(error).strip(), 300)}"
            raise self._failed(error) from error
        self._recent = recent
        return None

    async def _write(self, database: Database, db: Any, batch: Sequence[Message]) -> dict[bytes, None]:
        rows = await database.execute(
            db, "SELECT owner FROM mqttlite_sinks WHERE source = ? AND sink = ? FOR UPDATE", *self._who
        )
        if not rows or rows[0][0] != self._owner:
            raise SinkError(
                f"another gateway writes as '{self._who[0]}', upstream '{self._who[1]}': give each its own client_id"
            )
        recent = dict(self._recent)
        marks = [_mark(message) for message in batch]
        fresh = [message for message, mark in zip(batch, marks, strict=True) if not mark or mark not in recent]
        new = await self._unseen(database, db, fresh)
        self.repeats += len(batch) - len(new)
        if new:
            await database.execute(db, _INSERT.format(table=self._table), self._who[0], *_columns(new))
        recent.update(dict.fromkeys(mark for mark in marks if mark))
        while len(recent) > self._recent_max:
            del recent[next(iter(recent))]
        if any(marks):
            sql = "UPDATE mqttlite_sinks SET recent = ? WHERE source = ? AND sink = ?"
            await database.execute(db, sql, b"".join(recent), *self._who)
        return recent

    async def _unseen(self, database: Database, db: Any, batch: list[Message]) -> list[Message]:
        """Those whose keys were never seen; from now on they are, and rows of other producers wait in the same order
        as everybody's.
        """
        by_window: dict[tuple[bytes, int], list[Key]] = {}
        for message in batch:
            if message.key is not None:
                by_window.setdefault(message.key[:2], []).append(message.key)
        seen: set[Key] = set()
        fresh: set[Key] = set()
        for (producer, epoch), keys in sorted(by_window.items()):
            try:
                window = await self._windows.open(database, db, producer, epoch, max(key[2] for key in keys), True)
            except SeenError:
                seen.update(keys)
                continue
            for key in keys:
                (fresh if see(window, key[2]) else seen).add(key)
            await self._windows.keep(database, db, producer, epoch, window)
        unseen = []
        for message in batch:
            if message.key is None:
                unseen.append(message)
            elif message.key in fresh:  # and a second time in one batch it is seen
                fresh.discard(message.key)
                unseen.append(message)
        return unseen


_MARK = 8  # bytes


def _mark(message: Message) -> bytes:
    """Recognises a message that comes again, and nothing else: not one of a queue that comes from a backup, and has
    given its name twice. b"" at QoS 0.
    """
    if not message.name:
        return b""
    content = without_expiry(message.properties) if message.properties else b""
    parts = (message.name.encode(), message.topic.encode(), content, message.payload)
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()[:_MARK]


def _columns(batch: Iterable[Message]) -> list[list[Any]]:
    rows = [
        (
            message.topic,
            message.payload,
            message.qos,
            message.retain,
            None if message.key is None else to_text(message.key).decode(),
            message.text("content_type") or None,
            message.text("response_topic") or None,
            message.correlation_data or None,
            json.dumps(message.user_properties) if message.user_properties else None,
            None if message.expires_after_s is None else float(message.expires_after_s),
        )
        for message in batch
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def postgres_options(options: Mapping[str, Any]) -> PostgresOptions:
    """ValueError: a key or a value that cannot be."""
    known = [each.name for each in fields(PostgresOptions)]
    for key, value in options.items():
        if key not in known:
            raise ValueError(f"{key}: no such key for postgresql://; there are {', '.join(known)}")
        if not isinstance(value, str):
            raise ValueError(f"{key} = {value!r}: it is a text")
    return PostgresOptions(**options)
