"""Payloads in pieces over real connections that are cut anywhere, from a seed: whole, in order, exactly once."""

import asyncio
import hashlib
import random
from typing import Any

import pytest

from mqttlite import Client, Reconnect
from mqttlite.broker import Broker
from tests.broker.raw import port_of
from tests.client.network import Proxy
from tests.client.pieces.test_both_ways import Gallery
from tests.peers import RUN_TIMEOUT_S

STREAMS = 5
CUTS = 6  # of each client's connections


def payload(seed: int, number: int) -> bytes:
    draw = random.Random(f"{seed} {number}")
    return hashlib.shake_128(b"%d %d" % (seed, number)).digest(draw.randrange(4000, 40_000))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
async def test_streams_of_qos_2_arrive_once_whatever_is_cut(version: str, seed: int) -> None:
    payloads = [payload(seed, number) for number in range(STREAMS)]
    gallery = Gallery()
    options: dict[str, Any] = {
        "version": version,
        "size_max": 2000,
        "stream_max": 1 << 20,
        "reconnect": Reconnect(0.01, 0.05),
    }
    async with Broker(["mqtt://127.0.0.1:0"]) as broker, asyncio.timeout(RUN_TIMEOUT_S):
        port = port_of(broker.addresses[0])
        async with (
            Proxy(port, seed, cuts=CUTS, longest=50_000) as here,
            Proxy(port, seed + 1000, cuts=CUTS, longest=50_000) as there,
            Client(there.url, client_id="taker", **options) as taker,
            Client(here.url, client_id="giver", **options) as giver,
        ):
            taking = asyncio.create_task(taker.receive_stream("camera/+", gallery.take))
            await taker.subscribe("camera/ready")  # asked for after the other, which has its answer then
            for number, data in enumerate(payloads):
                await giver.publish_stream(f"camera/{number}", data, qos=2)
            await giver.publish("camera/end", b"", 2)
            while not gallery.whole or gallery.whole[-1][0] != "camera/end":
                gallery.more.clear()
                await gallery.more.wait()
            taking.cancel()
            assert here.connections > 1
            assert there.connections > 1
    assert [data for _, _, data in gallery.whole] == [*payloads, b""]
