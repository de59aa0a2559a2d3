"""A stream of the broker into each database that there is, PostgreSQL among them: pools, servers that are restarted."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from mqttlite import Client
from mqttlite.broker import Broker
from mqttlite.client.messages import Message
from mqttlite.database import Database, DatabaseError, LostError, StreamInbox
from tests.broker.raw import TIMEOUT_S
from tests.database.postgres import Postgres
from tests.database.world import KINDS, RECONNECTING, SINGLE, World, note, until, write

LISTEN = "mqtt://127.0.0.1:0"
POSTGRES = KINDS[1:]


@contextlib.asynccontextmanager
async def stream(count: int) -> AsyncIterator[str]:
    """A broker with a stream of so many messages; its URL."""
    async with asyncio.timeout(TIMEOUT_S), Broker([LISTEN]) as broker:
        async with Client(broker.addresses[0], client_id="first") as first:
            await first.subscribe("$stream/log/in/#", 1)
            await publish(first, range(count))
        yield broker.addresses[0]


async def publish(client: Client, numbers: range) -> None:
    for receipt in [await client.publish("in/a", str(number), qos=1) for number in numbers]:
        await receipt


@contextlib.asynccontextmanager
async def reading(
    url: str, database: Database, handler: Callable[..., Any] = note, name: str = "c", **more: Any
) -> AsyncIterator[tuple[StreamInbox, "asyncio.Task[None]"]]:
    async with Client(url, version="5.0", client_id=name) as client:
        reader = StreamInbox(client, database, "log", pause_s=0.01, **more)
        task = asyncio.create_task(reader.run(functools.partial(handler, database)))
        try:
            yield reader, task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def numbers(count: int, start: int = 0) -> list[str]:
    return [str(number) for number in range(start, start + count)]


async def test_each_message_of_a_stream_has_its_effect_once_over_many_lives(world: World) -> None:
    async with stream(30) as url:
        for step in (1, 7, 9, 13):
            before = len(await world.effects())
            handled = 0

            async def dies(database: Database, db: Any, message: Message, step: int = step) -> None:
                """In the middle of a message, with its effect written and not committed."""
                nonlocal handled
                await note(database, db, message)
                handled += 1
                if handled > step:
                    await asyncio.Event().wait()

            database = await world.connect()
            async with reading(url, database, dies if before + step < 30 else note) as (reader, task):
                await until(lambda: task.done() or reader.handled == step)  # noqa: B023
    assert await world.effects() == numbers(30)
    assert await world.rows("SELECT reader, stream, next FROM mqttlite_offsets") == [("reader", "log", 30)]


async def test_what_raises_in_a_database_is_tried_again_and_put_aside(world: World) -> None:
    async def fails(database: Database, db: Any, message: Message) -> None:
        await note(database, db, message)
        if message.payload == b"1":
            await database.execute(db, "INSERT INTO no_such_table VALUES (1)")

    async with stream(3) as url, reading(url, await world.connect(), fails, tries=2) as (reader, task):
        await until(lambda: task.done() or reader.handled == 2)
        assert (reader.handled, reader.dead) == (2, 1)
    assert await world.effects() == ["0", "2"]
    ((source, payload),) = await world.rows("SELECT source, payload FROM mqttlite_dead")
    assert (source, bytes(payload)) == ("stream log, reader reader", b"1")


@pytest.mark.parametrize("world", POSTGRES, indirect=True)
async def test_the_reader_that_was_started_last_goes_on_and_no_message_is_handled_by_both(world: World) -> None:
    """Also the first one, when the database does not know of a place yet."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(database: Database, db: Any, message: Message) -> None:
        await note(database, db, message)
        entered.set()
        await leave.wait()

    async with stream(3) as url, reading(url, await world.connect(), slow, "one") as (reader, first):
        await entered.wait()
        async with reading(url, await world.connect(), note, "two") as (second, task):
            while not await world.rows("SELECT 1 FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert not task.done() and second.handled == 0, "it waits for the row that the first one has"
            leave.set()
            count = 3
            async with Client(url, client_id="p") as client:
                # The first may have its row again before the second, which waits for it: its next message tells it.
                while True:
                    await until(lambda: task.done() or reader.handled + second.handled == count)  # noqa: B023
                    if task.done() or first.done():
                        break
                    await publish(client, range(count, count + 1))
                    count += 1
            assert not task.done()
        with pytest.raises(DatabaseError, match="another process reads stream 'log' as reader 'reader'"):
            await first
    assert await world.effects() == numbers(count)


async def test_a_place_that_somebody_has_moved_is_not_overwritten(world: World) -> None:
    database = await world.connect()
    async with stream(3) as url:
        async with reading(url, database) as (reader, task):
            await until(lambda: reader.handled == 3)
            other = await world.connect()
            async with other.transaction() as db:
                await other.execute(db, "UPDATE mqttlite_offsets SET next = 1")
            async with Client(url, client_id="p") as client:
                await publish(client, range(3, 4))
            await until(task.done)
            with pytest.raises(DatabaseError, match="somebody has moved the place of reader 'reader' in stream 'log'"):
                await task
        async with reading(url, database) as (reader, _):
            await until(lambda: reader.handled == 3)
    assert await world.effects() == ["0", "1", "2", "1", "2", "3"]


@pytest.mark.parametrize("world", RECONNECTING, indirect=True)
async def test_a_reader_goes_on_when_its_server_was_restarted(world: World, postgres: Postgres) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(database: Database, db: Any, message: Message) -> None:
        await write(database, db, message.payload.decode())
        if message.payload == b"2":
            entered.set()
            await leave.wait()

    async with stream(5) as url, reading(url, await world.connect(), slow, tries=1) as (reader, task):
        await entered.wait()
        await asyncio.to_thread(postgres.crash)
        leave.set()
        await until(lambda: task.done() or reader.handled == 5)
        assert (reader.handled, reader.dead) == (5, 0), "it is not the message's fault"
    assert await world.effects() == numbers(5)


@pytest.mark.parametrize("world", SINGLE, indirect=True)
async def test_a_connection_that_does_not_come_back_ends_the_reader(world: World, postgres: Postgres) -> None:
    async with stream(2) as url, reading(url, await world.connect()) as (reader, task):
        await until(lambda: reader.handled == 2)
        await asyncio.to_thread(postgres.crash)
        async with Client(url, client_id="p") as client:
            await publish(client, range(2, 3))
        await until(task.done)
        with pytest.raises(LostError, match="this connection does not come back"):
            await task
    assert await world.effects() == numbers(2)
