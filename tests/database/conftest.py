"""Fixtures: the databases that an application may have, PostgreSQL's server among them, and brokers."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from mqttlite.broker import Broker
from mqttlite.client.url import Url
from tests.client.network import server
from tests.database.world import KINDS, Script, World
from tests.peers import Mosquitto


@pytest.fixture(params=KINDS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A database with a table `effects` that handlers write to."""
    if request.param == "sqlite":
        place = tmp_path / "application.db"
        made = World(request.param, place)
        counter = "INTEGER PRIMARY KEY AUTOINCREMENT"
    else:
        running = request.getfixturevalue("postgres")
        schema = f"s{uuid4().hex}"
        place = running.dsn(schema)
        made = World(request.param, place)
        counter = "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
        async with await psycopg.AsyncConnection.connect(place, autocommit=True) as first:
            await first.execute(f"CREATE SCHEMA {schema}")
    database = await made.connect()
    async with database.transaction() as db:
        await database.execute(db, f"CREATE TABLE effects (id {counter}, text text NOT NULL)")
    yield made
    await made.close()


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    """A broker that says what the test says."""
    made = Script()
    async with server(made.serve) as made.url:
        yield made


@pytest.fixture(params=("mosquitto", "mqttlite"))
async def port(request: pytest.FixtureRequest) -> AsyncIterator[int]:
    """The port of a real broker: Mosquitto, and our own in this process."""
    if request.param == "mosquitto":
        mosquitto: Mosquitto = request.getfixturevalue("mosquitto")
        yield mosquitto.port
    else:
        async with Broker(["mqtt://127.0.0.1:0"]) as broker:
            yield Url(broker.addresses[0]).port
