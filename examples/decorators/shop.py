"""A shop that writes one invoice for each order, whatever dies and whenever.

    python examples/decorators/shop.py                                                   in one terminal
    mqttlite sub -t 'invoices/#' -q 2 -v                                                 in another one
    mqttlite pub -t orders/1 -q 2 -m '{"id": 1, "article": "pump", "cents": 4200}'       in a third one

It takes --broker mqtt://HOST:PORT (default: mqtt://localhost) and --database FILE (default: shop.db). Kill it with
kill -9 as often as you like, and start it again: each order is in the table `orders` once, and has one invoice.
"""

import argparse
import asyncio
import contextlib
import sqlite3
from dataclasses import dataclass
from typing import Any

from app import App

from mqttlite import Client, Message
from mqttlite.database import sqlite

parser = argparse.ArgumentParser(description="A shop that writes one invoice for each order.")
parser.add_argument("--broker", default="mqtt://localhost")
parser.add_argument("--database", default="shop.db", help="a SQLite file")
arguments = parser.parse_args()

database = sqlite3.connect(arguments.database)
database.execute("CREATE TABLE IF NOT EXISTS orders (id integer, article text, cents integer)")
database.execute("CREATE TABLE IF NOT EXISTS events (topic text)")
database.commit()
app = App(
    Client(arguments.broker, client_id="shop", store=f"{arguments.database}.client", keys=True, retry_first=True),
    sqlite(database),
)


@dataclass
class Order:
    id: int
    article: str
    cents: int


@dataclass
class Invoice:
    order: int
    cents: int


@app.subscriber("orders/#")
@app.publisher("invoices")
async def invoice(db: Any, order: Order) -> Invoice:
    """No constraint refuses a second row, and nobody looks whether there is one: that is the inbox's doing."""
    db.execute("INSERT INTO orders VALUES (?, ?, ?)", (order.id, order.article, order.cents))
    return Invoice(order.id, order.cents)


@app.subscriber("shop/+/opened")
async def opened(db: Any, message: Message) -> None:
    db.execute("INSERT INTO events VALUES (?)", (message.topic,))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(app.run())
