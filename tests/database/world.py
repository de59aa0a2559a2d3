"""What the tests of inbox and outbox share: databases that are opened and dropped, and a broker that says exactly what
a test wants.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import psycopg_pool

from mqttlite.client import Client
from mqttlite.client.messages import Message
from mqttlite.core.keys import wrap
from mqttlite.database import Database, Inbox, Outbox, asyncpg_database, psycopg_database, sqlite
from tests.client.network import Peer

KINDS = ("sqlite", "psycopg", "asyncpg", "psycopg_pool", "asyncpg_pool")
# Fixtures `world` and `port`: every database with our broker, and one with Mosquitto; neither knows of the other.
AT_A_BROKER = [("sqlite", "mosquitto"), *((kind, "mqttlite") for kind in KINDS)]
SINGLE = ("psycopg", "asyncpg")  # a connection of PostgreSQL, which does not come back when its server was restarted
RECONNECTING = ("psycopg_pool", "asyncpg_pool", "psycopg_function", "asyncpg_function")

PUBACK, PUBREC, PUBREL, PUBCOMP = 0x40, 0x50, 0x62, 0x70


class World:
    """One database, of one kind; `connect` as often as a test has lives."""

    def __init__(self, kind: str, place: Path | str) -> None:
        self.kind = kind
        self.place = place
        self._opened: list[Any] = []

    async def connect(self) -> Database:
        """A connection (or pool) of its own."""
        if self.kind == "sqlite":
            connection = sqlite3.connect(self.place)
            self._opened.append(connection)
            return sqlite(connection)
        dsn = str(self.place)
        if self.kind.endswith("_function"):
            makes = psycopg_database if self.kind.startswith("psycopg") else asyncpg_database
            opens: Any = psycopg.AsyncConnection.connect if self.kind.startswith("psycopg") else asyncpg.connect
            database = makes(lambda: opens(dsn))
            self._opened.append(database)
            return database
        if self.kind == "psycopg":
            source: Any = await psycopg.AsyncConnection.connect(dsn)
        elif self.kind == "psycopg_pool":
            source = psycopg_pool.AsyncConnectionPool(dsn, min_size=1, max_size=5, open=False)
            await source.open()
        elif self.kind == "asyncpg":
            source = await asyncpg.connect(dsn)
        else:
            source = await asyncpg.create_pool(dsn, min_size=1, max_size=5)
        self._opened.append(source)
        return psycopg_database(source) if self.kind.startswith("psycopg") else asyncpg_database(source)

    async def close(self) -> None:
        for source in self._opened:
            closed = source.close()
            if closed is not None:
                await closed

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What somebody else sees: committed, and nothing more."""
        if self.kind == "sqlite":
            with contextlib.closing(sqlite3.connect(self.place)) as connection:
                return connection.execute(sql).fetchall()
        async with await psycopg.AsyncConnection.connect(str(self.place)) as other:
            return await (await other.execute(sql)).fetchall()

    async def effects(self) -> list[str]:
        """What handlers have written, in order."""
        return [text for (text,) in await self.rows("SELECT text FROM effects ORDER BY id")]


async def write(database: Database, db: Any, text: str) -> None:
    """The effect of a handler."""
    await database.execute(db, "INSERT INTO effects (text) VALUES (?)", text)


async def note(database: Database, db: Any, message: Message) -> None:
    """The usual handler."""
    await write(database, db, message.payload.decode())


class Slow:
    """The usual handler, which stays with the message "a" until it may `leave`. `entered`: it is there."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.leave = asyncio.Event()

    async def __call__(self, database: Database, db: Any, message: Message) -> None:
        await note(database, db, message)
        if message.payload == b"a":
            self.entered.set()
            await self.leave.wait()


def publish(qos: int, packet_id: int, payload: bytes, topic: str = "t", dup: bool = False) -> bytes:
    """A PUBLISH packet."""
    name = topic.encode()
    body = len(name).to_bytes(2, "big") + name + (packet_id.to_bytes(2, "big") if qos else b"") + payload
    return bytes((0x30 | qos << 1 | dup << 3, len(body))) + body


def keyed(producer: str, epoch: int, sequence: int, payload: bytes) -> bytes:
    """A payload with its idempotency key."""
    return wrap((producer.encode(), epoch, sequence), payload)


def answer(first: int, packet_id: int) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP."""
    return bytes((first, 2)) + packet_id.to_bytes(2, "big")


class Script:
    """A broker for one connection after the other: `async with script.session(present=True) as peer: ...`"""

    def __init__(self) -> None:
        self._peers: asyncio.Queue[tuple[Peer, asyncio.Event]] = asyncio.Queue()
        self.url = ""

    async def serve(self, peer: Peer) -> None:
        over = asyncio.Event()
        self._peers.put_nowait((peer, over))
        await over.wait()

    @contextlib.asynccontextmanager
    async def session(self, present: bool) -> AsyncIterator[Peer]:
        """The next connection, after CONNACK; cut at the end of the block."""
        peer, over = await self._peers.get()
        try:
            assert (await peer.packet())[0] == 0x10
            await peer.say(b"\x20\x02" + bytes((present, 0)))
            yield peer
        finally:
            peer.writer.transport.abort()
            over.set()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody announces."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


Handler = Callable[[Database, Any, Any], Awaitable[None]]


async def _inbox(world: World, url: str, options: dict[str, Any]) -> Inbox:
    """A new client, connection and inbox, not started."""
    database = await world.connect()
    client = Client(url, client_id="consumer", keys=True, keep_alive_s=0)
    if "dead_topic" in options:
        options["dead_letter"] = (Outbox(database), options.pop("dead_topic"))
    return Inbox(client, database, **({"pause_s": 0} | options))


@contextlib.asynccontextmanager
async def _running(world: World, inbox: Inbox, handler: Handler) -> AsyncIterator[None]:
    """Runs the inbox of a client that is started; at the end of the block both are dropped without any farewell."""
    database = inbox.database
    task = asyncio.create_task(inbox.run(lambda db, message: handler(database, db, message)), name="run")
    try:
        yield
        if task.done() and not task.cancelled():
            await task
    finally:
        await _drop(world, inbox, task)


async def _drop(world: World, inbox: Inbox, *tasks: "asyncio.Task[None]") -> None:
    for dying in (*tasks, inbox.client._connector.task):
        if dying:
            dying.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await dying
    async with inbox.database._lock:  # a transaction of the client's own tasks is on its way out
        pass
    await world.close()
    world._opened.clear()


@contextlib.asynccontextmanager
async def life(
    world: World, script: Script, handler: Handler, *, present: bool = True, **options: Any
) -> AsyncIterator[tuple[Peer, Inbox]]:
    """A process of the consumer: new client, new connection, new inbox. It is dropped, without any farewell, at the end
    of the block.
    """
    inbox = await _inbox(world, script.url, options)
    session = script.session(present)
    try:
        async with asyncio.TaskGroup() as group:
            starting = group.create_task(inbox.client.start())
            peer = await session.__aenter__()
            await starting
    except BaseException:
        await _drop(world, inbox)
        raise
    try:
        async with _running(world, inbox, handler):
            yield peer, inbox
    finally:
        await session.__aexit__(None, None, None)


@contextlib.asynccontextmanager
async def life_at_broker(
    world: World, url: str, topic_filter: str, handler: Handler, **options: Any
) -> AsyncIterator[Inbox]:
    """As `life`, subscribed at a real broker."""
    inbox = await _inbox(world, url, options)
    try:
        await inbox.client.start()
        await inbox.client.subscribe(topic_filter, 2)
    except BaseException:
        await _drop(world, inbox)
        raise
    async with _running(world, inbox, handler):
        yield inbox
