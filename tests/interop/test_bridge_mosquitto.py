"""Mosquitto as a bridge to our broker, with its default settings and in 5.0."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mqttlite.broker import Broker
from tests.broker.raw import port_of
from tests.peers import RUN_TIMEOUT_S, Mosquitto, MosquittoSub, free_port, mosquitto_pub

BRIDGE = "$SYS/broker/connection/bridge/state"
DEFAULT, V5 = "default", "mqttv50"


@contextlib.asynccontextmanager
async def ours(folder: Path, port: int = 0) -> AsyncIterator[int]:
    """Our broker, with a store: its port."""
    async with Broker([f"mqtt://127.0.0.1:{port}"], store=folder / "ours.db") as broker:
        yield port_of(broker.addresses[0])


def bridged(folder: Path, port: int, version: str) -> Mosquitto:
    """Topics below l/ here are below r/ at our broker, both ways."""
    settings = {
        "connection": "up",
        "address": f"127.0.0.1:{port}",
        "topic": "# both 2 l/ r/",
        "remote_clientid": "bridge",
        "cleansession": "false",
        "restart_timeout": "1 1",
    }
    if version != DEFAULT:
        settings["bridge_protocol_version"] = version
    return Mosquitto(folder, settings=settings)


@pytest.mark.parametrize("version", [DEFAULT, V5])
async def test_messages_cross_a_bridge_both_ways(tmp_path: Path, version: str) -> None:
    async with ours(tmp_path) as port:
        async with MosquittoSub(port, "-t", BRIDGE, "-t", "r/+", "-q", "2") as here:
            with bridged(tmp_path / "m", port, version) as mosquitto:
                assert (await here.get())[:2] == (BRIDGE, b"1")
                async with MosquittoSub(mosquitto.port, "-t", "l/down", "-q", "2") as there:
                    for number in range(20):
                        text, qos = b"%d" % number, number % 3
                        await mosquitto_pub(mosquitto.port, "-t", "l/up", "-m", text.decode(), "-q", str(qos))
                        assert (await here.get())[:3] == ("r/up", text, qos)
                        await mosquitto_pub(port, "-t", "r/down", "-m", text.decode(), "-q", str(qos))
                        assert (await here.get())[:2] == ("r/down", text)
                        assert (await there.get())[:3] == ("l/down", text, qos)
                mosquitto.kill()
                assert (await here.get())[:2] == (BRIDGE, b"0"), "the will of a bridge that was lost"
        async with MosquittoSub(port, "-t", "$SYS/broker/connection/#") as late:
            async with asyncio.timeout(RUN_TIMEOUT_S):
                assert await late.get() == (BRIDGE, b"0", 0, True)


@pytest.mark.parametrize("version", [DEFAULT, V5])
async def test_what_waits_crosses_when_either_end_comes_back(tmp_path: Path, version: str) -> None:
    port = free_port()
    kept = ("-q", "2", "-c", "-i", "kept")
    texts = [b"%d" % number for number in range(10)]
    with bridged(tmp_path / "m", port, version) as mosquitto:
        async with ours(tmp_path, port), MosquittoSub(port, "-t", BRIDGE, "-t", "r/up", *kept) as here:
            assert (await here.get())[1] == b"1"
        for text in texts:  # our broker is away
            await mosquitto_pub(mosquitto.port, "-t", "l/up", "-m", text.decode(), "-q", "2")
        async with MosquittoSub(mosquitto.port, "-t", "l/down", *kept):
            pass
        async with ours(tmp_path, port):
            got: list[bytes] = []
            async with MosquittoSub(port, "-t", "r/up", *kept) as here:
                while len(got) < len(texts):
                    message = await here.get()
                    got += [message.payload] if message.topic == "r/up" else []
            assert got == texts
            if version == V5:
                return  # Mosquitto 2.0 says no session expiry interval there: its session ends with its connection
            mosquitto.kill()
            for text in texts:  # now the bridge is
                await mosquitto_pub(port, "-t", "r/down", "-m", text.decode(), "-q", "2")
            mosquitto.start()
            async with MosquittoSub(mosquitto.port, "-t", "l/down", *kept) as there:
                assert [message.payload for message in await there.take(10)] == texts


@pytest.mark.parametrize("version", [DEFAULT, V5])
async def test_retained_messages_cross_a_bridge_and_are_retained_there(tmp_path: Path, version: str) -> None:
    async with ours(tmp_path) as port:
        await mosquitto_pub(port, "-t", "r/state", "-m", "on", "-q", "1", "-r")
        with bridged(tmp_path / "m", port, version) as mosquitto:
            async with MosquittoSub(mosquitto.port, "-t", "l/state", "-q", "1", "-i", "x") as there:
                assert (await there.get())[:2] == ("l/state", b"on")
            async with MosquittoSub(mosquitto.port, "-t", "l/state", "-q", "1") as late:
                assert (await late.get()) == ("l/state", b"on", 1, True)
            await mosquitto_pub(mosquitto.port, "-t", "l/other", "-m", "off", "-q", "1", "-r")
            async with MosquittoSub(port, "-t", "r/other", "-q", "1") as here:
                assert (await here.get())[:2] == ("r/other", b"off")
            async with MosquittoSub(port, "-t", "r/other", "-q", "1") as late:
                assert (await late.get()) == ("r/other", b"off", 1, True)


async def test_properties_cross_a_bridge_of_5_0(tmp_path: Path) -> None:
    async with ours(tmp_path) as port:
        with bridged(tmp_path / "m", port, V5) as mosquitto:
            async with MosquittoSub(port, "-t", BRIDGE) as state:
                assert (await state.get())[1] == b"1"
            given = ("-V", "5", "-q", "1", "-D", "publish", "user-property", "unit", "C")
            given += ("-D", "publish", "content-type", "text/plain", "-D", "publish", "response-topic", "answers")
            shown = ("-V", "5", "-q", "1", "-F", "=%q %r x%x %C|%R|%P")
            for sending, receiving, up, down in (
                (mosquitto.port, port, "l/a", "r/a"),
                (port, mosquitto.port, "r/b", "l/b"),
            ):
                async with MosquittoSub(receiving, "-t", down, *shown) as subscriber:
                    await mosquitto_pub(sending, "-t", up, "-m", "21", *given)
                    assert (await subscriber.get())[0] == "text/plain|answers|unit:C"
