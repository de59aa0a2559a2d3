"""A payload goes from a source to a sink in pieces, over a real broker, whole and once."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from mqttlite import Client
from mqttlite.client.pieces.message import StreamedMessage
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
