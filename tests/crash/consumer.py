"""The consumer of the crash tests: enters each message in a ledger, in the transaction of its inbox.

    python -m tests.crash.consumer URL FOLDER QOS COUNT

FOLDER holds its store and its database. It says "ready" when it has subscribed, and ends when it has handled the number
COUNT, the end, and after it a message to itself: whatever the broker still had for it has come before that.
"""

import asyncio
import sqlite3
import sys
from pathlib import Path

from mqttlite.client import Message
from mqttlite.database import Inbox, sqlite
from tests.crash.dying import DyingClient, reach
from tests.crash.producer import TOPIC

SCHEMA = "CREATE TABLE IF NOT EXISTS ledger (entry INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER NOT NULL)"
LAST = "consumer/last"


async def main(url: str, folder: Path, qos: int, count: int) -> None:
    database = sqlite3.connect(folder / "application.db", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(SCHEMA)
    client = DyingClient(url, "consumer", str(folder / "consumer.db"))
    inbox = Inbox(client, sqlite(database))
    ended = asyncio.Event()
    last = asyncio.Event()
    if database.execute("SELECT 1 FROM ledger WHERE number = ?", (count,)).fetchone():
        ended.set()  # in an earlier life

    def handle(db: sqlite3.Connection, message: Message) -> None:
        if message.topic == LAST:
            last.set()
            return
        reach("handler")
        number = int(message.payload)
        db.execute("INSERT INTO ledger (number) VALUES (?)", (number,))
        if number == count:
            ended.set()
        reach("writes")

    async with client:
        handling = asyncio.create_task(inbox.run(handle))
        await client.subscribe(TOPIC, qos)
        print("ready", flush=True)
        await ended_or(handling, ended)
        await client.subscribe(LAST, qos)
        await client.publish(LAST, b"", qos)
        await ended_or(handling, last)
        await client.close()
        await handling
    database.close()


async def ended_or(task: asyncio.Task[None], event: asyncio.Event) -> None:
    """Wait for `event`; an error of `task` is raised."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    if not event.is_set():
        waiting.cancel()
        await task
        raise RuntimeError("the inbox has ended")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
