"""Idempotency keys of messages in pieces, and messages that come before anybody takes them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mqttlite import Client
from mqttlite.broker import Broker
from mqttlite.client.pieces import inflow
from mqttlite.core.session import HELD
from tests.client.pieces.test_both_ways import Gallery
from tests.peers import RUN_TIMEOUT_S

DATA = bytes(range(256)) * 40
VERSIONS = pytest.mark.parametrize("version", ["3.1.1", "5.0"])


class KeyedGallery(Gallery):
    """And with which keys."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[Any] = []

    async def take(self, message: Any) -> None:
        self.keys.append(message.key)
        await super().take(message)


def taker_of(broker: Broker, version: str, **options: Any) -> Client:
    return Client(broker.addresses[0], client_id="taker", version=version, size_max=2000, stream_max=1 << 20, **options)


@VERSIONS
@pytest.mark.parametrize("size", [20, len(DATA)])  # one that is taken whole, one in pieces
async def test_what_is_published_anew_with_its_key_is_handled_once(version: str, size: int, tmp_path: Path) -> None:
    gallery = KeyedGallery()
    options: dict[str, Any] = {"keys": True, "store": tmp_path / "taker.db"}
    async with Broker(["mqtt://127.0.0.1:0"]) as broker, asyncio.timeout(RUN_TIMEOUT_S):
        for _ in range(2):  # another life of the taker knows it, too
            async with taker_of(broker, version, **options) as taker:
                taking = asyncio.create_task(taker.receive_stream("camera/+", gallery.take))
                await taker.subscribe("camera/ready")
                for _ in range(2):  # another life of the giver
                    async with Client(broker.addresses[0], client_id="giver", version=version) as giver:
                        await giver.publish_stream("camera/1", DATA[:size], qos=2, key=("camera", 7))
                        await giver.publish_stream("camera/2", DATA[:size], qos=1)
                while taker.statistics().received.total < 4 or len(gallery.whole) % 2 == 0:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                taking.cancel()
    assert gallery.keys == [("camera", 0, 7), None, None, None, None]
    assert [data for _, _, data in gallery.whole] == [DATA[:size]] * 5


@VERSIONS
async def test_a_client_with_keys_gives_each_stream_one(version: str) -> None:
    gallery = KeyedGallery()
    async with (
        asyncio.timeout(RUN_TIMEOUT_S),
        Broker(["mqtt://127.0.0.1:0"]) as broker,
        taker_of(broker, version, keys=True) as taker,
    ):
        taking = asyncio.create_task(taker.receive_stream("camera/+", gallery.take))
        await taker.subscribe("camera/ready")
        await taker.publish_stream("camera/1", DATA, qos=2)
        await taker.publish_stream("camera/0", DATA, qos=0)
        await gallery.wait(2)
        taking.cancel()
    numbers = [key[2] for key in gallery.keys if key]
    assert [key is None for key in gallery.keys] == [False, True]
    assert numbers == sorted(numbers)
    with pytest.raises(ValueError, match="idempotency key"):
        async with Broker(["mqtt://127.0.0.1:0"]) as broker, Client(broker.addresses[0], version=version) as giver:
            await giver.publish_stream("camera/1", DATA, qos=1, key=("", 1))


@VERSIONS
async def test_what_the_broker_kept_comes_to_whoever_calls_receive_stream_after_the_start(version: str) -> None:
    gallery = Gallery()
    async with Broker(["mqtt://127.0.0.1:0"]) as broker, asyncio.timeout(RUN_TIMEOUT_S):
        async with taker_of(broker, version) as taker:
            await taker.subscribe("camera/+", 2)
        async with Client(broker.addresses[0], version=version) as giver:
            for number, data in enumerate((DATA, b"small", DATA[:-1])):
                await giver.publish_stream(f"camera/{number}", data, qos=2)
        async with taker_of(broker, version) as taker:
            while taker._incoming.waiting() < 1:  # type: ignore[attr-defined]  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            taking = asyncio.create_task(taker.receive_stream("camera/+", gallery.take))
            await gallery.wait(3)
            taking.cancel()
            assert taker.oversized == 0
    assert sorted(gallery.whole) == [("camera/0", 2, DATA), ("camera/1", 2, b"small"), ("camera/2", 2, DATA[:-1])]


async def all_acknowledged(taker: Client) -> None:
    async with asyncio.timeout(RUN_TIMEOUT_S):
        while any(value & 15 != HELD for value in taker._life.session.inbound.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@VERSIONS
async def test_receive_stream_called_late_holds_no_acknowledgement_of_a_subscription_back(version: str) -> None:
    gallery = Gallery()
    async with (
        asyncio.timeout(RUN_TIMEOUT_S),
        Broker(["mqtt://127.0.0.1:0"]) as broker,
        Client(broker.addresses[0], client_id="giver", version=version) as giver,
        taker_of(broker, version) as taker,
        taker.subscription("room/+") as messages,
    ):
        await taker.subscribe("camera/+", 2)
        for qos in (1, 2, 0):
            await giver.publish(f"camera/{qos}", b"small", qos)
        while taker._incoming.waiting() < 3:  # type: ignore[attr-defined]  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        taking = asyncio.create_task(taker.receive_stream("camera/+", gallery.take))
        await gallery.wait(3)
        await giver.publish("room/1", b"", 1)
        assert (await anext(messages)).topic == "room/1"
        messages.handled()
        await all_acknowledged(taker)
        taking.cancel()
    assert [topic for topic, _, _ in gallery.whole] == ["camera/1", "camera/2", "camera/0"]


@VERSIONS
@pytest.mark.parametrize("size", [20, len(DATA)])
async def test_a_stream_that_comes_again_is_acknowledged_beside_a_subscription(version: str, size: int) -> None:
    gallery = KeyedGallery()
    async with (
        asyncio.timeout(RUN_TIMEOUT_S),
        Broker(["mqtt://127.0.0.1:0"]) as broker,
        Client(broker.addresses[0], client_id="giver", version=version) as giver,
        taker_of(broker, version, keys=True) as taker,
        taker.subscription("room/+") as messages,
    ):
        taking = asyncio.create_task(taker.receive_stream("camera/+", gallery.take))
        await taker.subscribe("camera/ready")
        await giver.publish("room/1", b"", 1)
        assert (await anext(messages)).topic == "room/1"
        for number in (7, 7, 7, 8):  # their turn is behind that message
            await giver.publish_stream("camera/1", DATA[:size], qos=2, key=("camera", number))
        await gallery.wait(2)
        assert [key[2] for key in gallery.keys] == [7, 8]
        messages.handled()
        await all_acknowledged(taker)
        for number in (8, 9):  # what was acknowledged is known, too
            await giver.publish_stream("camera/1", DATA[:size], qos=1, key=("camera", number))
        await gallery.wait(3)
        await all_acknowledged(taker)
        taking.cancel()
    assert [key[2] for key in gallery.keys] == [7, 8, 9]


async def test_a_session_that_is_kept_has_to_say_how_much_it_takes(broker_url: str) -> None:
    async with Client(broker_url, client_id="taker") as taker:
        with pytest.raises(ValueError, match="stream_max"):
            await taker.receive_stream("camera/+", Gallery().take)


async def test_small_messages_that_come_after_a_quiet_hour_leave_their_sink_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gallery = Gallery()
    may_take = asyncio.Event()
    looks = 0

    def clock() -> int:
        nonlocal looks
        looks += 1
        return 3_600_000

    async def take(message: Any) -> None:
        await may_take.wait()
        await gallery.take(message)

    monkeypatch.setattr(inflow, "now_ms", clock)
    monkeypatch.setattr(inflow, "LOOK_S", 0.01)
    async with (
        asyncio.timeout(RUN_TIMEOUT_S),
        Broker(["mqtt://127.0.0.1:0"]) as broker,
        Client(broker.addresses[0]) as giver,
        Client(broker.addresses[0]) as taker,
    ):
        taking = asyncio.create_task(taker.receive_stream("camera/+", take))
        await taker.subscribe("camera/+", 2)
        for number in range(20):
            await giver.publish(f"camera/{number}", bytes(60_000), 1)
        while not (taker._connector.inflow and taker._connector.inflow.is_full()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        looks = 0
        while looks < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        may_take.set()
        await gallery.wait(20)
        assert taker._connector.connections == 1
        taking.cancel()
