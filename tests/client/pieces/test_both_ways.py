"""A payload goes from a source to a sink in pieces, over a real broker, whole and once."""

import array
import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from mqttlite import Client
from mqttlite.broker import Broker
from mqttlite.client.pieces.message import StreamedMessage
from mqttlite.core.errors import StreamError
from tests.peers import RUN_TIMEOUT_S

SIZE = 300_000
DATA = bytes(hashlib.shake_128(b"picture").digest(SIZE))


class Gallery:
    """Takes streams, and keeps what came whole."""

    def __init__(self) -> None:
        self.whole: list[tuple[str, int, bytes]] = []
        self.begun = 0
        self.more = asyncio.Event()

    async def take(self, message: StreamedMessage) -> None:
        self.begun += 1
        pieces = [piece async for piece in message]
        assert sum(map(len, pieces)) == message.size
        self.whole.append((message.topic, message.qos, b"".join(pieces)))
        self.more.set()

    async def wait(self, count: int) -> None:
        async with asyncio.timeout(RUN_TIMEOUT_S):
            while len(self.whole) < count:
                self.more.clear()
                await self.more.wait()


def pieces() -> Iterator[bytes]:
    for at in range(0, SIZE, 999):
        yield DATA[at : at + 999]


async def slow_pieces() -> AsyncIterator[bytes]:
    for piece in pieces():
        await asyncio.sleep(0)
        yield piece


def opened() -> io.BytesIO:
    return io.BytesIO(DATA)


class Again:
    """An asynchronous iterable that begins anew each time."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return slow_pieces()


@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_every_kind_of_source_arrives_as_it_is(broker_url: str, qos: int, version: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(DATA)
    sources: list[tuple[Any, int | None]] = [
        (io.BytesIO(DATA), None), (DATA, None), (pieces, SIZE), (slow_pieces, SIZE), (opened, SIZE), (Again(), SIZE),
    ]  # fmt: skip
    gallery = Gallery()
    options: dict[str, Any] = {"version": version, "stream_max": 1 << 20}
    async with (
        Client(broker_url, client_id="taker", size_max=5000, **options) as taker,
        Client(broker_url, **options) as giver,
    ):
        taking = asyncio.create_task(taker.receive_stream("camera/+", gallery.take, qos))
        await taker.subscribe("camera/+", qos)  # asked for after the other, which has its answer then
        for number, (source, size) in enumerate(sources):
            await giver.publish_stream(f"camera/{number}", source, size, qos)
        with path.open("rb") as file:
            await giver.publish_stream("camera/file", file, qos=qos)
        await giver.publish("camera/small", b"small", qos)
        await gallery.wait(len(sources) + 2)
        taking.cancel()
    assert [payload == DATA for _, _, payload in gallery.whole] == [True] * (len(sources) + 1) + [False]
    assert gallery.whole[-1] == ("camera/small", qos, b"small")
    assert {got for _, got, _ in gallery.whole} == {qos}


@pytest.mark.parametrize("pieces", [["abc", "def"], [b"abc", "def"], [b"abc", 7]])
async def test_a_source_that_gives_no_bytes_ends_its_message_and_not_the_client(
    broker_url: str, pieces: list[Any]
) -> None:
    async with Client(broker_url) as client, asyncio.timeout(RUN_TIMEOUT_S):
        with pytest.raises(StreamError, match=r"its source failed .*TypeError"):
            await client.publish_stream("camera/1", pieces, 6)
        await client.publish("camera/2", b"still here", 1)


async def test_pieces_of_larger_items_are_counted_in_bytes(broker_url: str) -> None:
    numbers = array.array("I", [1, 2, 3])
    gallery = Gallery()
    async with Client(broker_url) as client:
        taking = asyncio.create_task(client.receive_stream("camera/+", gallery.take))
        await client.subscribe("camera/ready")
        for source, size in (([numbers, numbers], 24), (memoryview(numbers), None)):
            await client.publish_stream("camera/1", source, size)
        await gallery.wait(2)
        taking.cancel()
    assert [data for _, _, data in gallery.whole] == [bytes(numbers) * 2, bytes(numbers)]


@pytest.mark.parametrize("topic_filter", ["$queue/pictures/camera/+", "$stream/pictures/camera/+"])
async def test_streams_come_from_a_named_queue_and_from_a_log_too(topic_filter: str) -> None:
    gallery = Gallery()
    async with Broker(["mqtt://127.0.0.1:0"]) as broker, Client(broker.addresses[0], size_max=5000) as client:
        taking = asyncio.create_task(client.receive_stream(topic_filter, gallery.take))
        await client.subscribe("camera-is-ready")
        await client.publish_stream("camera/1", DATA, qos=2)
        await gallery.wait(1)
        taking.cancel()
    assert gallery.whole == [("camera/1", 2, DATA)]
