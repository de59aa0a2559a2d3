"""The outbox: messages that exist if and only if the application's transaction commits. Host only.

    outbox.publish(db, "orders/7", payload)     in the application's transaction: a row
    await outbox.forward(client)                one task: rows become messages

A row is numbered by the forwarder in a transaction of its own *before* it is published, because rows of PostgreSQL
become visible in another order than their ids were given. The number is the message's key: the client's store remembers
the highest number of the outbox together with the message itself, so a forwarder that dies between accepting a message
and deleting its row publishes nothing twice. Where the client's store is not durable, a row is deleted only when the
broker has confirmed its message; a crash before that publishes it again.
"""

import asyncio
import contextlib
import time
import uuid
from typing import TYPE_CHECKING, Any

from ..client.arguments.checks import check_message
from ..core.errors import InDoubtError, ProtocolError, PublishError
from ..core.text import check_plain, check_topic_name, to_utf8
from .adapter import Database, DatabaseError, check_database

if TYPE_CHECKING:
    from ..client import Client

BATCH = 100  # rows that are numbered, published and deleted together
FIRST_LOOK_S = 0.01  # after `publish`: its transaction has yet to commit; each further look waits twice as long


class Outbox:
    """Messages to be published, in a table of the application's database.

    database  made by sqlite(), psycopg_database(), asyncpg_database()
    name      tells outboxes in one database apart; each has one forwarder
    poll_s    how often the table is looked at for what other processes have committed, in seconds
    """

    def __init__(self, database: Database, name: str = "outbox", poll_s: float = 1.0) -> None:
        check_database(database)
        self.database = database
        self.name = name
        self.poll_s = poll_s
        self._stirred = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None  # of the forwarder in this process

    def publish(self, db: Any, topic: str, payload: bytes | str = b"", qos: int = 1, retain: bool = False) -> Any:
        """Publish when the transaction of `db`, any connection to this database, commits. Await it on asynchronous
        drivers; on sqlite3 it may be awaited and is done already.

        The tables must be there: `await database.create_tables()` once, where neither inbox nor forwarder has run yet;
        DatabaseError says so. TypeError names an argument of another type, ProtocolError an invalid topic name or one
        with control characters; ValueError for another QoS than 1 and 2 (at QoS 0 a message may be dropped, and a row
        that may vanish promises nothing).
        """
        check_message(topic, payload, qos, retain, None)
        name = to_utf8(topic, "topic name")
        check_topic_name(name)
        check_plain(name)
        if qos not in (1, 2):
            raise ValueError("QoS of a message in an outbox is 1 or 2")
        data = payload.encode() if isinstance(payload, str) else bytes(payload)
        if self._loop:
            with contextlib.suppress(RuntimeError):  # that event loop is closed: nobody waits
                self._loop.call_soon_threadsafe(self._stirred.set)
        return self.database.done(db, self._insert(db, topic, data, qos, retain))

    async def _insert(self, db: Any, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        await self.database.execute(
            db,
            "INSERT INTO mqttlite_outbox (outbox, topic, payload, qos, retain) VALUES (?, ?, ?, ?, ?)",
            self.name,
            topic,
            payload,
            qos,
            int(retain),
        )

    async def forward(self, client: "Client") -> None:
        """Publish what is committed, in the order in which it became visible, until cancelled.

        A second forwarder takes over from the first, which ends with DatabaseError. A row that the client can never
        publish goes to the table mqttlite_dead. Raises ClosedError and StoreError of the client; all rows that were not
        accepted stay.
        """
        self._loop = asyncio.get_running_loop()
        try:
            await self.database.insist(self.database.create_tables)
            producer, owner = await self.database.insist(self._take_over)
            wait_s = self.poll_s
            while True:
                self._stirred.clear()
                if await self.database.insist(lambda: self._forward_some(client, producer, owner)):
                    wait_s = FIRST_LOOK_S
                    continue
                if client.error:  # nobody else may look, as long as there is nothing to publish
                    raise client.error
                try:
                    async with asyncio.timeout(wait_s):
                        await self._stirred.wait()
                    wait_s = FIRST_LOOK_S
                except TimeoutError:
                    wait_s = min(wait_s * 2, self.poll_s)
        finally:
            self._loop = None

    async def _take_over(self) -> tuple[str, int]:
        async with self.database.transaction() as db:
            rows = await self.database.execute(
                db,
                "INSERT INTO mqttlite_forwarder (outbox, producer, owner, next) VALUES (?, ?, 1, 1) "
                "ON CONFLICT (outbox) DO UPDATE SET owner = mqttlite_forwarder.owner + 1 RETURNING producer, owner",
                self.name,
                # No other database, and no copy of this one made anew, has an outbox with the same name and numbers.
                f"outbox-{uuid.uuid4().hex}",
            )
        producer, owner = rows[0]
        return producer, owner

    async def _next(self, db: Any, owner: int) -> int:
        """The next number; until the transaction ends, no other forwarder starts."""
        rows = await self.database.execute(
            db,
            "SELECT owner, next FROM mqttlite_forwarder WHERE outbox = ?" + self.database.for_update,
            self.name,
        )
        if not rows or rows[0][0] != owner:
            raise DatabaseError(f"another forwarder has taken over outbox '{self.name}'; run one of them")
        number: int = rows[0][1]
        return number

    async def _forward_some(self, client: "Client", producer: str, owner: int) -> bool:
        """Forward up to BATCH rows; whether there were any."""
        execute = self.database.execute
        async with self.database.transaction() as db:
            number = first = await self._next(db, owner)
            rows = await execute(
                db,
                "SELECT id FROM mqttlite_outbox WHERE outbox = ? AND number IS NULL ORDER BY id LIMIT ?",
                self.name,
                BATCH,
            )
            for (row_id,) in rows:
                await execute(db, "UPDATE mqttlite_outbox SET number = ? WHERE id = ?", number, row_id)
                number += 1
            if number > first:
                await execute(db, "UPDATE mqttlite_forwarder SET next = ? WHERE outbox = ?", number, self.name)
            rows = await execute(
                db,
                "SELECT id, number, topic, payload, qos, retain FROM mqttlite_outbox "
                "WHERE outbox = ? AND number IS NOT NULL ORDER BY number LIMIT ?",
                self.name,
                BATCH,
            )
        if not rows:
            return False
        dead = []
        receipts = []
        for row in rows:
            _, number, topic, payload, qos, retain = row
            try:
                receipt = await client.enqueue(topic, payload, qos, bool(retain), key=(producer, number))
            except (
                ProtocolError,
                PublishError,
                ValueError,
            ) as error:  # of this message; it would stop all others for good
                dead.append((row, str(error)))
            else:
                receipts.append((row, receipt))
        await client.stored()
        if not client.store.is_durable:  # then the row is all that survives, until the broker has confirmed
            for row, receipt in receipts:
                try:
                    await receipt.completed()
                except (PublishError, InDoubtError) as error:
                    dead.append((row, str(error)))
        async with self.database.transaction() as db:
            await self._next(db, owner)
            for (_, _, topic, payload, qos, _), text in dead:
                await bury(self.database, db, f"outbox {self.name}", topic, payload, qos, text)
            for row in rows:
                await execute(db, "DELETE FROM mqttlite_outbox WHERE id = ?", row[0])
        return True


async def bury(database: Database, db: Any, source: str, topic: str, payload: bytes, qos: int, error: str) -> None:
    """Put a message into the dead-letter table."""
    await database.execute(
        db,
        "INSERT INTO mqttlite_dead (source, topic, payload, qos, error, time) VALUES (?, ?, ?, ?, ?, ?)",
        source,
        topic,
        payload,
        qos,
        error.replace("\0", "\N{REPLACEMENT CHARACTER}")
        .encode(errors="replace")
        .decode(),  # else PostgreSQL refuses it
        time.time(),
    )
