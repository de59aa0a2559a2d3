"""A client that still sends when the broker ends its connection: no reset, and nothing of what was written is lost."""

import asyncio
from typing import Any

import pytest

from mqttlite.broker.connections import connection
from mqttlite.core.codec import publish_head
from mqttlite.core.wire4 import encode_connect
from mqttlite.sim.process import Process
from mqttlite.sim.programs import broker
from mqttlite.sim.world import World

PUBLISH = publish_head(2, b"a", 1) + b"\0\1x"
ENDS = {
    "disconnect": encode_connect(b"c", True, 0) + PUBLISH + b"\xe0\0",
    "broken rule": encode_connect(b"c", True, 0) + PUBLISH + b"\xff\0",
    "refused": encode_connect(b"c" * 1000, True, 0),
}
PIECES = 40  # that are sent after the end, 2 ms apart


class Talker(asyncio.Protocol):
    """Sends its last words, and goes on talking; reads nothing before it has done so."""

    def __init__(self, words: bytes) -> None:
        self.words = words
        self.got = b""
        self.ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.pause_reading()
        self.talking = asyncio.create_task(self.talk())

    async def talk(self) -> None:
        self.transport.write(self.words)
        for _ in range(PIECES):
            await asyncio.sleep(0.002)
            self.transport.write(bytes(100))
        self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self.got += data

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set_result(error)


def run(words: bytes, seed: int) -> Talker:
    talkers: list[Talker] = []

    async def client(process: Process) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.1)
        talkers.append((await loop.create_connection(lambda: Talker(words), "broker", 1883))[1])
        await talkers[0].ended

    world = World(seed)
    world.process("broker", broker())
    world.process("client", client)
    try:
        assert world.run_until(lambda: bool(talkers) and talkers[0].ended.done(), 30)
    finally:
        world.close()
    return talkers[0]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("seed", range(3))
def test_the_last_words_arrive_and_nothing_is_reset(end: str, seed: int) -> None:
    talker = run(ENDS[end], seed)
    assert talker.ended.result() is None
    answer = b"\x20\2\0\2" if end == "refused" else b"\x20\2\0\0\x40\2\0\1"
    assert talker.got == answer


def test_a_broker_that_closes_at_once_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def close(ended: Any) -> None:
        ended.transport.close()

    monkeypatch.setattr(connection.Connection, "_linger", close)
    talker = run(ENDS["disconnect"], 0)
    assert isinstance(talker.ended.result(), ConnectionError)
    assert talker.got == b"", "CONNACK and PUBACK were lost with the connection"
