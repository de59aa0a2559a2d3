"""examples/decorators: the shop is killed again and again, and writes one invoice for each order."""

import asyncio
import contextlib
import json
import random
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from mqttlite import Client
from mqttlite.broker import Broker
from tests.peers import RUN_TIMEOUT_S, end, free_port
from tests.runtimes import ROOT

ORDERS = 60
SHOP = ROOT / "examples" / "decorators" / "shop.py"


@contextlib.asynccontextmanager
async def shop(url: str, folder: Path) -> AsyncIterator[None]:
    """The shop, running; killed at the end."""
    command = [sys.executable, str(SHOP), "--broker", url, "--database", str(folder / "shop.db")]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=folder)
    try:
        assert process.stdout
        assert await process.stdout.readline() == b"ready\n"
        yield
    finally:
        await end(process)


def rows(folder: Path, table: str, column: str) -> list[object]:
    with contextlib.closing(sqlite3.connect(folder / "shop.db")) as database:
        return [value for (value,) in database.execute(f"SELECT {column} FROM {table} ORDER BY {column}")]


async def test_each_order_has_one_invoice_though_the_shop_is_killed(tmp_path: Path) -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    invoices: list[int] = []
    pauses = random.Random(14)
    async with Broker([url]), Client(url, client_id="books", keys=True) as books, Client(url, client_id="till") as till:
        await books.subscribe("invoices", 2)

        async def keep_books() -> None:
            async for message in books:
                invoices.append(json.loads(message.payload)["order"])

        keeping = asyncio.create_task(keep_books())
        async with shop(url, tmp_path):
            await till.publish("shop/7/opened", "", 2)
            for number in range(ORDERS):
                await till.publish(f"orders/{number}", json.dumps({"id": number, "article": "pump", "cents": 42}), 2)
            await till.publish("orders/x", '{"id": 0, "colour": "blue"}', 2)  # none: a dead letter, the rest goes on
        for _ in range(4):
            async with shop(url, tmp_path):
                await asyncio.sleep(pauses.random() / 10)
        async with shop(url, tmp_path), asyncio.timeout(RUN_TIMEOUT_S):
            while len(set(invoices)) < ORDERS or not rows(tmp_path, "mqttlite_dead", "topic"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        keeping.cancel()
    assert sorted(invoices) == list(range(ORDERS))
    assert rows(tmp_path, "orders", "id") == list(range(ORDERS))
    assert rows(tmp_path, "events", "topic") == ["shop/7/opened"]
    assert rows(tmp_path, "mqttlite_dead", "topic") in (["orders/x"], [b"orders/x"])
