"""The inbox: a message is handled, and its receipt kept, in one transaction of the application's database. Host only.

    inbox = Inbox(client, sqlite(connection))
    async with client:
        await client.subscribe("payments/#", 2)
        await inbox.run(handler)                    # def handler(db, message), or async def

What must hold:
- The acknowledgement (PUBACK; PUBREC at QoS 2) leaves after the commit, so no crash loses a message.
- What is handled is recognised: at QoS 2 by its packet identifier, deleted durably before PUBCOMP leaves; at QoS 1 and
  2 by its idempotency key. Both are written in the handler's transaction, so no crash has a message handled twice.
- A handler that raises leaves nothing behind, and the message is tried again, `tries` times in all, counted over
  restarts; then it is a dead letter, committed with its receipt. A try that a crash ends does not count: it says
  nothing about the message.
- Only the last process that opened the inbox under a client identifier can commit.
"""

import asyncio
import contextlib
import hashlib
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..client.arguments.checks import check_number, check_seconds, wrong_type
from ..client.incoming import GATHER_MAX, GATHER_MS
from ..core.errors import ClosedError, ProtocolError
from ..core.keys import SPAN, is_seen, see
from ..core.shown import shown
from ..ledger.steps import ENDED, HANDLED
from ..serial.clock import now_ms
from ..store.base import Store, StoreError
from .adapter import Database, DatabaseError, check_database
from .outbox import Outbox, bury
from .receipts import ReceiptStore
from .windows import KeyWindows, SeenError

if TYPE_CHECKING:
    from ..client import Client
    from ..client.messages import Message
    from ..client.subscriptions.threads import HandlerThread

log = logging.getLogger("mqttlite.database")

PAUSE_MAX_S = 30.0  # between two tries
TAKEN_MAX = SPAN // 2  # messages taken and not settled: none may fall out of its producer's window meanwhile

Handler = Callable[[Any, "Message"], Any]


class _RepeatError(Exception):
    """The message turned out to be handled already: what the handler wrote is rolled back."""


class Inbox:
    """Makes `client` keep its receipts in `database`. To be made before the client is started.

    client        with a client_id, since the broker forgets the session of one without; from now on it acknowledges
                  only what the inbox has committed
    database      made by sqlite(), psycopg_database(), asyncpg_database()
    name          tells inboxes in one database apart; inboxes with one name share their idempotency keys
    tries         how often a message may make its handler raise
    dead_letter   where it goes then. None: the table mqttlite_dead. (outbox, topic): published through the outbox under
                  that topic with the message's own behind it
    side_by_side  how many handlers of different topics may run at once; 0 or 1: one after the other, in order. On a
                  single connection they still wait for each other's transactions. Acknowledgements keep their order
    pause_s       before the second try, in seconds; twice as long before each further one, up to 30
    """

    def __init__(
        self,
        client: "Client",
        database: Database,
        name: str = "inbox",
        tries: int = 5,
        dead_letter: tuple[Outbox, str] | None = None,
        side_by_side: int = 0,
        pause_s: float = 0.1,
    ) -> None:
        check_database(database)
        check_number("tries", tries, 1)
        check_number("side_by_side", side_by_side, 0)
        check_seconds("pause_s", pause_s, True)
        if dead_letter is not None and not (isinstance(dead_letter, tuple) and len(dead_letter) == 2):
            raise wrong_type("dead_letter", "(outbox, topic)", dead_letter)
        if dead_letter and dead_letter[0].database is not database:
            raise ValueError("the outbox for dead letters must be in the inbox's database: they commit together")
        self.client = client
        self.database = database
        self.name = name
        self.tries = tries
        self.dead_letter = dead_letter
        self.side_by_side = side_by_side
        self.pause_s = pause_s
        self.handled = self.repeats = self.dead = 0  # messages, in this process
        self._windows = KeyWindows(name)
        self._store: ReceiptStore
        self._incoming = client.keep_receipts(self._wrap)
        self._session = self._incoming.life.session
        self._ledger = client.ledger
        if self._ledger is not None:
            self._incoming.inbox_tells = True  # type: ignore[attr-defined]  # LedgerIncoming's
        self._taken: deque[Message] = deque()  # from the client, and not settled yet
        self._failures: dict[bytes, int] | None = None  # tries that failed, by fingerprint
        self._running = False
        self._thread: HandlerThread | None = None  # where handlers are called
        self._after: Callable[[Message], Awaitable[None]] | None = None  # what is done behind the transaction

    def _wrap(self, store: Store) -> Store:
        self._store = ReceiptStore(
            store, self.database, self.name, self.client.client_id, lambda: self._session.generation
        )
        return self._store

    async def run(self, handler: Handler) -> None:
        """Handle every message with `handler(db, message)` inside a transaction, until the client is closed.

        `db` is the connection of the driver, in a transaction that the inbox begins and ends. A handler that is no
        coroutine function is called in a thread, where the connection may be used there (see `sqlite`), so that it may
        block; otherwise in the event loop. The handler should write
        to it and nothing else: what it does elsewhere is not undone when it raises. It may await `client.publish`, but
        on a single connection it must not wait for the broker (a receipt, a subscription). QoS 0 is handled, too,
        once at most. Cancelled, it leaves messages that are not settled to the next `run`.

        Raises DatabaseError when the database fails: nothing is acknowledged that is not committed. A connection to
        PostgreSQL that is lost is waited for where another can be opened (`psycopg_database`, `asyncpg_database`); what
        was not committed is handled again, and counts as no try.
        """
        await self._run(handler, handler)

    async def serve(self, function: Callable[..., Any], into: Callable[..., Any] | None = None) -> None:
        """Answer every request with what `function(db, message)` returns, until the client is closed; with `into`, as
        of `Client.serve`, it is `function(db, value, message)`. Called as the handler of `run`, which see.

        What it writes, its answer and the receipt commit together, and then the answer is published. Should it get lost
        on the way, in a crash too: a request that is repeated with its key within a day gets that answer again.
        AnswerError is an answer, too, and undoes what the function has written; whatever else it raises is tried again,
        as by `run`.
        """
        from .answers import Answering

        answering = Answering(self, function, into)
        self._after = answering.committed
        try:
            await self._run(answering.handle, function)
        finally:
            self._after = None

    async def _run(self, handler: Handler, function: Callable[..., Any]) -> None:
        if self._running:
            raise RuntimeError("this inbox runs already; for handlers side by side, use side_by_side")
        self.database.check_handler(function)
        self._running = True
        try:
            await self.database.insist(self._load)
            if self.database.has_threads and not inspect.iscoroutinefunction(function):
                self._thread = self.database.handler_thread()
            if self.side_by_side > 1:
                await self._run_side_by_side(handler)
            else:
                await self._run_in_order(handler)
        finally:
            self._running = False
            if self._thread:
                self.database.release(self._thread)
                self._thread = None

    async def _load(self) -> None:
        """Create the tables, and find out which messages have failed before."""
        await self.database.create_tables()
        if self._failures is None:
            async with self.database.transaction() as db:
                sql = "SELECT message, tries FROM mqttlite_tries WHERE inbox = ?"
                self._failures = dict(await self.database.execute(db, sql, self.name))

    async def _run_in_order(self, handler: Handler) -> None:
        taken = self._taken
        while taken:  # left by a run that was cancelled
            await self._settle_first(handler)
        async for message in self.client:
            taken.append(message)
            await self._settle_first(handler)

    async def _settle_first(self, handler: Handler) -> None:
        message = self._taken[0]
        await self._settle(handler, message)
        ms = now_ms() - self._incoming.since
        if ms >= GATHER_MS:
            await self._incoming.look(ms)  # before it is acknowledged into a connection that is gone
        self._taken.popleft()
        self.client.acknowledge(message)

    async def _run_side_by_side(self, handler: Handler) -> None:
        """A task per topic that has messages; `side_by_side` of them at work."""
        topics: dict[str, deque[Message]] = {}
        at_work = asyncio.Semaphore(self.side_by_side)
        room = asyncio.Event()

        async def work(topic: str) -> None:
            waiting = topics[topic]
            while waiting:
                async with at_work:
                    await self._settle(handler, waiting[0])
                message = waiting.popleft()
                self._taken.remove(message)
                self.client.acknowledge(message)
                room.set()
                ms = now_ms() - self._incoming.since
                if waiting and (ms >= GATHER_MS or self._incoming.gathered >= GATHER_MAX):
                    await self._incoming.breathe(ms)
            del topics[topic]

        def give(group: asyncio.TaskGroup, message: "Message") -> None:
            if message.topic in topics:
                topics[message.topic].append(message)
            else:
                topics[message.topic] = deque((message,))
                group.create_task(work(message.topic))

        try:
            async with asyncio.TaskGroup() as group:
                for message in self._taken:
                    give(group, message)
                async for message in self.client:
                    self._taken.append(message)
                    give(group, message)
                    while len(self._taken) >= TAKEN_MAX:
                        room.clear()
                        await room.wait()
        except BaseExceptionGroup as errors:  # the first says it all; `run` raises the same in both modes
            raise errors.exceptions[0] from None

    # -- one message

    async def _settle(self, handler: Handler, message: "Message") -> None:
        """Return when the message is handled, was handled before, or is a dead letter, durably."""
        pause_s = self.pause_s
        while True:
            try:
                await self.database.insist(lambda: self._handle(handler, message))
                self.handled += 1
                self._tell(HANDLED, message)
            except _RepeatError:
                self.repeats += 1
            except (StoreError, ClosedError):
                raise  # not the message's fault
            except Exception as error:
                failures = await self.database.insist(lambda: self._count(message))
                log.warning(
                    "inbox '%s': try %d of a message of %s: %r", self.name, failures, shown(message.topic, 200), error
                )
                if failures >= self.tries:
                    await self._give_up(message, error)
                    self.dead += 1
                    return
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, PAUSE_MAX_S)
                continue
            if self._after is not None:
                await self._after(message)
            return

    async def _give_up(self, message: "Message", error: Exception) -> None:
        with contextlib.suppress(_RepeatError):
            await self.database.insist(lambda: self._bury(message, error))
            self._tell(ENDED, message, "a dead letter")

    def _tell(self, step: int, message: "Message", cause: str = "") -> None:
        """The client's ledger, if it has one: what is committed."""
        if self._ledger is not None:
            from ..client.traffic.ledgered import tell

            tell(self._ledger, step, message, cause)

    async def _handle(self, handler: Handler, message: "Message") -> None:
        store = self._store
        if message._generation > store.committed or store.is_freed(message._generation, message._packet_id):
            await store.flush()
        async with self.database.transaction() as db:
            await self._check_new(db, message)
            # `serve` calls the function there itself
            thread = self._thread if self._after is None else None
            result = await thread.call(handler, db, message) if thread else handler(db, message)
            if inspect.isawaitable(result):
                await result
            done = await self._keep_receipt(db, message)
        self._kept(message, done)

    async def _bury(self, message: "Message", error: Exception) -> None:
        async with self.database.transaction() as db:
            text = f"{type(error).__name__}: {error}"
            outbox, topic = self.dead_letter or (None, "")
            try:
                if outbox is None or not message.qos:
                    raise ValueError
                published = outbox.publish(db, f"{topic}/{message.topic}", message.payload, message.qos)
            except (ValueError, ProtocolError):  # no topic, or one that is too long for MQTT
                await bury(self.database, db, f"inbox {self.name}", message.topic, message.payload, message.qos, text)
            else:
                await published
            try:
                done = await self._keep_receipt(db, message)
            except _RepeatError:
                if self.database.reconnects:  # the connection was lost while this was being committed, and it was
                    raise
                raise DatabaseError("a message that failed has a receipt; is the inbox open twice?") from error
        self._kept(message, done)
        log.error(
            "inbox '%s': a message of %s is a dead letter: %s", self.name, shown(message.topic, 200), shown(text, 2000)
        )

    # -- receipts

    async def _check_new(self, db: Any, message: "Message") -> None:
        """_RepeatError when the message is handled already."""
        if message.qos == 2 and await self._store.has(db, message._generation, message._packet_id):
            raise _RepeatError
        if message.qos and message.key is not None:
            await self._window(db, *_key(message), False)

    async def _keep_receipt(self, db: Any, message: "Message") -> Any:
        """What makes the message known as handled; _RepeatError when another transaction was faster."""
        store = self._store
        if not message.qos:
            return None
        await store.check_owner(db)
        # On a single connection nothing can come between, and what is freed goes along for nothing.
        done = await store.clear(db) if self.database.is_single else None
        if (
            message.qos == 2
            and self._stands(message)
            and not await store.add(db, message._generation, message._packet_id)
        ):
            raise _RepeatError
        if message.key is not None:
            producer, epoch, sequence = _key(message)
            window = await self._window(db, producer, epoch, sequence, True)
            see(window, sequence)
            await self._windows.keep(self.database, db, producer, epoch, window)
        if self._failures and (fingerprint := _fingerprint(message)) in self._failures:
            await self.database.execute(
                db, "DELETE FROM mqttlite_tries WHERE inbox = ? AND message = ?", self.name, fingerprint
            )
        return done

    def _stands(self, message: "Message") -> bool:
        """Whether its identifier still stands for it: one that the peer has used again needs no receipt."""
        session = self._session
        value = session.inbound.get(message._packet_id & 0xFFFF, 0)
        return value >> 4 == message._packet_id >> 16 or message._generation != session.generation

    def _kept(self, message: "Message", done: Any) -> None:
        """The receipt is durable."""
        if done:
            self._store.cleared(done)
        if self._failures:
            self._failures.pop(_fingerprint(message), None)

    async def _window(self, db: Any, producer: bytes, epoch: int, sequence: int, to_change: bool) -> list[int]:
        """The window of a producer and epoch; _RepeatError when the sequence is in it, or too old to tell."""
        try:
            window = await self._windows.open(self.database, db, producer, epoch, sequence, to_change)
        except SeenError:
            raise _RepeatError from None
        if is_seen(window, sequence):
            raise _RepeatError
        return window

    async def _count(self, message: "Message") -> int:
        """One try has failed; how many have, in a transaction of its own."""
        async with self.database.transaction() as db:
            fingerprint = _fingerprint(message)
            rows = await self.database.execute(
                db,
                "INSERT INTO mqttlite_tries (inbox, message, tries) VALUES (?, ?, 1) ON CONFLICT (inbox, message) "
                "DO UPDATE SET tries = mqttlite_tries.tries + 1 RETURNING tries",
                self.name,
                fingerprint,
            )
        failures: int = rows[0][0]
        if self._failures is not None:
            self._failures[fingerprint] = failures
        return failures


def _key(message: "Message") -> tuple[bytes, int, int]:
    assert message.key is not None
    producer, epoch, sequence = message.key
    return producer.encode(), epoch, sequence


def _fingerprint(message: "Message") -> bytes:
    """Recognises a message over restarts; the packet identifier is another when the session is."""
    key = b"" if message.key is None else repr(_key(message)).encode()
    parts = (message.topic.encode(), key, message.payload)
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()[:16]
