"""README.md: its programs run as they stand. Of all pages, links lead somewhere."""

import asyncio
import contextlib
import re
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mqttlite.broker.server import Broker
from mqttlite.client import Client
from tests.peers import free_port

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README = PAGES[0].read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A running broker."""
    address = f"mqtt://127.0.0.1:{free_port()}"
    async with Broker([address]):
        yield address


@contextlib.asynccontextmanager
async def program(text: str, url: str, folder: Path) -> AsyncIterator[asyncio.StreamReader]:
    """A program of the README as a process in `folder`, with the broker's address in it; what it prints."""
    source, count = re.subn(r'"mqtt://[^"]+"', f'"{url}"', text)
    assert count == 1
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-c", source, cwd=folder, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout
        yield process.stdout
    finally:
        process.kill()
        await process.wait()


async def test_the_boards_program_publishes_and_receives(url: str, tmp_path: Path) -> None:
    (text,) = [text for text in PROGRAMS if "pumps/7" in text]
    async with Client(url, client_id="reader") as reader:
        await reader.subscribe("pumps/7/started")
        async with program(text, url, tmp_path) as output:
            assert (await anext(reader)).payload == b"1"
            await reader.publish("pumps/7/command", "go", qos=2)
            assert await output.readline() == b"pumps/7/command b'go'\n"


async def test_the_backends_program_charges_each_message_once(url: str, tmp_path: Path) -> None:
    (text,) = [text for text in PROGRAMS if "Inbox" in text]
    async with Client(url, client_id="ledger") as ledger:  # its session: the sale waits for it
        await ledger.subscribe("sales/#", qos=2)
    async with Client(url, client_id="till") as till:
        sale = await till.publish("sales/1", "4.20 EUR", qos=2)
        await sale.completed()
        async with program(text, url, tmp_path):
            rows: list[tuple[str, str]] = []
            while not rows:
                await asyncio.sleep(0.05)
                if (tmp_path / "ledger.db").exists():
                    connection = sqlite3.connect(tmp_path / "ledger.db")
                    with contextlib.suppress(sqlite3.OperationalError):  # not created yet
                        rows = connection.execute("SELECT topic, amount FROM charge").fetchall()
                    connection.close()
    assert rows == [("sales/1", "4.20 EUR")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_to_files_that_are_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []
