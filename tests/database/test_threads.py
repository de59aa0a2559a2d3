"""Handlers of an inbox in a thread: the event loop goes on, and the transaction is the same."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mqttlite.broker import Broker
from mqttlite.client import Client, Message
from mqttlite.database import Database, Inbox, Outbox, sqlite
from tests.database.world import until


@pytest.fixture(params=["path", "connection"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database whose connection may be used in any thread."""
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as first:
        first.execute("CREATE TABLE effects (text TEXT)")
    first.close()
    if request.param == "path":
        made = sqlite(path)
        yield made
        asyncio.run(made.close())
    else:
        connection = sqlite3.connect(path, check_same_thread=False)
        yield sqlite(connection)
        connection.close()


async def test_a_handler_that_blocks_lets_the_event_loop_go_on_and_commits_with_its_receipt(database: Database) -> None:
    may_end = threading.Event()
    threads: set[int] = set()
    outbox = Outbox(database)

    def handler(db: Any, message: Message) -> None:
        threads.add(threading.get_ident())
        db.execute("INSERT INTO effects VALUES (?)", (message.payload.decode(),))
        outbox.publish(db, "receipts", message.payload)
        assert may_end.wait(10)
        if message.payload == b"bad":
            raise ValueError

    async with Broker(["mqtt://127.0.0.1:0"]) as broker, Client(broker.addresses[0]) as sender:
        client = Client(broker.addresses[0], client_id="reader")
        inbox = Inbox(client, database, tries=2, pause_s=0)
        async with client:
            await client.subscribe("a", 2)
            running = asyncio.create_task(inbox.run(handler))
            for payload in ("0", "bad", "1"):
                await sender.publish("a", payload, 2)
            await until(lambda: bool(threads))
            await (await sender.publish("b", b"", 1)).completed()  # the loop turns, although the handler blocks
            assert not inbox.handled
            may_end.set()
            await until(lambda: inbox.handled == 2)
            running.cancel()
    assert threads and threading.get_ident() not in threads
    async with database.transaction() as db:
        assert await database.execute(db, "SELECT text FROM effects") == [("0",), ("1",)]
        assert await database.execute(db, "SELECT payload FROM mqttlite_outbox ORDER BY id") == [(b"0",), (b"1",)]
        assert await database.execute(db, "SELECT payload FROM mqttlite_dead") == [(b"bad",)]


async def test_a_run_that_is_cancelled_waits_for_the_thread_and_rolls_back(database: Database) -> None:
    entered, may_end = threading.Event(), threading.Event()

    def handler(db: Any, message: Message) -> None:
        db.execute("INSERT INTO effects VALUES ('half')")
        entered.set()
        assert may_end.wait(10)

    async with Broker(["mqtt://127.0.0.1:0"]) as broker, Client(broker.addresses[0]) as sender:
        client = Client(broker.addresses[0], client_id="reader")
        inbox = Inbox(client, database)
        async with client:
            await client.subscribe("a", 2)
            running = asyncio.create_task(inbox.run(handler))
            await sender.publish("a", "0", 2)
            await until(entered.is_set)
            running.cancel()
            for _ in range(100):
                await asyncio.sleep(0)
            assert not running.done()
            may_end.set()
            await asyncio.gather(running, return_exceptions=True)
            async with database.transaction() as db:
                assert not await database.execute(db, "SELECT text FROM effects")
            running = asyncio.create_task(inbox.run(handler))
            await until(lambda: inbox.handled == 1)
            running.cancel()
    async with database.transaction() as db:
        assert await database.execute(db, "SELECT text FROM effects") == [("half",)]


async def test_a_connection_that_is_bound_to_its_thread_stays_in_it(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "app.db")
    assert not sqlite(connection).has_threads
    connection.close()
