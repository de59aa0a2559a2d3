"""The connection to the upstream is cut at many bytes, in the resend too: everything comes, in order, QoS 2 once."""

from pathlib import Path

import pytest

from mqttlite.client import Client
from mqttlite_gateway.settings.upstream import Route
from tests.broker.raw import Cutter, port_of
from tests.statements import statement

from .world import KINDS, TIMEOUT_S, VERSIONS, Reader, gateway, settings, until, upstream

COUNT = 60


@statement("3.1.1", "MQTT-4.4.0-1")
@statement("5.0", "MQTT-4.4.0-1")
@pytest.mark.parametrize(("kind", "version"), [(kind, version) for kind in KINDS for version in VERSIONS])
async def test_cut_again_and_again_each_message_of_qos_2_comes_once_and_in_order_both_ways(
    tmp_path: Path, kind: str, version: str
) -> None:
    # In the middle of packets, of acknowledgements, of a resend, of a resend of a resend
    budgets = [70, 90, 130, 137, 141, 150, 233, 377, 381, 410, 500, 503, 700, 900, 907, 1200, 1300]
    async with (
        upstream(kind, tmp_path) as url,
        Cutter(port_of(url), budgets) as wire,
        Reader(url, "site-7/#", version=version) as far,
    ):
        of = settings(
            f"mqtt://127.0.0.1:{wire.port}",
            version=version,
            out=(Route("up/#", "site-7/"), Route("once/#", "site-7/", qos=1)),
            inwards=(Route("down/#", "here/"),),
            reconnect_min_s=0.01,
            reconnect_max_s=0.02,
        )
        async with (
            gateway(tmp_path / "gateway.db", of) as (broker, uplink),
            Reader(broker.addresses[0], "here/#") as near,
        ):
            async with (
                Client(broker.addresses[0], client_id="device") as device,
                Client(url, client_id="office") as office,
            ):
                await until(lambda: not wire.to_come or uplink._kept.filters)
                for number in range(COUNT):
                    await device.publish("up/t", b"%d" % number, 2)
                    await device.publish("once/t", b"%d" % number, 2)
                    await office.publish("down/t", b"%d" % number, 2)
                assert await device.drain(TIMEOUT_S)
                assert await office.drain(TIMEOUT_S)
            await until(lambda: not wire.to_come and uplink.describe()["queued"] == 0)
            await near.got(COUNT)
            assert uplink.dead_letters() == []
            await until(lambda: sum(each.topic == "site-7/up/t" for each in far.messages) >= COUNT)
            twice = [int(each.payload) for each in far.messages if each.topic == "site-7/up/t"]
            assert twice == list(range(COUNT))
            assert [int(each.payload) for each in near.messages] == list(range(COUNT))
            once = [int(each.payload) for each in far.messages if each.topic == "site-7/once/t"]
            assert list(dict.fromkeys(once)) == list(range(COUNT)), "in order of first delivery"
