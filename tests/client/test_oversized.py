"""A message larger than a client takes, retained or queued: it passes, and what is behind it arrives."""

import asyncio
import logging

import pytest

from mqttlite.client import Client
from tests.client.network import CONNACK, Peer, server
from tests.peers import RUN_TIMEOUT_S, MicroPython, Mosquitto, mosquitto_pub
from tests.runtimes import ROOT, micropython_argv, micropython_env

BOARD = """
import asyncio
from mqttlite.client import Client

def told(topic, size):
    print("told", topic, size)

async def main():
    url = %r
    async with Client(url, client_id="board", clean_session=False, on_oversized=told) as client:
        await client.subscribe("command/#", 2)
        await client.publish("ready")
        async for message in client:
            print(message.topic, message.payload, client.oversized)
            if message.payload == b"stop":
                break

asyncio.run(main())
"""


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_large_retained_message_does_not_silence_a_subscriber(
    mosquitto: Mosquitto, qos: int, caplog: pytest.LogCaptureFixture
) -> None:
    await mosquitto_pub(mosquitto.port, "-t", "cam/snapshot", "-r", "-q", "2", "-s", stdin=bytes(30_000))
    await mosquitto_pub(mosquitto.port, "-t", "temp", "-r", "-q", "2", "-m", "21")
    told = []
    is_told = asyncio.Event()

    def tell(topic: str, size: int) -> None:
        told.append((topic, size))
        is_told.set()

    async with Client(mosquitto.url, size_max=4096, on_oversized=tell) as client:
        await client.subscribe("#", qos)
        message = await anext(client)
        assert (message.topic, message.payload) == ("temp", b"21")
        await asyncio.wait_for(is_told.wait(), RUN_TIMEOUT_S)
        assert client.oversized == 1
    [(topic, size)] = told
    assert topic == "cam/snapshot"
    assert size == 30_014 + (2 if qos else 0)
    assert "to 'cam/snapshot' is larger than size_max=4096" in caplog.text


@pytest.mark.parametrize("qos", [1, 2])
async def test_a_queued_one_is_acknowledged_once_and_never_comes_again(mosquitto: Mosquitto, qos: int) -> None:
    options = {"client_id": "late", "clean_session": False, "size_max": 4096}
    async with Client(mosquitto.url, **options) as client:  # type: ignore[arg-type]
        await client.subscribe("#", 2)
    for payload in (b"before", bytes(5000), b"after"):
        await mosquitto_pub(mosquitto.port, "-t", "t", "-q", str(qos), "-s", stdin=payload)
    async with Client(mosquitto.url, **options) as client:  # type: ignore[arg-type]
        assert [(await anext(client)).payload for _ in range(2)] == [b"before", b"after"]
        assert client.oversized == 1
    async with Client(mosquitto.url, **options) as client:  # type: ignore[arg-type]
        await mosquitto_pub(mosquitto.port, "-t", "t", "-q", str(qos), "-m", "now")
        assert (await anext(client)).payload == b"now"
        assert client.oversized == 0


async def test_its_acknowledgement_waits_for_those_of_messages_before_it() -> None:
    def publish(packet_id: int, size: int) -> bytes:
        assert size < 128
        return bytes((0x32, size)) + b"\0\1t" + packet_id.to_bytes(2, "big") + bytes(size - 5)

    acknowledged = []
    all_three = asyncio.Event()

    async def broker(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK + publish(1, 20) + publish(2, 120) + publish(3, 20))
        while packet := await peer.packet():
            if packet[0] == 0x40:
                acknowledged.append(packet[3])
                if len(acknowledged) == 3:
                    all_three.set()
            elif packet[0] == 0xC0:
                await peer.say(b"\xd0\0")

    async with server(broker) as url, Client(url, size_max=100, manual_ack=True) as client:
        first = await anext(client)
        third = await anext(client)
        client.acknowledge(third)
        assert await client.drain()
        assert acknowledged == []
        client.acknowledge(first)
        await asyncio.wait_for(all_three.wait(), RUN_TIMEOUT_S)
    assert acknowledged == [1, 2, 3]


async def test_a_board_reads_past_a_command_of_5_kilobytes(mosquitto: Mosquitto, micropython: MicroPython) -> None:
    async with Client(mosquitto.url) as client:
        await client.subscribe("ready")
        argv = micropython_argv(micropython.program, BOARD % mosquitto.url, heap="1m")
        board = await asyncio.create_subprocess_exec(
            *argv, env=micropython_env((ROOT,)), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            async with asyncio.timeout(RUN_TIMEOUT_S):
                await anext(client)
                for payload in ("go", bytes(5000), "stop"):
                    await client.publish("command/x", payload, 2)
                output = (await board.communicate())[0].decode()
        finally:
            if board.returncode is None:
                board.kill()
                await board.wait()
    lines = output.splitlines()
    assert lines[0] == "command/x b'go' 0"
    assert "told command/x 5013" in lines
    assert lines[-1] == "command/x b'stop' 1"


async def test_a_message_is_logged_without_its_bytes(caplog: pytest.LogCaptureFixture) -> None:
    async def broker(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK + b"\x30\x21" + b"\0\1t" + b"secret" * 5 + b"\x30\4\0\1tx")
        await peer.reader.read()

    with caplog.at_level(logging.WARNING):
        async with server(broker) as url, Client(url, size_max=16) as client:
            assert (await anext(client)).payload == b"x"
    assert "33 bytes" in caplog.text
    assert "secret" not in caplog.text


async def test_a_topic_is_logged_on_one_line_with_nothing_that_a_terminal_obeys(
    caplog: pytest.LogCaptureFixture,
) -> None:
    topic = b"t\x1b[2J\nFAKE"

    async def broker(peer: Peer) -> None:
        await peer.packet()
        body = b"\0" + bytes((len(topic),)) + topic + b"x" * 30
        await peer.say(CONNACK + bytes((0x30, len(body))) + body + b"\x30\4\0\1tx")
        await peer.reader.read()

    with caplog.at_level(logging.WARNING):
        async with server(broker) as url, Client(url, size_max=20) as client:
            assert (await anext(client)).payload == b"x"
    [told] = [record.getMessage() for record in caplog.records if "larger than" in record.getMessage()]
    assert "'t\\x1b[2J\\nFAKE'" in told
    assert told.isprintable()
