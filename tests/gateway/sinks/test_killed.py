"""The real gateway is killed (kill -9) while it hands messages to RabbitMQ and PostgreSQL: nothing is lost, a row is
there once, and a copy in RabbitMQ is known by its `message_id`.
"""

import asyncio
import random
from pathlib import Path

from mqttlite.client import Client
from tests.gateway.bridge.test_killed import running
from tests.gateway.sinks.test_amqp import far, name
from tests.gateway.sinks.test_postgres import Place, place
from tests.peers import RUN_TIMEOUT_S, free_port
from tests.rabbitmq import Shared

__all__ = ["name", "place"]  # fixtures

COUNT = 300
SEED = 11


async def test_a_gateway_killed_in_mid_stream_loses_nothing_for_either_sink(
    tmp_path: Path, shared_rabbitmq: Shared, name: str, place: Place
) -> None:
    port = free_port()
    common = 'out = [{ filter = "s/#" }]\nstart_jitter_s = 0\nreconnect_min_s = 0.05\nreconnect_max_s = 0.2\n'
    config = tmp_path / "gateway.toml"
    config.write_text(
        f'store = "{tmp_path}/gateway.db"\nlisten = ["mqtt://127.0.0.1:{port}"]\nconsole = ""\n'
        f'[[upstream]]\nname = "{name}"\nurl = "{shared_rabbitmq.amqp_url}"\n{common}'
        f'[[upstream]]\nname = "rows"\nurl = "{place.dsn}"\n{common}'
    )
    config.chmod(0o600)
    at = random.Random(SEED).randint(COUNT // 6, COUNT // 2)
    async with (
        running(port, "gateway", "--config", str(config)) as gateway,
        far(shared_rabbitmq) as rabbit,
        Client(f"mqtt://127.0.0.1:{port}", client_id="device", clean_session=False) as device,
    ):
        for number in range(COUNT):
            await device.publish("s/x", b"%d" % number, 1 + number % 2)
            if number == at:  # in the middle of both
                await _has_rows(place, at // 2)
                await gateway.kill()
        assert await device.drain(60)
        await _has_rows(place, COUNT)
        async with asyncio.timeout(RUN_TIMEOUT_S):
            while await rabbit.count(name) < COUNT:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.05)
        assert await place.payloads() == [b"%d" % number for number in range(COUNT)]
        copies = await rabbit.take(name, await rabbit.count(name))
    first: dict[str, bytes] = {}
    for each in copies:
        assert first.setdefault(each.message_id, each.body) == each.body
    assert list(first.values()) == [b"%d" % number for number in range(COUNT)]


async def _has_rows(place: Place, count: int) -> None:
    """Wait until there are so many."""
    async with asyncio.timeout(RUN_TIMEOUT_S):
        while await place.sql("SELECT to_regclass('mqttlite_messages') IS NULL") == [(True,)]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        while len(await place.payloads()) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
