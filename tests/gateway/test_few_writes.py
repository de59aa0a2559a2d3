"""Nothing is written when nothing happens: an SD card lasts as long as what is written to it lets it."""

import asyncio
import os
from pathlib import Path

from mqttlite.broker import Broker
from mqttlite.client import Client
from mqttlite_gateway.config import load
from mqttlite_gateway.gateway import Gateway
from tests.gateway.bridge.world import until


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of each."""
    found = {}
    for each in os.scandir(folder):
        if each.is_file():
            found[each.name] = (each.stat().st_size, each.stat().st_mtime_ns)
    return found


async def test_a_gateway_that_nobody_sends_anything_writes_nothing_though_it_says_how_it_is(tmp_path: Path) -> None:
    async with Broker(["mqtt://127.0.0.1:0"]) as upstream:
        path = tmp_path / "gateway.toml"
        path.write_text(
            f'mode = "bridge"\nstore = "{tmp_path}/gateway.db"\nlisten = ["mqtt://127.0.0.1:0"]\nconsole = ""\n'
            'status_topic = "gateway"\nstatus_every_s = 0.1\n[control]\nsocket = false\n'
            f'[[serial]]\npath = "{tmp_path}/no-port"\n'
            f'[[upstream]]\nurl = "{upstream.addresses[0]}"\nout = [{{ filter = "sensors/#" }}]\nstart_jitter_s = 0\n'
        )
        async with Gateway(load(path)) as gateway, Client(upstream.addresses[0]) as inbox:
            assert gateway.broker and gateway.broker.store
            await inbox.subscribe("sensors/#", qos=2)
            client = Client(gateway.broker.addresses[0], client_id="kitchen", keep_alive_s=1)
            async with client:
                await client.subscribe("gateway/#")
                await client.publish("sensors/1", "x", qos=2)
                async with asyncio.timeout(20):
                    await inbox.__anext__()  # which makes a round through the store
                await until(lambda: not gateway.uplinks[0].describe()["queued"])
                await gateway.broker.store.commit()
                before, syncs = files(tmp_path), gateway.broker.store.syncs.count
                assert syncs > 0
                async with asyncio.timeout(20):
                    for _ in range(10):  # a second of states of the line, PINGREQ among them
                        await client.__anext__()
                assert gateway.broker.store.syncs.count == syncs
                assert files(tmp_path) == before
