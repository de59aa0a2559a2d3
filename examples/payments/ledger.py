"""A ledger that is charged exactly once, whatever dies and whenever.

    python examples/payments/ledger.py                                             SQLite: the file ledger.db
    python examples/payments/ledger.py --database postgresql://user@host/name      PostgreSQL through psycopg
    python examples/payments/ledger.py --database postgresql+asyncpg://user@host/name         through asyncpg
    python examples/payments/pay.py alice 100            in another terminal: charge 1.00 to Alice's account

Both programs take --broker mqtt://HOST:PORT (default: mqtt://localhost). Kill either of them, with kill -9, as often as
you like, and start it again: `--show` prints the balances, and each payment is in the table `payments` once.
"""

import argparse
import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

from mqttlite import Client, Message
from mqttlite.database import Database, Inbox, asyncpg_database, psycopg_database, sqlite

# That no payment is in here twice is the inbox's doing: there is no constraint that would refuse a second one.
TABLES = (
    "CREATE TABLE IF NOT EXISTS accounts (name text PRIMARY KEY, cents bigint NOT NULL)",
    "CREATE TABLE IF NOT EXISTS payments (id text NOT NULL, account text NOT NULL, cents bigint NOT NULL)",
)


@contextlib.asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """The application's own connection: PostgreSQL by URL, or a SQLite file."""
    scheme, _, rest = url.partition("://")
    if scheme in ("postgresql", "postgres"):
        import psycopg

        async with await psycopg.AsyncConnection.connect(url) as connection:
            yield psycopg_database(connection)
    elif scheme == "postgresql+asyncpg":
        import asyncpg

        async with contextlib.AsyncExitStack() as stack:
            connection = await asyncpg.connect(f"postgresql://{rest}")
            stack.push_async_callback(connection.close)
            yield asyncpg_database(connection)
    elif rest:
        raise SystemExit(
            f"'{scheme}://' is no database of this example; give a file, postgresql:// or postgresql+asyncpg://"
        )
    else:
        with contextlib.closing(sqlite3.connect(url)) as file:
            yield sqlite(file)


async def show(database: Database) -> None:
    """Print the balances."""
    async with database.transaction() as db:
        for name, cents in await database.execute(db, "SELECT name, cents FROM accounts ORDER BY name"):
            print(f"{name}: {cents / 100:.2f}")


async def keep(database: Database, broker: str) -> None:
    """Charge what comes in, for as long as this program lives."""

    async def charge(db: Any, message: Message) -> None:
        """Runs inside the inbox's transaction: both writes and the receipt of the message commit together."""
        payment = json.loads(message.payload)  # what is no payment becomes a dead letter, and the rest goes on
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
        # Not committed yet, and no rollback takes back what is on the screen: killed here, it is printed twice.
        print(f"charging {cents / 100:.2f} to {account}", flush=True)

    client = Client(broker, client_id="ledger", keys=True, retry_first=True)
    inbox = Inbox(client, database)
    async with client:
        await client.subscribe("payments", 2)
        print("ready", flush=True)
        await inbox.run(charge)


async def main(arguments: argparse.Namespace) -> None:
    async with open_database(arguments.database) as database:
        async with database.transaction() as db:
            for table in TABLES:
                await database.execute(db, table)
        if arguments.show:
            await show(database)
        else:
            await keep(database, arguments.broker)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A ledger that is charged exactly once.")
    parser.add_argument("--broker", default="mqtt://localhost")
    parser.add_argument("--database", default="ledger.db", help="a SQLite file, postgresql:// or postgresql+asyncpg://")
    parser.add_argument("--show", action="store_true", help="print the balances and end")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(parser.parse_args()))
