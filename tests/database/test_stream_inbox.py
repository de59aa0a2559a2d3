"""A stream of the broker, handled exactly once into a database: whatever dies, and whatever the broker has lost."""

import asyncio
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from mqttlite import Client
from mqttlite.broker import Broker
from mqttlite.client.messages import Message
from mqttlite.client.streams import place_of
from mqttlite.database import DatabaseError, StreamInbox, sqlite
from tests.broker.raw import TIMEOUT_S
from tests.peers import free_port

LISTEN = "mqtt://127.0.0.1:"


def client_of(port: int, name: str, **more: Any) -> Client:
    return Client(f"{LISTEN}{port}", version="5.0", client_id=name, retry_first=True, **more)


async def publish(port: int, count: int, start: int = 0) -> None:
    async with client_of(port, "producer") as client:
        for number in range(start, start + count):
            await (await client.publish("in/a", str(number), qos=1))


class Ledger:
    """What the handler has written, in the file `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = sqlite3.connect(path)
        self.connection.execute("CREATE TABLE IF NOT EXISTS effect (number INTEGER)")
        self.connection.commit()
        self.reached = asyncio.Event()
        self.count = 0
        self.until = 1 << 30
        self.fails: set[int] = set()

    def handle(self, db: sqlite3.Connection, message: Message) -> None:
        if self.count >= self.until:
            raise asyncio.CancelledError  # its life is over, however much is there already
        number = int(message.payload)
        db.execute("INSERT INTO effect VALUES (?)", (number,))
        if number in self.fails:
            raise ValueError(f"cannot handle {number}")
        self.count += 1
        if self.count >= self.until:
            self.reached.set()

    @property
    def effects(self) -> list[int]:
        return [number for (number,) in self.connection.execute("SELECT number FROM effect ORDER BY rowid")]

    def reader(self, client: Client, **more: Any) -> StreamInbox:
        return StreamInbox(client, sqlite(self.connection), "log", "in/#", pause_s=0.01, **more)


async def life(ledger: Ledger, port: int, until: int, **more: Any) -> StreamInbox:
    """Handle until so many messages have been, then die without a word."""
    ledger.until, ledger.count = until, 0
    ledger.reached = asyncio.Event()
    client = client_of(port, "reader", **more)
    reader = ledger.reader(client)
    async with client:
        running = asyncio.create_task(reader.run(ledger.handle))
        await asyncio.wait([running, asyncio.create_task(ledger.reached.wait())], return_when=asyncio.FIRST_COMPLETED)
        running.cancel()
        results = await asyncio.gather(running, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError), results
    return reader


@pytest.mark.parametrize("clean", [True, False], ids=["clean session", "kept session"])
async def test_each_message_has_its_effect_once_over_many_lives_of_reader_and_broker(
    tmp_path: Path, clean: bool
) -> None:
    chance = random.Random(7)
    port = free_port()
    ledger = Ledger(tmp_path / "ledger.db")
    async with asyncio.timeout(TIMEOUT_S):
        done = 0
        async with Broker([f"{LISTEN}{port}"], store=tmp_path / "broker.db"):
            async with client_of(port, "first") as first:
                await first.subscribe("$stream/log/in/#", 1)
            await publish(port, 60)
        while done < 60:
            async with Broker([f"{LISTEN}{port}"], store=tmp_path / "broker.db"):
                for _ in range(2):
                    step = min(60 - done, chance.randint(1, 15))
                    if step:
                        await life(ledger, port, step, clean_session=clean)
                        done = len(ledger.effects)
    assert ledger.effects == list(range(60))


async def test_it_begins_anew_when_the_broker_has_lost_its_log(tmp_path: Path) -> None:
    port = free_port()
    ledger = Ledger(tmp_path / "ledger.db")
    async with asyncio.timeout(TIMEOUT_S):
        for start in (0, 100):
            async with Broker([f"{LISTEN}{port}"]):  # in memory
                async with client_of(port, "first") as first:
                    await first.subscribe("$stream/log/in/#", 1)
                await publish(port, 3, start)
                await life(ledger, port, 3)
    assert ledger.effects == [0, 1, 2, 100, 101, 102]


async def test_a_database_from_a_backup_gets_again_what_it_has_not(tmp_path: Path) -> None:
    """Although the session of the client has more behind it, and something under way."""
    port = free_port()
    ledger = Ledger(tmp_path / "ledger.db")
    async with asyncio.timeout(TIMEOUT_S), Broker([f"{LISTEN}{port}"]):
        async with client_of(port, "first") as first:
            await first.subscribe("$stream/log/in/#", 1)
        await publish(port, 40)
        await life(ledger, port, 5, clean_session=False)
        backup = sqlite3.connect(tmp_path / "backup.db")
        ledger.connection.backup(backup)
        backup.close()
        await life(ledger, port, 10, clean_session=False)
        assert ledger.effects == list(range(len(ledger.effects)))
        restored = Ledger(tmp_path / "backup.db")
        assert len(restored.effects) < len(ledger.effects) < 40
        await life(restored, port, 40 - len(restored.effects), clean_session=False)
    assert restored.effects == list(range(40))


async def test_a_message_that_cannot_be_handled_is_put_aside_and_does_not_come_back(tmp_path: Path) -> None:
    port = free_port()
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.fails = {1}
    async with asyncio.timeout(TIMEOUT_S), Broker([f"{LISTEN}{port}"]):
        async with client_of(port, "first") as first:
            await first.subscribe("$stream/log/in/#", 1)
        await publish(port, 3)
        reader = await life(ledger, port, 2)
        assert (reader.handled, reader.dead) == (2, 1)
    assert ledger.effects == [0, 2]
    [(source, payload, error)] = ledger.connection.execute("SELECT source, payload, error FROM mqttlite_dead")
    assert (source, payload) == ("stream log, reader reader", b"1")
    assert error == "ValueError: cannot handle 1"


async def test_of_two_readers_with_one_name_one_ends(tmp_path: Path) -> None:
    port = free_port()
    ledger = Ledger(tmp_path / "ledger.db")
    async with (
        asyncio.timeout(TIMEOUT_S),
        Broker([f"{LISTEN}{port}"]),
        client_of(port, "one") as one,
        client_of(port, "two") as two,
    ):
        await one.subscribe("$stream/log/in/#", 1)
        both = [asyncio.create_task(Ledger(ledger.path).reader(each).run(ledger.handle)) for each in (one, two)]
        number = 0
        while not any(task.done() for task in both):
            await publish(port, 1, number)
            number += 1
        [error] = [task.exception() for task in both if task.done()]
        assert isinstance(error, DatabaseError)
        assert "give each a name of its own" in str(error)
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
    assert ledger.effects == sorted(set(ledger.effects))


async def test_without_a_database_a_stream_is_iterated() -> None:
    port = free_port()
    async with asyncio.timeout(TIMEOUT_S), Broker([f"{LISTEN}{port}"]):
        async with client_of(port, "first") as first:
            await first.subscribe("$stream/log/in/#", 1)
        await publish(port, 5)
        async with client_of(port, "reader") as client, client.stream("log", "in/#", from_=2) as messages:
            found = []
            async for message in messages:
                place = place_of(message)
                assert place
                found.append((place.offset, int(message.payload)))
                if len(found) == 3:
                    break
        async with Client(f"{LISTEN}{port}", client_id="old") as old, old.stream("log", from_="earliest") as messages:
            async for message in messages:
                assert (message.payload, place_of(message)) == (b"0", None)
                break
    assert found == [(2, 2), (3, 3), (4, 4)]


@pytest.mark.parametrize("start", ["soon", -1, True])
def test_a_start_that_is_none_is_refused(start: Any) -> None:
    client = Client("mqtt://localhost", client_id="c")
    with pytest.raises((ValueError, TypeError), match="from_"):
        client.stream("log", from_=start)


def test_offsets_need_5_0() -> None:
    with pytest.raises(ValueError, match=r'version="5.0"'):
        StreamInbox(Client("mqtt://localhost", client_id="c"), sqlite(":memory:"), "log")
