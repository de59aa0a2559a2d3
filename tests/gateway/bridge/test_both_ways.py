"""Messages pass the bridge in both directions, with real brokers at the other end and in both versions of MQTT."""

import asyncio
from pathlib import Path

import pytest

from mqttlite.client import Client
from mqttlite_gateway.settings.upstream import Route

from .world import KINDS, TIMEOUT_S, VERSIONS, Reader, gateway, settings, until, upstream

COUNT = 1100  # more than the store keeps in memory of a session
BOTH = pytest.mark.parametrize(("kind", "version"), [(kind, version) for kind in KINDS for version in VERSIONS])


@BOTH
async def test_every_qos_goes_up_remapped_and_in_order_and_comes_down(tmp_path: Path, kind: str, version: str) -> None:
    async with upstream(kind, tmp_path) as url:
        of = settings(
            url,
            version=version,
            out=(Route("up/raw/#", "x/", strip="up/raw/", qos=1), Route("up/#", "site-7/")),
            inwards=(Route("site-7/commands/#", strip="site-7/"),),
        )
        async with (
            gateway(tmp_path / "gateway.db", of) as (broker, uplink),
            Reader(url, "site-7/#", "x/#") as far,
            Reader(broker.addresses[0], "commands/#", client_id="near") as near,
        ):
            await until(lambda: uplink.describe()["connected"])
            async with Client(broker.addresses[0], client_id="device") as device:
                for number in range(30):
                    await device.publish("up/t", b"%d" % number, number % 3)
                await device.publish("up/raw/deep/er", b"raw", 2)
                assert await device.drain(TIMEOUT_S)
            await far.got(31)
            for qos in range(3):  # Mosquitto passes QoS 2 on when it is released, which may be after what came later
                found = [int(each.payload) for each in far.messages if each.topic == "site-7/up/t" and each.qos == qos]
                assert found == list(range(qos, 30, 3))
            assert [(each.payload, each.qos) for each in far.messages if each.topic == "x/deep/er"] == [(b"raw", 1)]
            await until(lambda: uplink._joined and uplink._joined.relay.is_subscribed)
            async with Client(url, client_id="office") as office:
                for number in range(30):
                    await office.publish("site-7/commands/t", b"%d" % number, number % 3)
                assert await office.drain(TIMEOUT_S)
            assert sorted(await near.got(30)) == sorted(("commands/t", b"%d" % number) for number in range(30))
            await until(lambda: uplink.describe()["queued"] == 0)
            said = uplink.describe()
            assert said["acknowledged"] == 21
            assert said["received"] == 30
            assert (said["connected"], said["problem"], said["version"]) == (True, "", version)
            assert said["in_doubt"] == {"sent": 0, "released": 0}


@pytest.mark.parametrize(("kind", "version"), [("mosquitto", "5.0"), ("own", "3.1.1")])
async def test_what_came_while_the_upstream_was_away_goes_up_in_order_without_anything_new(
    tmp_path: Path, kind: str, version: str
) -> None:
    of = settings("mqtt://127.0.0.1:1", version=version)
    async with gateway(tmp_path / "gateway.db", of) as (broker, uplink):
        async with Client(broker.addresses[0], client_id="device") as device:
            for number in range(COUNT):
                # (Mosquitto itself misorders QoS 1 among QoS 2 that it has yet to pass on)
                await device.publish("up/t", b"%d" % number, 2 if kind == "mosquitto" else 1 + number % 2)
            assert await device.drain(TIMEOUT_S)
        await until(lambda: "nothing listens at 127.0.0.1:1" in uplink.describe()["problem"])
        assert uplink.describe()["queued"] == COUNT
    async with upstream(kind, tmp_path) as url, Reader(url, "site-7/#") as far:
        async with gateway(tmp_path / "gateway.db", settings(url, version=version)) as (_, uplink):
            assert [int(payload) for _, payload in await far.got(COUNT)] == list(range(COUNT))
            await until(lambda: uplink.describe()["queued"] == 0)
        await asyncio.sleep(0.05)
        assert len(far.messages) == COUNT
