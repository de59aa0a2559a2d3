"""A connection that ends in the middle of a stream, while other messages and streams go both ways: whatever wrote to it
or read from it ends with it, the next one is used, and nothing is lost or comes twice.
"""

import asyncio
import hashlib
import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mqttlite import Client, Receipt, Reconnect, SetAsideError
from mqttlite.broker import Broker
from mqttlite.client.pieces.message import StreamedMessage
from tests.client.network import Proxy, server
from tests.client.pieces.test_cuts_outbound import PAYLOAD, Cutting
from tests.peers import RUN_TIMEOUT_S

QUICK = Reconnect(least_s=0.001, greatest_s=0.05)
SIZE = 200_000
DATA = bytes(hashlib.shake_128(b"both ways").digest(SIZE))


class Arrivals(list[Any]):
    """What has arrived."""

    def __init__(self) -> None:
        super().__init__()
        self._more = asyncio.Event()

    def append(self, item: Any) -> None:
        super().append(item)
        self._more.set()

    async def until(self, is_all: Callable[[], bool]) -> None:
        while not is_all():
            self._more.clear()
            await self._more.wait()


class Stubborn:
    """A file whose read gives bytes when it is cancelled, as `wait_for` of Python 3.11 does when they come together."""

    def __init__(self) -> None:
        self.at = 0
        self.waits = True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return 0

    def seek(self, at: int, whence: int = 0) -> int:
        self.at = at
        return at

    async def read(self, count: int) -> bytes:
        data = PAYLOAD[self.at : self.at + 50]
        self.at += len(data)
        if self.at == len(PAYLOAD) and self.waits:
            self.waits = False
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                return data
        return data


@pytest.mark.parametrize("qos", [1, 2])
async def test_a_source_that_swallows_the_end_of_its_connection_writes_nothing_more(
    qos: int, caplog: pytest.LogCaptureFixture
) -> None:
    cutting = Cutting(100, qos)
    async with server(cutting.play) as url, Client(url, client_id="me", reconnect=QUICK) as client:
        async with asyncio.timeout(RUN_TIMEOUT_S):
            stream = asyncio.create_task(client.publish_stream("c", Stubborn(), len(PAYLOAD), qos=qos))
            beats = [await client.publish("b", b"%d" % number, qos) for number in range(3)]
            await stream
            for beat in beats:
                await beat
    published = [packet for packet in cutting.packets if packet[0] >> 4 == 3]
    assert [packet[8:] for packet in published if len(packet) > 100] == [PAYLOAD]
    assert cutting.connections == 2
    assert "exception" not in caplog.text


@pytest.mark.parametrize("qos", [1, 2])
async def test_one_that_the_broker_never_takes_is_given_up_and_all_else_arrives(
    qos: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "picture"  # read by another thread, so that its bytes come at any time
    path.write_bytes(bytes(3_000_000))
    beats = Arrivals()
    pictures = Arrivals()

    async def take(message: StreamedMessage) -> None:
        pictures.append(b"".join([piece async for piece in message]))

    async def listen(client: Client) -> None:
        async for message in client:
            beats.append(message.payload)

    caplog.set_level(logging.WARNING, "asyncio")
    async with (
        Broker(["mqtt://127.0.0.1:0"]) as broker,
        Client(broker.addresses[0]) as other,
        Client(broker.addresses[0], client_id="camera", stream_max=1 << 20) as camera,
        asyncio.timeout(RUN_TIMEOUT_S),
    ):
        await other.subscribe("beat", 2)
        listening = asyncio.create_task(listen(other))
        taking = asyncio.create_task(camera.receive_stream("to/camera", take, 2))
        await camera.subscribe("to/camera", 2)
        with path.open("rb") as file:
            stream = asyncio.create_task(camera.publish_stream("picture", file, qos=qos))
            receipts: list[Receipt] = []
            while not stream.done():
                if len(receipts) < 40:
                    receipts.append(await camera.publish("beat", b"%d" % len(receipts), qos))
                if len(receipts) % 10 == 0:
                    await other.publish_stream("to/camera", DATA, qos=2)
                await asyncio.sleep(0.02)
            with pytest.raises(SetAsideError):
                await stream
        for receipt in receipts:
            await receipt
        await (await camera.publish("beat", b"last", qos))
        await beats.until(lambda: beats[-1:] == [b"last"])
        assert beats == [b"%d" % number for number in range(len(receipts))] + [b"last"]
        assert pictures and set(pictures) == {DATA}
        listening.cancel()
        taking.cancel()
    assert not [record for record in caplog.records if record.name == "asyncio"]


@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
@pytest.mark.parametrize("qos", [1, 2])
async def test_cut_at_random_places_everything_is_confirmed_and_arrives(qos: int, version: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(DATA)
    for seed in range(4):
        await cut_at_random(qos, version, path, seed)


async def cut_at_random(qos: int, version: str, path: Path, seed: int) -> None:
    arrived = Arrivals()
    pictures = Arrivals()

    async def take(message: StreamedMessage) -> None:
        assert b"".join([piece async for piece in message]) == DATA
        pictures.append(message.topic)

    async def listen(client: Client) -> None:
        async for message in client:
            arrived.append((message.topic, message.payload))

    options: dict[str, Any] = {"version": version, "stream_max": 1 << 20, "reconnect": QUICK}
    async with (
        Broker(["mqtt://127.0.0.1:0"]) as broker,
        Proxy(int(broker.addresses[0].rsplit(":", 1)[1]), seed, cuts=6, longest=500_000) as proxy,
        Client(broker.addresses[0], version=version, stream_max=1 << 20) as other,
        Client(proxy.url, client_id="camera", **options, retry_first=True) as camera,
        asyncio.timeout(RUN_TIMEOUT_S),
    ):
        await other.subscribe("beat", 2)
        listening = asyncio.create_task(listen(other))
        takings = [
            asyncio.create_task(client.receive_stream(topic_filter, take, 2))
            for client, topic_filter in ((other, "from/+"), (camera, "to/+"))
        ]
        await other.subscribe("from/+", 2)
        await camera.subscribe("to/+", 2)

        async def send(client: Client, where: str) -> None:
            for number in range(4):
                with path.open("rb") as file:
                    source: Any = file if number % 2 else io.BytesIO(DATA)
                    await client.publish_stream(f"{where}/{number}", source, qos=qos)

        streams = asyncio.gather(send(camera, "from"), send(other, "to"))
        receipts: list[Receipt] = []
        while not streams.done():
            if len(receipts) < 200:
                receipts.append(await camera.publish("beat", b"%d" % len(receipts), qos))
            await asyncio.sleep(0.002)
        await streams
        for receipt in receipts:
            await receipt
        expected = {f"{where}/{number}" for where in ("from", "to") for number in range(4)}
        beats = {("beat", b"%d" % number) for number in range(len(receipts))}
        await pictures.until(lambda: set(pictures) == expected)
        await arrived.until(lambda: set(arrived) == beats)
        assert proxy.connections > 1
        if qos == 2:
            assert len(pictures) == len(expected) and len(arrived) == len(beats)
        for task in (listening, *takings):
            task.cancel()
