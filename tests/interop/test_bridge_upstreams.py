"""The bridge to brokers of others: RabbitMQ's MQTT plugin (Debian) and aedes (npm). Mosquitto and our own are in
tests/gateway/bridge.
"""

from pathlib import Path
from uuid import uuid4

import pytest

from mqttlite.client import Client
from mqttlite.testing.faults import FaultyLink
from mqttlite_gateway.settings.upstream import Route, UpstreamSettings
from tests.aedes import Aedes
from tests.gateway.bridge.world import TIMEOUT_S, Reader, gateway, settings, until
from tests.rabbitmq import Shared

KINDS = ("rabbitmq", "aedes")
VERSION = "3.1.1"  # both speak no other: RabbitMQ 3.10 and aedes 1


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def port(request: pytest.FixtureRequest, kind: str) -> int:
    """Where the upstream listens."""
    if kind == "rabbitmq":
        rabbitmq: Shared = request.getfixturevalue("shared_rabbitmq")
        return rabbitmq.mqtt_port
    aedes: Aedes = request.getfixturevalue("aedes")
    return aedes.port


@pytest.fixture
def site() -> str:
    """A name that no other test has: RabbitMQ is shared."""
    return f"site{uuid4().hex[:12]}"


def to(port: int, site: str, **more: object) -> UpstreamSettings:
    """Without a version: 5.0 is tried, and then what both speak."""
    routes = {"out": (Route("up/#", f"{site}/"),), "inwards": (Route(f"{site}/down/#", strip=f"{site}/"),)}
    return settings(f"mqtt://127.0.0.1:{port}", client_id=site, **(routes | more))


def reader(port: int, site: str) -> Reader:
    return Reader(f"mqtt://127.0.0.1:{port}", f"{site}/up/#", version=VERSION, client_id=f"{site}-reader")


async def test_every_qos_goes_up_and_comes_down_in_order(tmp_path: Path, kind: str, port: int, site: str) -> None:
    async with gateway(tmp_path / "gateway.db", to(port, site)) as (broker, uplink), reader(port, site) as far:
        await until(lambda: uplink.describe()["connected"])
        assert uplink.describe()["version"] == VERSION
        async with Client(broker.addresses[0], client_id="device") as device:
            for number in range(60):
                await device.publish("up/t", b"%d" % number, number % 3)
            assert await device.drain(TIMEOUT_S)
        await far.got(60)
        for qos in range(3):
            assert [int(each.payload) for each in far.messages if int(each.payload) % 3 == qos] == [*range(qos, 60, 3)]
        granted = {int(each.payload) % 3: each.qos for each in far.messages}
        assert granted == {0: 0, 1: 1, 2: 1 if kind == "rabbitmq" else 2}
        await until(lambda: uplink._joined and uplink._joined.relay.is_subscribed)
        qos_end = 2 if kind == "rabbitmq" else 3  # our client, too, would wait for its PUBREC
        async with Reader(broker.addresses[0], "down/#", client_id="near") as near:
            async with Client(f"mqtt://127.0.0.1:{port}", client_id=f"{site}-office", version=VERSION) as office:
                for number in range(60):
                    await office.publish(f"{site}/down/t", b"%d" % number, number % qos_end)
                assert await office.drain(TIMEOUT_S)
            assert sorted(int(payload) for _, payload in await near.got(60)) == list(range(60))
        await until(lambda: uplink.describe()["queued"] == 0)
        assert uplink.describe()["problem"] == ""
        assert uplink.describe()["received"] == 60


async def test_what_waited_goes_up_in_order_when_there_is_a_way(tmp_path: Path, port: int, site: str) -> None:
    count = 500
    async with gateway(tmp_path / "gateway.db", to(1, site)) as (broker, uplink):
        async with Client(broker.addresses[0], client_id="device") as device:
            for number in range(count):
                await device.publish("up/t", b"%d" % number, 2)
            assert await device.drain(TIMEOUT_S)
        assert uplink.describe()["queued"] == count
    async with reader(port, site) as far, gateway(tmp_path / "gateway.db", to(port, site)) as (_, uplink):
        assert [int(payload) for _, payload in await far.got(count)] == list(range(count))
        await until(lambda: uplink.describe()["queued"] == 0)


@pytest.mark.parametrize("qos", [1, 2])
async def test_nothing_is_lost_by_cuts_and_qos_2_comes_once_where_the_upstream_has_it(
    tmp_path: Path, kind: str, port: int, site: str, qos: int
) -> None:
    count = 200
    with FaultyLink("127.0.0.1", port) as link:
        async with (
            reader(port, site) as far,
            gateway(tmp_path / "gateway.db", to(link.port, site)) as (broker, uplink),
            Client(broker.addresses[0], client_id="device") as device,
        ):
            await until(lambda: uplink.describe()["connected"])
            for part in range(4):
                before = link.connected
                link.cut_after(300 + 211 * part)
                for number in range(part * count // 4, (part + 1) * count // 4):
                    await device.publish("up/t", b"%d" % number, qos)
                assert await device.drain(TIMEOUT_S)
                await until(lambda before=before: link.connected > before)
            await until(lambda: uplink.describe()["queued"] == 0)
            await until(lambda: len({each.payload for each in far.messages}) == count)
            got = [int(each.payload) for each in far.messages]
            assert list(dict.fromkeys(got)) == list(range(count))
            if qos == 2 and kind == "aedes":
                assert len(got) == count
            assert uplink.describe()["set_aside"] == 0


async def test_a_retained_message_is_one_upstream(tmp_path: Path, port: int, site: str) -> None:
    async with gateway(tmp_path / "gateway.db", to(port, site)) as (broker, uplink):
        async with Client(broker.addresses[0], client_id="device") as device:
            await (await device.publish("up/state", b"on", 1, retain=True))
        await until(lambda: uplink.describe()["acknowledged"] == 1)
        # RabbitMQ has retained messages for exact topics alone, and stores them when it comes to it
        url, topic = f"mqtt://127.0.0.1:{port}", f"{site}/up/state"
        async with Reader(url, topic, version=VERSION, client_id=f"{site}-reader") as far:
            await far.got(1)
            assert far.messages[0].retain


async def test_what_came_down_while_the_gateway_was_away_is_fetched(
    tmp_path: Path, kind: str, port: int, site: str
) -> None:
    async with gateway(tmp_path / "gateway.db", to(port, site)) as (_, uplink):
        await until(lambda: uplink._joined and uplink._joined.relay.is_subscribed)
    async with Client(f"mqtt://127.0.0.1:{port}", client_id=f"{site}-office", version=VERSION) as office:
        for number in range(20):
            await office.publish(f"{site}/down/t", b"%d" % number, 1 if kind == "rabbitmq" else 1 + number % 2)
        assert await office.drain(TIMEOUT_S)
    async with (
        gateway(tmp_path / "gateway.db", to(port, site)) as (broker, _),
        Reader(broker.addresses[0], "down/#", client_id="near") as near,
    ):
        assert sorted(int(payload) for _, payload in await near.got(20)) == list(range(20))


@pytest.mark.parametrize(("kind", "is_lost"), [("rabbitmq", False), ("aedes", False), ("rabbitmq", True)])
async def test_a_gateway_goes_on_in_another_life_and_without_its_store(
    tmp_path: Path, port: int, site: str, is_lost: bool
) -> None:
    async with reader(port, site) as far:
        for life in range(2 if is_lost else 3):
            store = tmp_path / (f"gateway{life}.db" if is_lost else "gateway.db")
            async with gateway(store, to(port, site, timeout_s=1)) as (broker, uplink):
                async with Client(broker.addresses[0], client_id="device") as device:
                    for number in range(life * 50, life * 50 + 50):
                        await device.publish("up/t", b"%d" % number, 2)
                    assert await device.drain(TIMEOUT_S)
                if life == 2 or is_lost:
                    await until(lambda uplink=uplink: uplink.describe()["queued"] == 0)
        count = 50 * (life + 1)
        await until(lambda: len({each.payload for each in far.messages}) == count)
        assert list(dict.fromkeys(int(each.payload) for each in far.messages)) == list(range(count))
