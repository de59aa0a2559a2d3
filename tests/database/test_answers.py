"""Requests that are answered in the inbox's transaction: effect, answer and receipt are one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mqttlite import AnswerError, Client, ClosedError
from mqttlite.broker import Broker
from mqttlite.client.first_answers import Answer
from mqttlite.client.messages import Message
from mqttlite.database import Inbox, LostError
from mqttlite.database.answers import Answering
from tests.database.world import World, until, write

on_some = pytest.mark.parametrize("world", ["sqlite", "psycopg", "asyncpg_pool"], indirect=True)


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


@on_some
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


@on_some
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


async def test_what_was_given_up_leaves_no_answer_for_another_request(tmp_path: Path) -> None:
    """A message that comes again may have the place in memory of one whose transactions all failed at their end."""
    world = World("sqlite", tmp_path / "application.db")
    database = await world.connect()
    inbox = Inbox(Client("mqtt://localhost", client_id="server"), database)
    answering = Answering(inbox, lambda db, message: message.payload, None)
    await database.create_tables()
    message = Message("charge", b"mqttlite-request 1\nanswer: a\nid: 1\n\none", 4, 1, 0)
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as db:
            await answering.handle(db, message)
            raise ZeroDivisionError
    assert len(answering._answers) == 1
    del message
    assert not answering._answers
    await world.close()


async def test_an_answer_is_looked_up_when_the_database_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World("sqlite", tmp_path / "application.db")
    database = await world.connect()
    inbox = Inbox(Client("mqtt://localhost", client_id="server"), database)
    answering = Answering(inbox, lambda db, message: message.payload, None)
    sent: list[Answer] = []

    async def send(client: object, message: object, request: object, answer: Answer) -> None:
        sent.append(answer)

    monkeypatch.setattr("mqttlite.database.answers.send", send)
    await database.create_tables()
    message = Message("charge", b"mqttlite-request 1\nanswer: a\nid: 1\nkey: k\n\none", 4, 1, 0)
    async with database.transaction() as db:
        await answering.handle(db, message)
    answering._answers.clear()  # an earlier life has committed
    first = answering._first
    tries = 0

    async def away(db: Any, key: str) -> Answer | None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise LostError("the database is away")
        return await first(db, key)

    monkeypatch.setattr(answering, "_first", away)
    monkeypatch.setattr(type(database), "reconnects", True)
    await answering.committed(message)
    assert tries == 2
    assert [answer.payload for answer in sent] == [b"one"]
    await world.close()
