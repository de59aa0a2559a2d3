"""Requests that are answered in the inbox's transaction: effect, answer and receipt are one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mqttlite import AnswerError, Client, ClosedError
from mqttlite.broker import Broker
from mqttlite.client.messages import Message
from mqttlite.database import Inbox
from tests.database.world import World, until, write


@pytest.fixture(params=["sqlite", "psycopg", "asyncpg_pool"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A database with a table `effects`."""
    made = World(request.param, tmp_path / "application.db")
    if request.param != "sqlite":
        schema = f"s{id(made)}"
        made.place = request.getfixturevalue("postgres").dsn(schema)
        database = await World("psycopg", made.place).connect()
        async with database.transaction() as db:
            await database.execute(db, f"CREATE SCHEMA {schema}")
        await database._source.close()
    database = await made.connect()
    async with database.transaction() as db:
        await database.execute(db, f"CREATE TABLE effects (id {database.counter_type}, text text NOT NULL)")
    yield made
    await made.close()


@contextlib.asynccontextmanager
async def serving(
    world: World, url: str, function: Any, version: str = "3.1.1", **options: Any
) -> AsyncIterator[Inbox]:
    """An inbox that serves."""
    database = await world.connect()
    client = Client(url, client_id="server", version=version)
    inbox = Inbox(client, database, pause_s=0)
    async with client:
        await client.subscribe("charge/+", 2)
        task = asyncio.create_task(inbox.serve(lambda *values: function(database, *values), **options))
        try:
            yield inbox
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, ClosedError):
                await task


@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
async def test_a_repeated_request_has_one_effect_and_gets_the_first_answer_over_a_restart(
    world: World, version: str
) -> None:
    tries = 0

    async def charge(database: Any, db: Any, message: Message) -> str:
        nonlocal tries
        tries += 1
        await write(database, db, message.payload.decode())
        if message.payload == b"poor":
            raise AnswerError("refused")
        if tries == 1:
            raise ValueError("the network, perhaps")
        return f"receipt {tries}"

    async with Broker(["mqtt://127.0.0.1:0"]) as broker:
        url = broker.addresses[0]
        async with Client(url, version=version) as client:
            for _ in range(2):
                async with serving(world, url, charge, version):
                    assert await client.request("charge/1", "5 EUR", 2, key="order-1", into=str) == "receipt 2"
                    assert await client.request("charge/1", "5 EUR", 1, key="order-1", into=str) == "receipt 2"
                    with pytest.raises(AnswerError, match="used for another request"):
                        await client.request("charge/1", "6 EUR", key="order-1")
                    with pytest.raises(AnswerError, match="refused"):
                        await client.request("charge/2", "poor", key="order-2")
            assert tries == 3
            assert await world.effects() == ["5 EUR"]  # what was refused has had none
            async with serving(world, url, charge, version):
                assert await client.request("charge/1", "7 EUR", into=str) == "receipt 4"  # without a key


async def test_an_answer_that_was_committed_and_not_sent_is_there_for_who_asks_again(world: World) -> None:
    async def charge(database: Any, db: Any, value: int, message: Message) -> int:
        await write(database, db, str(value))
        return value + 1

    async with Broker(["mqtt://127.0.0.1:0"]) as broker:
        url = broker.addresses[0]
        async with Client(url) as client:
            async with serving(world, url, charge, into=int) as inbox:
                died = asyncio.Event()

                async def dying(message: Message) -> None:
                    died.set()
                    raise ClosedError("the process dies")

                await until(lambda: inbox._after is not None)
                inbox._after = dying
                asking = asyncio.create_task(client.request("charge/1", "5", 2, key="order-1", into=int))
                await died.wait()
                assert await world.effects() == ["5"]
                asking.cancel()
            async with serving(world, url, charge, into=int):
                assert await client.request("charge/1", "5", 2, key="order-1", into=int) == 6
            assert await world.effects() == ["5"]
