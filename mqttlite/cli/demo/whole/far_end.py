"""The program at the far end: an inbox on SQLite, with a ledger.

python -m mqttlite.cli.demo.whole.far_end URL FOLDER TOPIC_FILTER
"""

import asyncio
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

from ....client import Client, Message
from ....client.arguments.reconnect import Reconnect
from ....database import Inbox, sqlite
from ....ledger import Ledger

DATABASE = "app.db"
LEDGER = "far-end.ledger.db"
_TABLE = "CREATE TABLE IF NOT EXISTS counted (board TEXT NOT NULL, n INTEGER NOT NULL)"


def handle(db: Any, message: Message) -> None:
    """What the application does with a message: in the transaction of its receipt."""
    board = message.topic.split("/")[-2]
    db.execute("INSERT INTO counted (board, n) VALUES (?, ?)", (board, json.loads(message.payload)["n"]))


async def main(url: str, folder: Path, topic_filter: str) -> None:
    """Until it is killed."""
    connection = sqlite3.connect(folder / DATABASE, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(_TABLE)
    client = Client(
        url,
        client_id="far-end",
        version="5.0",
        keys=True,
        clean_session=False,
        retry_first=True,
        reconnect=Reconnect(greatest_s=2),
        ledger=Ledger(folder / LEDGER, "far-end"),
    )
    inbox = Inbox(client, sqlite(connection))
    async with client:
        await client.subscribe(topic_filter, 2)
        print("the far end is there", flush=True)
        await inbox.run(handle)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
