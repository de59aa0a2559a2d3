"""A ledger that is charged exactly once, whatever dies and whenever.

    python examples/payments/ledger.py                                   SQLite: ledger.db
    python examples/payments/ledger.py --database postgresql://user@/name
    python examples/payments/pay.py alice 100                            in another terminal: charge 1.00 to Alice

Both take --broker mqtt://HOST:PORT (default: mqtt://localhost). Kill either of them, with kill -9, as often as you
like, and start it again: `--show` prints the balances, and each payment is in the table `payments` once.
"""

import argparse
import asyncio
import contextlib
import json
import sqlite3
from typing import Any

from mqttlite.client import Client
from mqttlite.client.messages import Message
from mqttlite.database import Database, Inbox, psycopg_database, sqlite

TABLES = (
    "CREATE TABLE IF NOT EXISTS accounts (name text PRIMARY KEY, cents bigint NOT NULL)",
    "CREATE TABLE IF NOT EXISTS payments (id text NOT NULL, account text NOT NULL, cents bigint NOT NULL)",
)


async def open_database(url: str) -> Database:
    """The application's own connection: PostgreSQL by URL, or a SQLite file."""
    if url.startswith(("postgresql://", "postgres://")):
        import psycopg

        return psycopg_database(await psycopg.AsyncConnection.connect(url))
    return sqlite(sqlite3.connect(url))


async def main(arguments: argparse.Namespace) -> None:
    database = await open_database(arguments.database)
    async with database.transaction() as db:
        for table in TABLES:
            await database.execute(db, table)
        if arguments.show:
            for name, cents in await database.execute(db, "SELECT name, cents FROM accounts ORDER BY name"):
                print(f"{name}: {cents / 100:.2f}")
            return

    async def charge(db: Any, message: Message) -> None:
        """Runs inside the inbox's transaction: both writes and the receipt of the message commit together."""
        payment = json.loads(message.payload)  # what is no JSON becomes a dead letter, and the rest goes on
        account, cents = payment["account"], int(payment["cents"])
        await database.execute(
            db, "INSERT INTO payments (id, account, cents) VALUES (?, ?, ?)", payment["id"], account, cents
        )
        await database.execute(
            db,
            "INSERT INTO accounts (name, cents) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET cents = accounts.cents + excluded.cents",
            account,
            cents,
        )
        print(f"charged {cents / 100:.2f} to {account}", flush=True)

    client = Client(arguments.broker, client_id="ledger", keys=True, retry_first=True)
    inbox = Inbox(client, database)
    async with client:
        await client.subscribe("payments", 2)
        print("ready", flush=True)
        await inbox.run(charge)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A ledger that is charged exactly once.")
    parser.add_argument("--broker", default="mqtt://localhost")
    parser.add_argument("--database", default="ledger.db", help="a SQLite file or postgresql://...")
    parser.add_argument("--show", action="store_true", help="print the balances and end")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(parser.parse_args()))
