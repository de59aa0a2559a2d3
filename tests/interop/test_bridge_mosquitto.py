"""Mosquitto as a bridge to our broker, with its default settings."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mqttlite.broker import Broker
from tests.broker.raw import port_of
from tests.peers import RUN_TIMEOUT_S, Mosquitto, MosquittoSub, mosquitto_pub

BRIDGE = "$SYS/broker/connection/bridge/state"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with Broker(["mqtt://127.0.0.1:0"]) as broker:
        yield port_of(broker.addresses[0])


def bridged(folder: Path, port: int) -> Mosquitto:
    """Topics below l/ here are below r/ at our broker, both ways."""
    settings = {
        "connection": "up",
        "address": f"127.0.0.1:{port}",
        "topic": "# both 2 l/ r/",
        "remote_clientid": "bridge",
        "cleansession": "false",
        "restart_timeout": "1 1",
    }
    return Mosquitto(folder, settings=settings)


async def test_messages_cross_a_bridge_with_default_settings_both_ways(port: int, tmp_path: Path) -> None:
    async with MosquittoSub(port, "-t", BRIDGE, "-t", "r/+", "-q", "2") as ours:
        with bridged(tmp_path, port) as mosquitto:
            assert (await ours.get())[:2] == (BRIDGE, b"1")
            async with MosquittoSub(mosquitto.port, "-t", "l/down", "-q", "2") as theirs:
                for number in range(20):
                    text = b"%d" % number
                    await mosquitto_pub(mosquitto.port, "-t", "l/up", "-m", text.decode(), "-q", "2")
                    assert (await ours.get())[:3] == ("r/up", text, 2)
                    await mosquitto_pub(port, "-t", "r/down", "-m", text.decode(), "-q", "2")
                    assert (await ours.get())[:2] == ("r/down", text)
                    assert (await theirs.get())[:3] == ("l/down", text, 2)
            mosquitto.kill()
            assert (await ours.get())[:2] == (BRIDGE, b"0"), "the will of a bridge that was lost"
    async with MosquittoSub(port, "-t", "$SYS/broker/connection/#") as late:
        async with asyncio.timeout(RUN_TIMEOUT_S):
            assert await late.get() == (BRIDGE, b"0", 0, True)
