"""A message that takes longer on a slow line than 1.5 times the keep alive gets through."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from mqttlite.broker import Broker
from mqttlite.client import Client, connector
from mqttlite.core.connection import BYTE_MS
from mqttlite.core.errors import ProtocolError
from mqttlite.core.server import ServerConnection
from mqttlite.core.session import Session
from tests.client.network import CONNACK, Peer, server
from tests.core import ends
from tests.peers import RUN_TIMEOUT_S, free_port

STEP_S = 0.05


@contextlib.asynccontextmanager
async def slow_line(port: int, step: int) -> AsyncIterator[str]:
    """A line to `port` that carries `step` bytes each STEP_S towards it; yields its URL."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_slow: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(step if is_slow else 65536):
                writer.write(data)
                if is_slow:
                    await asyncio.sleep(STEP_S)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, there_writer, True), pump(there_reader, writer, False))

    own = free_port()
    listener = await asyncio.start_server(serve, "127.0.0.1", own)
    yield f"mqtt://127.0.0.1:{own}"
    listener.close()


async def test_our_broker_counts_the_bytes_of_a_packet_as_they_come() -> None:
    port = free_port()
    events = []
    async with (
        Broker([f"mqtt://127.0.0.1:{port}"]),
        slow_line(port, 500) as url,
        Client(url, keep_alive_s=1, on_connection=lambda *event: events.append(event)) as client,
    ):
        receipt = await client.publish("photo", bytes(25_000))  # 2.5 s
        await asyncio.wait_for(receipt.completed(), RUN_TIMEOUT_S)
    assert len(events) == 1


def connected_server(keep_alive_s: int) -> ServerConnection:
    app = ends.Application(keep_alive_s=keep_alive_s)
    app.client.connect(0)
    connection = ServerConnection(ends.Broker(), 0, 100_000)
    connection.receive(b"".join(app.client.out), 0)
    assert isinstance(connection.session, Session)
    return connection


@pytest.mark.parametrize(("bytes_a_second", "lives"), [(2000 // BYTE_MS, True), (500 // BYTE_MS, False), (1, False)])
def test_a_byte_now_and_then_does_not_count_as_progress(bytes_a_second: int, lives: bool) -> None:
    connection = connected_server(10)
    connection.receive(b"\x32\x80\x80\x04\0\1t", 0)
    now = 0
    ended = False
    for _ in range(60):
        now += 1000
        try:
            connection.tick(now)
        except ProtocolError as error:
            assert error.rule == "MQTT-3.1.2-24"
            ended = True
            break
        connection.receive(bytes(bytes_a_second), now)
    assert ended != lives


async def test_a_broker_that_counts_whole_packets_is_asked_to_wait_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Mosquitto does: a client that has sent no whole packet for 1.5 times its keep alive is gone."""
    monkeypatch.setattr(connector, "DELAY_MS", 16)
    keep_alives = []
    events = []

    async def broker(peer: Peer) -> None:
        keep_alive_s = int.from_bytes((await peer.packet())[10:12], "big")
        keep_alives.append(keep_alive_s)
        await peer.say(CONNACK)
        with contextlib.suppress(TimeoutError, EOFError):
            while True:
                async with asyncio.timeout(1.5 * keep_alive_s):
                    first = await peer.reader.readexactly(1)
                    left = shift = 0
                    byte = 128
                    while byte > 127:
                        byte = (await peer.reader.readexactly(1))[0]
                        left |= (byte & 127) << shift
                        shift += 7
                    while left > 0:
                        left -= len(await peer.reader.read(min(left, 500)))
                        if first[0] & 0xF0 == 0x30:
                            await asyncio.sleep(STEP_S)
                if first[0] & 0xF0 == 0x30:
                    await peer.say(b"\x40\2" + identifier)
                elif first == b"\xc0":
                    await peer.say(b"\xd0\0")

    identifier = b""
    async with server(broker) as url:
        client = Client(url, keep_alive_s=1, on_connection=lambda *event: events.append(event))
        async with client:
            receipt = await client.publish("photo", bytes(16_000))  # 1.6 s and more
            identifier = (receipt.seq % 65535 + 1).to_bytes(2, "big")
            await asyncio.wait_for(receipt.completed(), RUN_TIMEOUT_S)
    assert keep_alives == [1, 4]
    assert "longer than the broker waits" in events[1][1]
