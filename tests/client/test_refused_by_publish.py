"""What can be known to be refused is refused by `publish`, before anything is stored: it would block all behind it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mqttlite.client import Client
from mqttlite.core.errors import ClosedError, ProtocolError, PublishError
from tests.peers import MicroPython, Mosquitto

UNWANTED = ["a\tb", "\x01", "a/\x1f", "\x7f", "\x80", "é\x9f", "\ufdd0", "\ufdef", "\ufffe", "a/\uffff", "\U0001fffe"]
WANTED = ["a", " ", "~", "\xa0", "é", "\u200b", "\ufdcf", "\ufdf0", "\ufffd", "\U0001fffd", "\ue000", "温度/室内", "🌡"]


@contextlib.asynccontextmanager
async def unconnected(**options: Any) -> AsyncIterator[Client]:
    """A client that is started, and whose broker is not there."""
    client = Client("mqtt://127.0.0.1:1", client_id="c", retry_first=True, **options)
    starting = asyncio.create_task(client.start())
    await asyncio.sleep(0)
    yield client
    await client.close()
    await asyncio.wait((starting,))
    assert isinstance(starting.exception(), ClosedError)


@pytest.mark.parametrize("topic", UNWANTED)
async def test_control_characters_and_non_characters_are_refused_everywhere(topic: str) -> None:
    async with unconnected() as client:
        with pytest.raises(ProtocolError, match="may close the connection") as error:
            await client.publish(topic, "x", 1)
        assert error.value.rule == "1.5.3"
        for qos in (0, 2):
            with pytest.raises(ProtocolError):
                await client.enqueue(topic, "x", qos)
        assert client.pending() == []
        with pytest.raises(ProtocolError, match="may close"):
            await client.subscribe(topic)
    with pytest.raises(ProtocolError, match="may close"):
        Client("mqtt://localhost", will=(topic, "gone", 0, False))


@pytest.mark.parametrize("topic", WANTED)
async def test_every_other_character_passes(topic: str) -> None:
    async with unconnected() as client:
        await client.enqueue(topic, "x", 1)
        assert [message[2] for message in client.pending()] == [topic]
    Client("mqtt://localhost", will=(topic, "gone", 0, False))


async def test_a_board_refuses_the_same(micropython: MicroPython) -> None:
    script = f"""
from mqttlite.core.errors import ProtocolError
from mqttlite.core.text import check_plain
for text in {UNWANTED + WANTED!r}:
    try:
        check_plain(text.encode())
        print("passes")
    except ProtocolError as error:
        print(error)
"""
    lines = (await micropython.run(script)).stdout.splitlines()
    assert ["passes" in line for line in lines] == [False] * len(UNWANTED) + [True] * len(WANTED)


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_what_the_client_itself_would_not_take_is_refused(version: int, qos: int) -> None:
    async with unconnected(version=version, size_max=1000) as client:
        fits = 1000 - 2 - len("photo") - (2 if qos else 0) - (1 if version == 5 else 0)
        await client.enqueue("photo", bytes(fits), qos)
        with pytest.raises(
            PublishError, match=r"'photo' not accepted: packet of 1001 bytes, above .* size_max=1000"
        ) as error:
            await client.enqueue("photo", bytes(fits + 1), qos)
        assert error.value.code == 0x95
        assert len(client.pending()) == (1 if qos else 0)


async def test_the_size_that_a_broker_has_said_is_named(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, settings={"max_packet_size": 100}) as mosquitto:
        async with Client(mosquitto.url, client_id="c", version=5) as client:
            with pytest.raises(PublishError, match=r"'photo' not accepted: packet of 213 bytes; the broker takes 100"):
                await client.publish("photo", bytes(200), 1)
            await (await client.publish("photo", bytes(20), 1)).completed()
