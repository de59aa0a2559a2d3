"""The outbox: a message exists if and only if the transaction commits, and is published once, whoever dies and when."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mqttlite.broker import Broker
from mqttlite.client import Client
from mqttlite.core.errors import ProtocolError
from mqttlite.database import Database, DatabaseError, Outbox, psycopg_database
from mqttlite.store.base import StoreError
from tests.database.postgres import Postgres
from tests.database.world import World, write


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with Broker(["mqtt://127.0.0.1:0"]) as broker:
        yield broker.addresses[0]


async def fill(database: Database, outbox: Outbox, *texts: str) -> None:
    """One transaction."""
    async with database.transaction() as db:
        for text in texts:
            await write(database, db, text)
            await outbox.publish(db, "t", text)


@contextlib.asynccontextmanager
async def forwarding(outbox: Outbox, client: Client) -> AsyncIterator[None]:
    task = asyncio.create_task(outbox.forward(client))
    try:
        yield
        if task.done():
            await task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, DatabaseError):
            await task


async def take(client: Client, count: int) -> list[str]:
    return [(await anext(client)).payload.decode() for _ in range(count)]


async def emptied(world: World) -> None:
    """Wait until every row is forwarded and deleted."""
    while await world.rows("SELECT * FROM mqttlite_outbox"):  # noqa: ASYNC110 asks the database
        await asyncio.sleep(0.001)


async def test_a_message_exists_if_and_only_if_its_transaction_commits(world: World, url: str) -> None:
    database = await world.connect()
    await database.create_tables()
    outbox = Outbox(database, poll_s=0.01)
    async with Client(url, client_id="subscriber") as subscriber, Client(url, client_id="forwarder") as client:
        await subscriber.subscribe("t")
        await fill(database, outbox, "a", "b")
        with pytest.raises(RuntimeError, match="changed my mind"):
            async with database.transaction() as db:
                await outbox.publish(db, "t", "never")
                raise RuntimeError("changed my mind")
        async with forwarding(outbox, client):
            await fill(database, outbox, "c")
            assert await take(subscriber, 3) == ["a", "b", "c"]
            await emptied(world)
            async with database.transaction() as db:
                await outbox.publish(db, "t", "awake", 2)
            assert await take(subscriber, 1) == ["awake"]


@pytest.mark.parametrize("step", ["numbered", "some accepted", "all accepted"])
async def test_a_forwarder_that_dies_between_accepting_and_deleting_publishes_nothing_twice(
    world: World, url: str, tmp_path: Path, step: str
) -> None:
    database = await world.connect()
    await database.create_tables()
    texts = [str(number) for number in range(10)]
    await fill(database, Outbox(database), *texts)
    reached = asyncio.Event()

    class Dying(Client):
        async def enqueue(self, *args: Any, **options: Any) -> Any:
            if step == "numbered" or (step == "some accepted" and args[1] == b"5"):
                await self.stored()
                reached.set()
                await asyncio.Event().wait()
            return await super().enqueue(*args, **options)

        async def stored(self) -> None:
            await super().stored()
            if step == "all accepted":
                reached.set()
                await asyncio.Event().wait()

    async with Client(url, client_id="subscriber") as subscriber:
        await subscriber.subscribe("t", 1)
        store = str(tmp_path / "state.db")
        dying = Dying(url, client_id="forwarder", store=store)
        async with dying, forwarding(Outbox(database), dying):
            await reached.wait()
        assert len(await world.rows("SELECT * FROM mqttlite_outbox")) == 10
        client = Client(url, client_id="forwarder", store=store)
        async with client, forwarding(Outbox(database), client):
            await fill(database, Outbox(database), "end")
            got = await take(subscriber, 11)
            await emptied(world)
        assert got == [*texts, "end"]


async def test_a_message_that_no_client_can_publish_is_a_dead_letter_and_the_rest_goes_on(
    world: World, url: str
) -> None:
    database = await world.connect()
    outbox = Outbox(database)
    await database.create_tables()
    async with database.transaction() as db:
        sql = "INSERT INTO mqttlite_outbox (outbox, topic, payload, qos, retain) VALUES (?, ?, ?, 1, 0)"
        await database.execute(db, sql, "outbox", "not/#/a/topic", b"x")
    await fill(database, outbox, "good")
    async with Client(url, client_id="subscriber") as subscriber, Client(url, client_id="forwarder") as client:
        await subscriber.subscribe("t")
        async with forwarding(outbox, client):
            assert await take(subscriber, 1) == ["good"]
            await emptied(world)
    assert await world.rows("SELECT source, topic FROM mqttlite_dead") == [("outbox outbox", "not/#/a/topic")]


async def test_what_cannot_be_published_is_refused_at_once(world: World) -> None:
    outbox = Outbox(await world.connect())
    with pytest.raises(ProtocolError):
        outbox.publish(None, "t/#")
    with pytest.raises(ValueError, match="1 or 2"):
        outbox.publish(None, "t", qos=0)


async def test_a_second_forwarder_takes_over_and_the_first_ends(world: World, url: str) -> None:
    database = await world.connect()
    outbox = Outbox(database, poll_s=0.01)
    async with Client(url, client_id="one") as one, Client(url, client_id="two") as two:
        first = asyncio.create_task(outbox.forward(one))
        while not first.done() and not await _owners(world):  # noqa: ASYNC110 asks the database
            await asyncio.sleep(0.001)
        async with forwarding(Outbox(await world.connect(), poll_s=0.01), two):
            with pytest.raises(DatabaseError, match="another forwarder has taken over"):
                await first


async def _owners(world: World) -> list[tuple[Any, ...]]:
    try:
        return await world.rows("SELECT owner FROM mqttlite_forwarder")
    except (sqlite3.Error, psycopg.Error):
        return []


async def test_a_forwarder_with_nothing_to_do_ends_when_its_client_has(world: World, url: str, tmp_path: Path) -> None:
    """Found by a random schedule: a bridge whose store had failed went on as if nothing had happened."""
    database = await world.connect()
    await database.create_tables()
    outbox = Outbox(database, poll_s=0.01)
    with pytest.raises(StoreError, match="the disk is gone"):
        async with Client(url, client_id="forwarder", store=str(tmp_path / "f.db")) as client:
            task = asyncio.create_task(outbox.forward(client))
            await fill(database, outbox, "a")
            await emptied(world)
            assert client.store.on_failure
            client.store.on_failure(StoreError("the disk is gone"))
            await task


async def test_rows_that_become_visible_late_are_published_and_keep_the_order_of_their_transaction(
    postgres: Postgres, url: str, tmp_path: Path
) -> None:
    """The rows with the lower ids commit after the ones with the higher ids are published and deleted."""
    dsn = postgres.dsn("late")
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as first:
        await first.execute("CREATE SCHEMA late")
        database = psycopg_database(first)
        await database.create_tables()
        outbox = Outbox(database, poll_s=0.01)
        client = Client(url, client_id="forwarder", store=str(tmp_path / "state.db"))
        async with Client(url, client_id="subscriber") as subscriber, client, forwarding(outbox, client):
            await subscriber.subscribe("t", 1)
            with psycopg.Connection.connect(dsn) as early:  # a synchronous connection can publish too
                outbox.publish(early, "t", "low 1")
                with psycopg.Connection.connect(dsn) as late:
                    outbox.publish(late, "t", "high")
                late.close()
                assert await take(subscriber, 1) == ["high"]
                outbox.publish(early, "t", "low 2")
            early.close()
            assert await take(subscriber, 2) == ["low 1", "low 2"]
