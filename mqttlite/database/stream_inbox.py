"""A stream read into the application's own database: each message handled once, however often it is sent. Host only.

    reader = StreamInbox(client, sqlite("ledger.db"), "log", "in/#", from_="earliest")
    async with client:
        await reader.run(handler)                    # def handler(db, message), or async def

What must hold:
- The place up to which the stream is handled is a row of the application's database, and moves in the transaction of
  the handler. It is what the broker is asked for at each start: so nothing is missed and nothing is handled twice,
  whatever the client, its session or the broker has lost.
- What the broker sends is for this start alone: a subscription identifier of its own tells it from what an earlier life
  was sent, which would be a gap otherwise.
- Of two processes with one name, the one that was started last goes on; the other gets a DatabaseError. Its row in
  mqttlite_inbox is also what both wait for, where the row of the place is not there yet.
- A handler that raises leaves nothing behind; the message is tried again, `tries` times in this process, and goes to
  the table mqttlite_dead then, in the transaction in which the place moves.
"""

import asyncio
import inspect
import logging
import secrets
from typing import TYPE_CHECKING, Any

from ..client.arguments.checks import check_number, check_seconds
from ..client.arguments.checks5 import IDENTIFIER_MAX
from ..client.streams import ID, OFFSET, Place, filter_text, place_of, start_text
from ..core.errors import ClosedError
from ..core.shown import shown
from ..store.base import StoreError
from .adapter import Database, DatabaseError, check_database
from .inbox import PAUSE_MAX_S, Handler
from .outbox import bury
from .ownership import is_owner, take_over

if TYPE_CHECKING:
    from ..client import Client
    from ..client.messages import Message

log = logging.getLogger("mqttlite.database")

STREAM = "$stream/"  # before its name, where inboxes have a client identifier


class StreamInbox:
    """Reads the stream `stream` of the broker; `topic_filter`: what it collects, "" where it is there already.

    client    of MQTT 5.0, which says where each message stands
    from_     where to begin when the database knows of no place yet: as of `client.stream`
    name      tells readers in one database apart
    qos       of the subscription; 1 is enough, for the place tells repeats
    tries     how often a message may make its handler raise
    pause_s   before the second try, in seconds; twice as long before each further one, up to 30
    """

    def __init__(
        self,
        client: "Client",
        database: Database,
        stream: str,
        topic_filter: str = "",
        from_: "str | int | float" = "earliest",
        *,
        name: str = "reader",
        qos: int = 1,
        tries: int = 5,
        pause_s: float = 0.1,
    ) -> None:
        check_database(database)
        check_number("tries", tries, 1)
        check_seconds("pause_s", pause_s, True)
        if not client._is_5():
            raise ValueError('a StreamInbox needs offsets, which MQTT 5.0 has: write Client(..., version="5.0")')
        self.client = client
        self.database = database
        self.stream = stream
        self.name = name
        self.qos = qos
        self.tries = tries
        self.pause_s = pause_s
        self.handled = self.repeats = self.dead = 0  # messages, in this process
        self.place: tuple[str, int] | None = None  # id of the log, and the offset that is handled next
        self._key = (name, STREAM + stream)  # in mqttlite_inbox
        self._owner = 0
        self._filter = filter_text(stream, topic_filter, None)
        self._from = start_text(from_)
        self._running = False

    async def run(self, handler: Handler) -> None:
        """Handle every message with `handler(db, message)` inside a transaction, until the client is closed; see
        Inbox.run. DatabaseError when the database fails, or another process has read on under this name.
        """
        if self._running:
            raise RuntimeError("this reader runs already")
        self.database.check_handler(handler)
        self._running = True
        thread = None
        try:
            await self.database.insist(self._load)
            if self.database.has_threads and not inspect.iscoroutinefunction(handler):
                thread = self.database.handler_thread()
            start = [(OFFSET, self._from)]
            if self.place:
                start = [(OFFSET, str(self.place[1])), (ID, self.place[0])]
            number = secrets.randbelow(IDENTIFIER_MAX) + 1
            subscription = self.client.subscription(
                self._filter, self.qos, user_properties=start, subscription_identifier=number, unsubscribe=False
            )
            async with subscription as messages:
                async for message in messages:
                    place = place_of(message)
                    if place is None or number not in message.subscription_identifiers or self._is_handled(place):
                        self.repeats += 1
                        continue
                    await self._settle(handler, message, place, thread)
        finally:
            self._running = False
            if thread:
                self.database.release(thread)

    async def _load(self) -> None:
        await self.database.create_tables()
        async with self.database.transaction() as db:
            self._owner, _ = await take_over(self.database, db, self._key)
            rows = await self.database.execute(
                db, "SELECT id, next FROM mqttlite_offsets WHERE reader = ? AND stream = ?", self.name, self.stream
            )
        self.place = (rows[0][0], rows[0][1]) if rows else None

    def _is_handled(self, place: Place) -> bool:
        return self.place is not None and place.id == self.place[0] and place.offset < self.place[1]

    async def _settle(self, handler: Handler, message: "Message", place: Place, thread: Any) -> None:
        """Return when the message is handled, or is a dead letter, durably."""
        pause_s = self.pause_s
        for number in range(1, self.tries + 1):
            try:
                await self.database.insist(lambda: self._handle(handler, message, place, thread))
            except (StoreError, ClosedError):
                raise
            except Exception as error:
                log.warning(
                    "reader '%s': try %d of message %d of stream %s: %r",
                    self.name,
                    number,
                    place.offset,
                    shown(self.stream),
                    error,
                )
                last = error
                if number < self.tries:
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, PAUSE_MAX_S)
            else:
                self.handled += 1
                return
        await self.database.insist(lambda: self._bury(message, place, last))
        self.dead += 1

    async def _handle(self, handler: Handler, message: "Message", place: Place, thread: Any) -> None:
        async with self.database.transaction() as db:
            if await self._is_committed(db, place):
                return
            result = await thread.call(handler, db, message) if thread else handler(db, message)
            if inspect.isawaitable(result):
                await result
            await self._move(db, place)
        self.place = (place.id, place.offset + 1)

    async def _bury(self, message: "Message", place: Place, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        async with self.database.transaction() as db:
            if not await self._is_committed(db, place):
                source = f"stream {self.stream}, reader {self.name}"
                await bury(self.database, db, source, message.topic, message.payload, message.qos, text)
                await self._move(db, place)
        self.place = (place.id, place.offset + 1)

    async def _is_committed(self, db: Any, place: Place) -> bool:
        """Whether the place is behind this message already: the connection was lost while that was being committed.
        DatabaseError when another process reads now, or somebody has moved the place.
        """
        if not await is_owner(self.database, db, self._key, self._owner, self.database.for_update):
            raise DatabaseError(
                f"another process reads stream '{self.stream}' as reader '{self.name}'; run one of them, or give each "
                "a name of its own"
            )
        rows = await self.database.execute(
            db, "SELECT id, next FROM mqttlite_offsets WHERE reader = ? AND stream = ?", self.name, self.stream
        )
        found = (rows[0][0], rows[0][1]) if rows else None
        if found == self.place:
            return False
        if self.database.reconnects and found == (place.id, place.offset + 1):
            return True
        raise DatabaseError(
            f"somebody has moved the place of reader '{self.name}' in stream '{self.stream}' (mqttlite_offsets); start "
            "it again to go on from there"
        )

    async def _move(self, db: Any, place: Place) -> None:
        await self.database.execute(
            db,
            "INSERT INTO mqttlite_offsets (reader, stream, id, next) VALUES (?, ?, ?, ?) ON CONFLICT (reader, stream) "
            "DO UPDATE SET id = excluded.id, next = excluded.next",
            self.name,
            self.stream,
            place.id,
            place.offset + 1,
        )
