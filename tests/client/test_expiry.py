"""Messages that expire (5.0) while they wait in the client: in its queue, in its store, over a restart."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from mqttlite import ExpiredError, Reconnect
from mqttlite.broker import Broker
from mqttlite.client import Client
from mqttlite.store.sqlite import SqliteStore
from tests.client.network import Proxy
from tests.peers import RUN_TIMEOUT_S, Mosquitto


async def gone(client: Client) -> None:
    """The client has noticed that its connection is."""
    while client.is_connected:
        await client._life.progress.wait()


def url_of(mosquitto: Mosquitto) -> str:
    return f"mqtt://127.0.0.1:{mosquitto.port}"


async def test_what_expires_without_a_connection_ends_on_time_and_the_others_go_on(
    mosquitto: Mosquitto,
) -> None:
    async with Client(url_of(mosquitto), version=5) as reader, Proxy(mosquitto.port) as proxy:
        await reader.subscribe("#", 2)
        async with Client(proxy.url, version=5, client_id="w") as client:
            await proxy.shut()
            await gone(client)
            started = time.monotonic()
            short = await client.publish("a", b"short", 1, expires_after_s=1)
            longer = await client.publish("a", b"long", 1, expires_after_s=100)
            plain = await client.publish("a", b"plain", 1)
            with pytest.raises(ExpiredError, match=r"message \d+ to 'a' expired before it was confirmed"):
                await short
            assert 1 <= time.monotonic() - started < 5
            assert client.expired == 1 and client.unconfirmed() == 2
            await proxy.open()
            await longer
            await plain
        got = [await anext(reader) for _ in range(2)]
        assert [message.payload for message in got] == [b"long", b"plain"]
        assert 90 < got[0].expires_after_s <= 99  # what has passed here is taken off
        assert got[1].expires_after_s is None


async def test_who_waits_for_the_end_of_what_expires_need_not_wait_for_a_connection(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"store": tmp_path / "state.db", "queue_max": 1, "reconnect": Reconnect(60, 60)}
    async with Proxy(mosquitto.port) as proxy, Client(proxy.url, version=5, client_id="w", **options) as client:
        await proxy.shut()
        await gone(client)
        async with asyncio.timeout(RUN_TIMEOUT_S):
            await client.publish("a", expires_after_s=1)
            await client.publish("b", expires_after_s=2)  # waits for room
            assert await client.drain(10 * RUN_TIMEOUT_S)
        assert client.expired == 2
        await client.close()


async def test_an_earlier_deadline_is_not_missed_for_a_later_one(mosquitto: Mosquitto) -> None:
    async with Proxy(mosquitto.port) as proxy, Client(proxy.url, version=5, client_id="w") as client:
        await proxy.shut()
        await gone(client)
        await client.publish("a", expires_after_s=1000)
        receipt = await client.publish("a", expires_after_s=1)
        with pytest.raises(ExpiredError):
            await receipt
        await client.close()
        assert len(asyncio.all_tasks()) <= 2  # this one, and the proxy's: nothing goes on


async def test_a_message_that_waits_for_room_longer_than_it_lives_is_not_accepted(mosquitto: Mosquitto) -> None:
    async with Proxy(mosquitto.port) as proxy, Client(proxy.url, version=5, client_id="w", queue_max=1) as client:
        await proxy.shut()
        await gone(client)
        await client.publish("a", expires_after_s=2)
        with pytest.raises(ExpiredError, match="'b' not accepted: it expired while it waited for room"):
            await client.publish("b", expires_after_s=1)
        assert client.unconfirmed() == 0
        await client.close()


@pytest.mark.parametrize("qos", [1, 2])
async def test_the_time_in_a_store_counts_and_an_identifier_of_qos_2_is_given_back(
    tmp_path: Path, mosquitto: Mosquitto, qos: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.db"
    async with Client(url_of(mosquitto), version=5) as reader:
        await reader.subscribe("#", 2)
        client = await accepted_offline(mosquitto, path)
        await client.publish("old", b"1", qos, expires_after_s=60)
        await client.publish("new", b"2", qos, expires_after_s=600)
        await client.publish("keyed", b"3", qos, key=("pump", 7), expires_after_s=600)
        await client.close()
        set_forward(monkeypatch, 100)
        async with Client(url_of(mosquitto), version=5, client_id="w", store=SqliteStore(str(path))) as client:
            assert client.last_number("pump") == 7
            assert (await client.publish("keyed", b"3", qos, key=("pump", 7))).seq == -1 or client.unconfirmed() == 2
            assert await client.drain()
            assert client.expired == 1 and not client.pending()
            await client.publish("end", b"", qos)
        got = [await anext(reader) for _ in range(3)]
        assert [message.topic for message in got] == ["new", "keyed", "end"]
        assert [495 < (message.expires_after_s or 0) <= 500 for message in got[:2]] == [True, True]


async def accepted_offline(mosquitto: Mosquitto, path: Path) -> Client:
    """A client that accepts and does not send."""
    client = Client(url_of(mosquitto), version=5, client_id="w", store=SqliteStore(str(path)))
    await client.start()
    client._life.protocol.is_connected = False
    client._life.session.out = None
    return client


def set_forward(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """The clock of the next life."""
    real = time.time_ns
    monkeypatch.setattr("mqttlite.client.expiring.time.time_ns", lambda: real() + int(seconds * 1e9))


@pytest.mark.parametrize("seconds", [-(10**9), -3600])
async def test_where_the_clock_was_lost_the_time_begins_anew(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    path = tmp_path / "state.db"
    async with Client(url_of(mosquitto), version=5) as reader:
        await reader.subscribe("#", 1)
        client = await accepted_offline(mosquitto, path)
        await client.publish("a", b"1", 1, expires_after_s=60)
        await client.close()
        with monkeypatch.context() as patch:
            set_forward(patch, seconds)
            async with Client(url_of(mosquitto), version=5, client_id="w", store=SqliteStore(str(path))) as client:
                assert await client.drain()
        assert 55 < ((await anext(reader)).expires_after_s or 0) <= 60


async def test_a_deadline_of_a_clock_that_was_not_set_does_not_end_a_message_later(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.db"
    async with Client(url_of(mosquitto), version=5) as reader:
        await reader.subscribe("#", 1)
        with monkeypatch.context() as patch:
            set_forward(patch, -time.time() + 10)
            client = await accepted_offline(mosquitto, path)
            await client.publish("a", b"1", 1, expires_after_s=60)
            await client.close()
        async with Client(url_of(mosquitto), version=5, client_id="w", store=SqliteStore(str(path))) as client:
            assert await client.drain()
        assert (await anext(reader)).payload == b"1"


async def test_our_broker_ends_it_too_and_gives_on_what_is_left() -> None:
    async with Broker(listen=["mqtt://127.0.0.1:0"]) as broker:
        url = broker.addresses[0]
        async with Client(url, version=5, client_id="r") as reader:
            await reader.subscribe("a", 1)
        async with Client(url, version=5) as client:
            await (await client.publish("a", b"1", expires_after_s=50))
        async with Client(url, version=5, client_id="r") as reader:
            assert 40 < ((await anext(reader)).expires_after_s or 0) <= 50
