"""A PostgreSQL server that is restarted under an inbox and an outbox: they wait, and go on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mqttlite.broker import Broker
from mqttlite.client import Client, Message
from mqttlite.database import Database, DatabaseError, Inbox, LostError, Outbox
from tests.database.postgres import Postgres
from tests.database.world import (
    PUBCOMP,
    PUBREC,
    PUBREL,
    RECONNECTING,
    SINGLE,
    Script,
    World,
    answer,
    life,
    publish,
    until,
    write,
)

on_reconnecting = pytest.mark.parametrize("world", RECONNECTING, indirect=True)


@on_reconnecting
async def test_an_inbox_goes_on_when_its_server_was_restarted_and_each_message_is_handled_once(
    world: World, script: Script, postgres: Postgres
) -> None:
    entered = asyncio.Event()
    leave = asyncio.Event()

    async def slow(database: Database, db: Any, message: Message) -> None:
        await write(database, db, message.payload.decode())
        entered.set()
        await leave.wait()

    async with life(world, script, slow, tries=1) as (peer, inbox):
        await peer.say(publish(2, 7, b"in the handler"))
        await entered.wait()
        await asyncio.to_thread(postgres.crash)
        leave.set()
        assert await peer.packet() == answer(PUBREC, 7)
        await asyncio.to_thread(postgres.crash)
        await peer.say(answer(PUBREL, 7))  # its row is deleted by whoever writes, not by a handler
        assert await peer.packet() == answer(PUBCOMP, 7)
        await peer.say(publish(2, 8, b"after it"))
        assert await peer.packet() == answer(PUBREC, 8)
        assert (inbox.handled, inbox.dead) == (2, 0), "it is not the message's fault"
    assert await world.effects() == ["in the handler", "after it"]


@on_reconnecting
async def test_an_outbox_goes_on_when_its_server_was_restarted(world: World, postgres: Postgres) -> None:
    database = await world.connect()
    outbox = Outbox(database, poll_s=0.05)
    async with Broker(["mqtt://127.0.0.1:0"]) as broker, Client(broker.addresses[0]) as client:
        await client.subscribe("t", 1)
        forwarding = asyncio.create_task(outbox.forward(client))
        await until(lambda: database._has_tables)
        for text in ("0", "1"):

            async def fill(text: str = text) -> None:
                async with database.transaction() as db:
                    await outbox.publish(db, "t", text)

            await database.insist(fill)
            assert (await anext(client)).payload == text.encode()
            await asyncio.to_thread(postgres.crash)
        forwarding.cancel()


@pytest.mark.parametrize("world", ["psycopg_pool"], indirect=True)
async def test_the_connection_to_the_broker_outlives_a_database_that_is_away_for_longer_than_its_keep_alive(
    world: World, postgres: Postgres
) -> None:
    changes: list[bool] = []
    database = await world.connect()
    async with Broker(["mqtt://127.0.0.1:0"]) as broker, Client(broker.addresses[0]) as sender:
        client = Client(
            broker.addresses[0],
            client_id="reader",
            keep_alive_s=1,
            timeout_s=1,
            on_connection=lambda connected, reason: changes.append(connected),
        )
        inbox = Inbox(client, database)
        async with client:
            await client.subscribe("t", 2)

            async def handle(db: Any, message: Message) -> None:
                await write(database, db, message.payload.decode())

            running = asyncio.create_task(inbox.run(handle))
            await sender.publish("t", "0", 2)
            await until(lambda: inbox.handled == 1)
            await asyncio.to_thread(postgres.stop)
            await sender.publish("t", "1", 2)
            answered = client._life.protocol.received_at
            await until(lambda: client._life.protocol.received_at > answered + 3000)  # ms: the broker answers PINGREQ
            await asyncio.to_thread(postgres.start)
            await until(lambda: inbox.handled == 2)
            running.cancel()
    assert changes == [True]
    assert await world.effects() == ["0", "1"]


@pytest.mark.parametrize("world", RECONNECTING[2:], indirect=True)
@pytest.mark.parametrize("bad", [False, True])
async def test_a_commit_whose_answer_is_lost_with_its_connection_is_found_and_not_made_again(
    world: World, script: Script, monkeypatch: pytest.MonkeyPatch, bad: bool
) -> None:
    lose: list[bool] = []

    async def handle(database: Database, db: Any, message: Message) -> None:
        if bad:
            raise ValueError  # what is committed, then, is a dead letter
        await write(database, db, message.payload.decode())

    async with life(world, script, handle, tries=1) as (peer, inbox):
        await until(lambda: inbox._failures is not None)
        database = inbox.database
        block, keep_receipt = database._block, inbox._keep_receipt

        @contextlib.asynccontextmanager
        async def committed(db: Any) -> AsyncIterator[None]:
            async with block(db):
                yield
            if lose:
                lose.clear()
                await db.close()
                raise OSError("the answer to COMMIT is lost")

        async def keep(db: Any, message: Message) -> Any:
            if inbox._failures is not None and "lost" not in inbox.__dict__:
                inbox.__dict__["lost"] = True
                lose.append(True)
            return await keep_receipt(db, message)

        monkeypatch.setattr(database, "_block", committed)
        monkeypatch.setattr(inbox, "_keep_receipt", keep)
        await peer.say(publish(2, 7, b"a"))
        assert await peer.packet() == answer(PUBREC, 7)
        assert (inbox.handled, inbox.repeats, inbox.dead) == ((0, 0, 1) if bad else (0, 1, 0))
    assert await world.effects() == ([] if bad else ["a"])
    assert len(await world.rows("SELECT * FROM mqttlite_dead")) == bad


@pytest.mark.parametrize("world", SINGLE, indirect=True)
async def test_a_connection_that_is_lost_says_what_to_give_instead(world: World, postgres: Postgres) -> None:
    database = await world.connect()
    await asyncio.to_thread(postgres.crash)
    for _ in range(2):
        with pytest.raises(LostError, match=r"give .*_database\(\) a pool or a function that opens a connection"):
            async with database.transaction() as db:
                await database.execute(db, "SELECT 1")


@pytest.mark.parametrize("world", ["sqlite", "psycopg", "asyncpg", "asyncpg_pool"], indirect=True)
async def test_an_outbox_without_its_tables_says_how_to_make_them(world: World) -> None:
    database = await world.connect()
    outbox = Outbox(database)
    with pytest.raises(DatabaseError, match=r"mqttlite_outbox.*create_tables"):
        async with database.transaction() as db:
            await outbox.publish(db, "t", "early")
    await database.create_tables()
    async with database.transaction() as db:
        await outbox.publish(db, "t", "in time")
    assert len(await world.rows("SELECT * FROM mqttlite_outbox")) == 1
