"""README.md: its programs run as they stand."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path

from mqttlite import Client
from tests.docs.pages import program
from tests.docs.running import running


async def test_the_boards_program_publishes_and_receives(url: str, tmp_path: Path) -> None:
    async with Client(url, client_id="reader") as reader:
        await reader.subscribe("pumps/7/started")
        async with running(program("README.md", "pumps/7"), url, tmp_path) as output:
            assert (await anext(reader)).payload == b"1"
            await reader.publish("pumps/7/command", "go", qos=2)
            assert await output.readline() == b"pumps/7/command b'go'\n"


async def test_the_backends_program_charges_each_message_once(url: str, tmp_path: Path) -> None:
    async with Client(url, client_id="ledger") as ledger:  # its session: the sale waits for it
        await ledger.subscribe("sales/#", qos=2)
    async with Client(url, client_id="till") as till:
        sale = await till.publish("sales/1", "4.20 EUR", qos=2)
        await sale.completed()
        async with running(program("README.md", "Inbox"), url, tmp_path):
            rows: list[tuple[str, str]] = []
            while not rows:
                await asyncio.sleep(0.05)
                if (tmp_path / "ledger.db").exists():
                    connection = sqlite3.connect(tmp_path / "ledger.db")
                    with contextlib.suppress(sqlite3.OperationalError):  # not created yet
                        rows = connection.execute("SELECT topic, amount FROM charge").fetchall()
                    connection.close()
    assert rows == [("sales/1", "4.20 EUR")]
