"""What a client and an inbox with a ledger note."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from mqttlite import Client
from mqttlite.broker import Broker
from mqttlite.database import Inbox, sqlite
from mqttlite.ledger import Ledger
from mqttlite.ledger.reading import Reader
from mqttlite.ledger.steps import STEPS
from tests.broker.test_server import until

LISTEN = ["mqtt://127.0.0.1:0"]
TIMEOUT_S = 20


def steps(path: Path) -> dict[str, list[str]]:
    """What has happened, by key."""
    reader = Reader(path)
    try:
        return {found["key"]: found["done"] for found in reader.recent(1000)}
    finally:
        reader.close()


@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
async def test_who_publishes_notes_accepted_and_acknowledged_and_who_takes_it_handled(
    tmp_path: Path, version: str
) -> None:
    async with asyncio.timeout(TIMEOUT_S), Broker(LISTEN) as broker:
        url = broker.addresses[0]
        sent, far = tmp_path / "sent.db", tmp_path / "far.db"
        taker = Client(url, client_id="far", version=version, keys=True, ledger=far)
        async with taker, Client(url, client_id="board", version=version, keys=True, ledger=sent) as board:
            await taker.subscribe("sensors/#", 2)
            for number in range(3):
                await board.publish("sensors/t", f"{number}", 2)
            for _ in range(3):
                await anext(taker)
            assert taker.ledger and taker.ledger.node == "far"
    assert list(steps(sent).values()) == [["accepted", "acknowledged"]] * 3
    assert set(steps(far)) == set(steps(sent))
    assert list(steps(far).values()) == [["handled"]] * 3


@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
async def test_what_an_earlier_life_has_accepted_is_acknowledged_in_the_next(tmp_path: Path, version: str) -> None:
    options: dict[str, Any] = {"client_id": "board", "version": version, "keys": True, "clean_session": False}
    options |= {"store": tmp_path / "board.db", "ledger": tmp_path / "sent.db"}
    async with asyncio.timeout(TIMEOUT_S):
        board = Client("mqtt://127.0.0.1:1", retry_first=True, **options)
        await board.start(wait=False)
        await board.publish("sensors/t", "1", 2)
        await board.publish("sensors/t", "2", 1, key=("order", 5))
        await board.close()
        assert list(steps(tmp_path / "sent.db").values()) == [["accepted"]] * 2
        async with Broker(LISTEN) as broker, Client(broker.addresses[0], **options) as board:
            assert await board.drain()
    assert list(steps(tmp_path / "sent.db").values()) == [["accepted", "acknowledged"]] * 2
    assert "order/0/5" in steps(tmp_path / "sent.db")


async def test_a_repeat_that_a_client_recognises_is_handled_once(tmp_path: Path) -> None:
    async with asyncio.timeout(TIMEOUT_S), Broker(LISTEN) as broker:
        url = broker.addresses[0]
        async with (
            Client(url, client_id="far", keys=True, ledger=tmp_path / "far.db") as far,
            Client(url, client_id="one", keys=True) as one,
            Client(url, client_id="two", keys=True) as two,
        ):
            await far.subscribe("#", 1)
            await one.publish("t", "1", 1, key=("order", 1))
            await two.publish("t", "1", 1, key=("order", 1))
            await two.publish("t", "2", 1, key=("order", 2))
            assert [(await anext(far)).payload for _ in range(2)] == [b"1", b"2"]
    reader = Reader(tmp_path / "far.db")
    handled = {key: times for key, times, _, _ in reader.keys(STEPS.index("handled"))}
    assert handled == {(b"order", 0, 1): 1, (b"order", 0, 2): 1}
    reader.close()


async def test_a_message_is_handled_when_the_inbox_has_committed_and_not_when_its_handler_raises(
    tmp_path: Path,
) -> None:
    seen: list[bytes] = []

    def handler(db: Any, message: Any) -> None:
        seen.append(message.payload)
        if message.payload == b"bad":
            raise ValueError("no")
        if message.payload == b"once" and seen.count(b"once") < 2:
            raise ValueError("not yet")

    async with asyncio.timeout(TIMEOUT_S), Broker(LISTEN) as broker:
        url = broker.addresses[0]
        ledger = Ledger(tmp_path / "far.db", "far")
        client = Client(url, client_id="far", keys=True, clean_session=False, ledger=ledger)
        inbox = Inbox(client, sqlite(sqlite3.connect(tmp_path / "app.db")), tries=2, pause_s=0.001)
        async with client:
            await client.subscribe("t", 2)
            running = asyncio.create_task(inbox.run(handler))
            async with Client(url, client_id="board", keys=True) as board:
                for number, payload in enumerate(("good", "once", "bad")):
                    await board.publish("t", payload, 2, key=("order", number))
            await until(lambda: inbox.dead)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    found = steps(tmp_path / "far.db")
    assert found == {"order/0/0": ["handled"], "order/0/1": ["handled"], "order/0/2": ["ended"]}
    reader = Reader(tmp_path / "far.db")
    assert [times for _, times, _, _ in reader.keys(STEPS.index("handled"))] == [1, 1]
    way = reader.way("order/0/2")
    assert way and way["steps"][-1]["detail"] == "a dead letter"
    reader.close()


async def test_a_ledger_that_is_none_is_refused_by_its_name() -> None:
    with pytest.raises(TypeError, match=r"ledger must be a path, or a mqttlite\.ledger\.Ledger"):
        Client("mqtt://localhost", ledger=7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"ledger must be a path or a mqttlite\.ledger\.Ledger"):
        Broker(LISTEN, ledger=7)  # type: ignore[arg-type]
