"""Over a bridge: a message's key and trace context travel on, and the ledger has how far it came."""

import asyncio
from pathlib import Path

import pytest

from mqttlite import Client
from mqttlite.ledger import Ledger
from mqttlite_gateway.settings.upstream import Route
from tests.gateway.bridge.world import KINDS, TIMEOUT_S, Reader, gateway, settings, until, upstream

TRACE = [
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", "b=2"),
    ("tracestate", "a=1"),
]


async def done(ledger: Ledger, key: str) -> list[str]:
    await ledger.flush()
    way = ledger.way(key)
    return [f"{step['from']} {step['what']} {step['to']}" for step in way["steps"]] if way else []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_trace_context_passes_client_broker_and_bridge_untouched_in_both_directions(
    tmp_path: Path, kind: str
) -> None:
    ledger = Ledger(tmp_path / "ledger.db", "gateway")
    async with asyncio.timeout(TIMEOUT_S), upstream(kind, tmp_path) as url:
        of = settings(url, version="5.0", inwards=(Route("down/#"),))
        async with (
            gateway(tmp_path / "gateway.db", of, ledger=ledger) as (broker, uplink),
            Reader(url, "site-7/#") as far,
            Reader(broker.addresses[0], "down/#", client_id="near") as near,
        ):
            await until(lambda: uplink.describe()["connected"])
            await until(lambda: uplink._joined and uplink._joined.relay.is_subscribed)
            for address, topic, name in ((broker.addresses[0], "up/t", "board"), (url, "down/t", "office")):
                async with Client(address, client_id=name, version="5.0") as client:
                    await client.publish(topic, "1", 2, key=(name, 1), user_properties=[*TRACE, ("x", "y")])
                    await client.publish(topic, "2", 2)
                    assert await client.drain(TIMEOUT_S)
            await far.got(2)
            await near.got(2)
            for reader in (far, near):
                found = [list(message.user_properties) for message in reader.messages if message.payload == b"1"]
                assert [pair for pair in found[0] if pair[0].startswith("trace")] == TRACE
                assert ("x", "y") in found[0]


@pytest.mark.parametrize("version", ["5.0", "3.1.1"])
async def test_the_ledger_of_a_gateway_has_each_step_to_its_upstream_and_from_it(tmp_path: Path, version: str) -> None:
    ledger = Ledger(tmp_path / "ledger.db", "gateway")
    async with asyncio.timeout(TIMEOUT_S), upstream("own", tmp_path) as url:
        of = settings(url, version=version, inwards=(Route("down/#"),))
        async with gateway(tmp_path / "gateway.db", of, ledger=ledger) as (broker, uplink):
            await until(lambda: uplink._joined and uplink._joined.relay.is_subscribed)
            near = Client(broker.addresses[0], client_id="near", version=version)
            async with near, Client(broker.addresses[0], client_id="board", version=version, keys=True) as board:
                await near.subscribe("down/#", 2)
                await board.publish("up/t", "1", 2, key=("board", 1), **_traced(version))
                assert await board.drain(TIMEOUT_S)
                async with Client(url, client_id="office", version=version, keys=True) as office:
                    await office.publish("down/t", "1", 2, key=("office", 7))
                await anext(near)
                await until(lambda: uplink.describe()["acknowledged"] == 1)
            assert await done(ledger, "board/0/1") == [
                "board accepted gateway",
                "gateway stored gateway",
                "gateway forwarded cloud",
                "cloud acknowledged gateway",
            ]
            assert (await done(ledger, "office/0/7"))[0] == "cloud accepted gateway"
            way = ledger.way("board/0/1")
            assert way and way["traceparent"] == (TRACE[0][1] if version == "5.0" else "")


def _traced(version: str) -> dict[str, list[tuple[str, str]]]:
    return {"user_properties": TRACE} if version == "5.0" else {}


async def test_what_waits_for_an_upstream_that_is_away_is_stored_for_it_and_not_forwarded(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db", "gateway")
    async with (
        asyncio.timeout(TIMEOUT_S),
        gateway(tmp_path / "gateway.db", settings("mqtt://127.0.0.1:1"), ledger=ledger) as (broker, _),
        Client(broker.addresses[0], client_id="board", keys=True) as board,
    ):
        await board.publish("up/t", "1", 2, key=("board", 1))
        assert await board.drain(TIMEOUT_S)
        assert await done(ledger, "board/0/1") == ["board accepted gateway", "gateway stored gateway"]
