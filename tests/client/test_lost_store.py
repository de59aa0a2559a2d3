"""A client whose store is lost, at a broker that still has its session: nothing new is taken for something old."""

import asyncio
from pathlib import Path

import pytest

from mqttlite.client import Client
from mqttlite.core.earlier_life import WANTED
from tests.broker.raw import RawClient
from tests.peers import RUN_TIMEOUT_S
from tests.statements import statement

COUNT = 60


@statement("3.1.1", "MQTT-4.3.3-2")
@pytest.mark.parametrize("first", [1, 30001])
@pytest.mark.parametrize("version", [4, 5])
async def test_identifiers_that_the_broker_holds_of_an_earlier_life_swallow_no_message(
    port: int, version: int, first: int, tmp_path: Path
) -> None:
    """Nor do those that are not used again soon: Mosquitto acknowledges and drops what is above 20 with them."""
    if version == 5 and not await _speaks_5(port):
        pytest.skip("the broker speaks MQTT 3.1.1 only")
    async with RawClient(port) as consumer, RawClient(port) as earlier:
        await consumer.connect("consumer")
        await consumer.subscribe("t", 2)
        await earlier.connect("producer", clean=False)
        for number in range(1, 19):  # as much as a client has on its way; then it dies, with its store
            earlier.publish("t", b"old %d" % number, 2, first - 1 + number)
            assert (await earlier.packet()).kind == "pubrec"
        earlier.cut()
        async with Client(
            f"mqtt://127.0.0.1:{port}", client_id="producer", store=str(tmp_path / "new.db"), version=version
        ) as producer:
            assert producer.session_present
            session = producer._life.session
            session.next = session.sent = session.first = session.kept = 65535 * 7  # identifiers from 1 on
            for number in range(COUNT):
                await producer.publish("t", f"new {number}", 2)
            assert await producer.drain(30)
            async with asyncio.timeout(RUN_TIMEOUT_S):
                while session.clearing:
                    await producer._life.progress.wait()
        async with asyncio.timeout(RUN_TIMEOUT_S):
            got = await consumer.messages(COUNT + 18)
        assert [payload for payload in got if payload.startswith(b"new")] == [b"new %d" % n for n in range(COUNT)]
        assert sorted(payload for payload in got if payload.startswith(b"old")) == sorted(
            b"old %d" % number for number in range(1, 19)
        )


async def _speaks_5(port: int) -> bool:
    try:
        async with Client(f"mqtt://127.0.0.1:{port}", version=5):
            return True
    except Exception:
        return False


async def test_who_publishes_at_qos_1_only_sends_no_pubrel(port: int, tmp_path: Path) -> None:
    """Some brokers do not speak QoS 2."""
    async with RawClient(port) as earlier:
        await earlier.connect("p", clean=False)
        await earlier.subscribe("for/p", 1)
    async with Client(f"mqtt://127.0.0.1:{port}", client_id="p", store=str(tmp_path / "new.db")) as client:
        assert client.session_present
        for number in range(50):
            await client.publish("t", str(number), 1)
        assert await client.drain(30)
        assert client._life.session.clearing == WANTED
        for number in range(50):  # behind messages that are on their way
            await client.publish("t", str(number), 1 + number // 10 % 2)
        assert await client.drain(30)
        assert client._life.session.clearing != WANTED


async def test_a_session_that_the_broker_does_not_have_needs_no_clearing(port: int, tmp_path: Path) -> None:
    async with Client(f"mqtt://127.0.0.1:{port}", client_id="p", store=str(tmp_path / "new.db")) as client:
        assert not client.session_present and not client._life.session.clearing
        await client.publish("t", "x", 2)
    async with Client(f"mqtt://127.0.0.1:{port}", client_id="p", store=str(tmp_path / "new.db")) as client:
        assert client.session_present and not client._life.session.clearing
