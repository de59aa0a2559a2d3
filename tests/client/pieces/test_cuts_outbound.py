"""A stream that is sent is cut off at each of its bytes, and is sent again, whole, as the same message."""

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest

from mqttlite import Client, Reconnect, StreamError
from tests.client.network import CONNACK, Peer, server
from tests.peers import RUN_TIMEOUT_S

PAYLOAD = bytes(range(150))
PRESENT = b"\x20\x02\x01\x00"
QUICK = Reconnect(least_s=0.001, greatest_s=0.01)


async def read_packet(peer: Peer) -> bytes:
    head = await peer.reader.readexactly(2)
    size = head[1] & 127
    if head[1] > 127:
        more = await peer.reader.readexactly(1)
        head += more
        size |= more[0] << 7
    return head + await peer.reader.readexactly(size)


class Cutting:
    """A server that reads `cut` bytes of the first PUBLISH and closes; then it takes everything."""

    def __init__(self, cut: int, qos: int) -> None:
        self.cut = cut
        self.qos = qos
        self.connections = 0
        self.packets: list[bytes] = []

    async def play(self, peer: Peer) -> None:
        await read_packet(peer)
        self.connections += 1
        await peer.say(CONNACK if self.connections == 1 else PRESENT)
        if self.connections == 1:
            await peer.reader.readexactly(self.cut)
            return
        while True:
            try:
                packet = await read_packet(peer)
            except asyncio.IncompleteReadError:
                return
            kind = packet[0] >> 4
            if kind == 14:
                return
            self.packets.append(packet)
            at = 4 + (packet[2] << 8 | packet[3]) if packet[1] < 128 else 5 + (packet[3] << 8 | packet[4])
            if kind == 3 and self.qos == 1:
                await peer.say(b"\x40\x02" + packet[at : at + 2])
            elif kind == 3:
                await peer.say(b"\x50\x02" + packet[at : at + 2])
            elif kind == 6:
                await peer.say(b"\x70\x02" + packet[2:4])


@pytest.mark.parametrize("qos", [1, 2])
async def test_one_that_is_cut_off_anywhere_is_sent_again_whole_with_dup(qos: int) -> None:
    size = 3 + 2 + 1 + 2 + len(PAYLOAD)
    for cut in range(1, size + 1):
        cutting = Cutting(cut, qos)
        async with server(cutting.play) as url, Client(url, client_id="me", reconnect=QUICK) as client:
            async with asyncio.timeout(RUN_TIMEOUT_S):
                await client.publish_stream("c", io.BytesIO(PAYLOAD), qos=qos)
        [packet, *others] = cutting.packets
        assert packet[0] == 0x38 | qos << 1 and packet[8:] == PAYLOAD, cut
        assert [other[0] >> 4 for other in others] == [6] * (qos == 2)


class Broken(io.RawIOBase):
    """A file that goes wrong after `good` bytes: `how`."""

    def __init__(self, good: int, how: str) -> None:
        self.good, self.how, self.at = good, how, 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return 0

    def seek(self, at: int, whence: int = 0) -> int:
        self.at = 0
        return 0

    async def read(self, count: int = -1) -> bytes:  # type: ignore[override]
        data = PAYLOAD[self.at : min(self.at + 10, self.good)]
        self.at += len(data)
        if data:
            return data
        if self.how == "raises":
            raise RuntimeError("the camera is unplugged")
        if self.how == "hangs":
            await asyncio.sleep(3600)
        if self.how == "too much":
            return bytes(1000)
        return b""


@pytest.mark.parametrize("how", ["raises", "hangs", "too much", "ends"])
@pytest.mark.parametrize("good", [0, 30])
async def test_a_source_that_fails_ends_its_message_alone(broker_url: str, how: str, good: int, caplog: Any) -> None:
    async with Client(broker_url, client_id="giver", reconnect=QUICK) as client:
        await client.subscribe("#", 1)
        with pytest.raises(StreamError, match=f"'picture' is given up: its source .* after {good} of 150 bytes"):
            await client.publish_stream("picture", Broken(good, how), len(PAYLOAD), timeout_s=0.1)
        await (await client.publish("after", b"it goes on"))
        async with asyncio.timeout(RUN_TIMEOUT_S):
            message = await anext(client)
        assert message.topic == "after"
    ended = [record for record in caplog.records if "given up" in record.message and record.name == "mqttlite.client"]
    assert len(ended) == (good > 0)  # the first piece costs nobody anything


async def test_what_is_published_meanwhile_arrives_behind_it(broker_url: str) -> None:
    begun = asyncio.Event()

    async def slow() -> Any:
        for at in range(0, 150, 10):
            await asyncio.sleep(0.01)
            if at > 10:  # two pieces have been asked for, and the second only of what is being written
                begun.set()
            yield PAYLOAD[at : at + 10]

    async with Client(broker_url, client_id="giver") as client:
        await client.subscribe("#", 1)
        stream = asyncio.create_task(client.publish_stream("picture", slow, 150, 1))
        await begun.wait()
        for number in range(5):
            await client.publish(f"reading/{number}", b"21", number % 2)
        topics = [(await anext(client)).topic for _ in range(6)]
        await stream
    assert topics == ["picture", *[f"reading/{number}" for number in range(5)]]


async def endless(begun: asyncio.Event) -> Any:
    """Two pieces, and then none for an hour."""
    yield bytes(10)
    yield bytes(10)
    begun.set()
    await asyncio.sleep(3600)


async def test_cancelled_in_its_middle_it_costs_the_connection_and_before_that_nothing(broker_url: str) -> None:
    begun = asyncio.Event()
    async with Client(broker_url, client_id="giver", reconnect=QUICK) as client:
        await client.subscribe("#", 2)
        stream = asyncio.create_task(client.publish_stream("picture", lambda: endless(begun), 150, 2))
        await begun.wait()
        waiting = asyncio.create_task(client.publish_stream("second", PAYLOAD, qos=2))
        await asyncio.sleep(0.01)
        waiting.cancel()
        stream.cancel()
        await asyncio.wait([stream, waiting])
        await (await client.publish("after", b"", 2))
        async with asyncio.timeout(RUN_TIMEOUT_S):
            assert (await anext(client)).topic == "after"
        assert client.unconfirmed() == 0


def copy_files(folder: Path) -> None:
    for part in folder.glob("state.db*"):
        (folder / part.name.replace("state", "copy")).write_bytes(part.read_bytes())


async def test_a_program_that_ends_in_the_middle_leaves_a_store_that_goes_on(broker_url: str, tmp_path: Path) -> None:
    begun = asyncio.Event()
    store = tmp_path / "state.db"
    client = Client(broker_url, client_id="giver", store=store)
    await client.start()
    before = await client.publish("before", b"", 2)
    await before
    stream = asyncio.create_task(client.publish_stream("picture", lambda: endless(begun), 150, 2))
    await begun.wait()
    copy = tmp_path / "copy.db"  # what a kill leaves
    copy_files(tmp_path)
    await client.close()
    with pytest.raises(Exception, match="closed"):
        await stream
    for path in (copy, store):
        async with Client(broker_url, client_id="giver", store=path) as again:
            receipt = await again.publish("after", b"", 2)
            assert receipt.seq > before.seq
            await receipt
            assert await again.drain()
            assert again.pending() == []
