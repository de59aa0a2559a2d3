"""docs/guarantees.md: its examples run as they stand, its pictures are XML and are shown."""

import ast
import asyncio
import contextlib
import inspect
import re
import sqlite3
import types
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from mqttlite.client import Client
from mqttlite.database import Inbox
from tests.docs.pages import program, programs, text_of
from tests.runtimes import ROOT

PAGE = "docs/guarantees.md"
PROGRAMS = programs(PAGE)
LINKS = re.findall(r"\]\(([^)]+)\)", text_of(PAGE))
PICTURES = sorted((ROOT / "docs" / "pictures").glob("*.svg"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the examples go to a folder of their own."""
    monkeypatch.chdir(tmp_path)


async def run(block: str, url: str, names: dict[str, Any]) -> None:
    """Run an example as `python -m asyncio` would; its variables are put into `names`."""
    code = compile(
        block.replace("mqtt://localhost:1883", url),
        PAGE,
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
    )
    result = types.FunctionType(code, names)()
    if inspect.isawaitable(result):
        await result


async def test_examples_that_end_run_as_they_stand(url: str) -> None:
    blocks = [block for block in PROGRAMS if "inbox.run" not in block]
    assert len(blocks) == len(PROGRAMS) - 1 >= 5
    for block in blocks:
        await run(block, url, {})


async def test_what_is_published_again_with_its_key_arrives_once(url: str) -> None:
    async with Client(url, client_id="books", keys=True) as books:
        await books.subscribe("sales/2", qos=2)
        await run(program(PAGE, 'key=("till-2", number)'), url, {})
        async with Client(url, keys=True) as other:
            await other.publish("sales/2", "end", qos=2)
        amounts = []
        async for message in books:
            if message.payload == b"end":
                break
            amounts.append(message.payload)
    assert amounts == [b"4.20 EUR", b"1.10 EUR"]


async def test_an_order_and_its_message_are_in_one_transaction_of_sqlalchemy(url: str) -> None:
    with contextlib.closing(sqlite3.connect("shop.db")) as shop:
        shop.execute("CREATE TABLE orders (text TEXT)")
        names: dict[str, Any] = {}
        await run(program(PAGE, "sqlalchemy_database"), url, names)
        client = Client(url, client_id="shop")
        inbox = Inbox(client, names["database"])
        async with client, client.subscription("ordered") as ordered:
            await client.subscribe("orders")
            tasks = [asyncio.create_task(work) for work in (inbox.run(names["order"]), names["outbox"].forward(client))]
            await client.publish("orders", "nuts", 2)
            assert (await anext(ordered)).payload == b"nuts"
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        assert shop.execute("SELECT text FROM orders").fetchall() == [("nuts",)]
    names["engine"].dispose()


async def test_the_ledger_charges_once_and_sends_a_receipt(url: str, tmp_path: Path) -> None:
    # The payment waits in the ledger's session until the ledger comes.
    async with Client(url, client_id="ledger") as ledger:
        await ledger.subscribe("payments/#", qos=2)
    async with Client(url, client_id="till", keys=True) as till:
        await till.subscribe("receipts", qos=2)
        payment = await till.publish("payments/7", "4.20 EUR", qos=2, key=("till", 7))
        await payment.completed()
        names: dict[str, Any] = {}
        example = asyncio.create_task(run(program(PAGE, "inbox.run"), url, names))
        receipt = asyncio.create_task(anext(till))
        await asyncio.wait((example, receipt), return_when=asyncio.FIRST_COMPLETED)
        if example.done():
            receipt.cancel()
            example.result()  # it never ends by itself
        assert (await receipt).payload == b"4.20 EUR"
        example.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await example
        names["connection"].close()
    connection = sqlite3.connect(tmp_path / "ledger.db")
    assert connection.execute("SELECT topic, amount FROM charge").fetchall() == [("payments/7", "4.20 EUR")]
    connection.close()


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_is_well_formed_and_has_a_white_ground(picture: Path) -> None:
    root = ElementTree.parse(picture).getroot()
    svg = "{http://www.w3.org/2000/svg}"
    assert root.tag == svg + "svg"
    assert root.find(svg + "title") is not None
    ground = root.find(svg + "rect")
    assert ground is not None and ground.get("fill") == "#fff"
    assert (ground.get("width"), ground.get("height")) == (root.get("width"), root.get("height"))


def test_every_picture_is_shown() -> None:
    assert {f"pictures/{picture.name}" for picture in PICTURES} <= set(LINKS)
