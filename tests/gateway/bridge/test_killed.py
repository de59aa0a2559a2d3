"""The real gateway is killed (kill -9) while messages go through it, and so is its upstream: nothing is lost, QoS 2
comes once.
"""

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from mqttlite.client import Client
from tests.peers import end, free_port
from tests.runtimes import ROOT

from .world import Reader, until

COUNT = 240
SEED = 7


class Killed:
    """A program that is started again whenever it was killed."""

    def __init__(self, port: int, *arguments: str) -> None:
        self._port = port
        self._arguments = arguments
        self._process: asyncio.subprocess.Process

    async def start(self) -> None:
        """Until it listens."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "mqttlite",
            *self._arguments,
            cwd=ROOT,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                    writer.close()
                    return
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        await end(self._process)
        await self.start()


@contextlib.asynccontextmanager
async def running(port: int, *arguments: str) -> AsyncIterator[Killed]:
    program = Killed(port, *arguments)
    await program.start()
    try:
        yield program
    finally:
        await end(program._process)


async def test_gateway_and_upstream_are_killed_in_turn_and_each_message_of_qos_2_comes_once_in_order(
    tmp_path: Path,
) -> None:
    far, near = free_port(), free_port()
    config = tmp_path / "gateway.toml"
    config.write_text(
        f"""
        store = "{tmp_path}/gateway.db"
        listen = ["mqtt://127.0.0.1:{near}"]
        console = ""
        [[upstream]]
        name = "cloud"
        url = "mqtt://127.0.0.1:{far}"
        out = [{{ filter = "up/#" }}]
        in = [{{ filter = "down/#" }}]
        start_jitter_s = 0
        reconnect_min_s = 0.05
        reconnect_max_s = 0.2
        """
    )
    broker = ("broker", "--listen", f"mqtt://127.0.0.1:{far}", "--store", str(tmp_path / "far.db"))
    chance = random.Random(SEED)
    async with (
        running(far, *broker) as upstream,
        running(near, "gateway", "--config", str(config)) as gateway,
        Reader(f"mqtt://127.0.0.1:{far}", "up/#", client_id="top", is_kept=True) as top,
        Reader(f"mqtt://127.0.0.1:{near}", "down/#", client_id="bottom", is_kept=True) as bottom,
        Client(f"mqtt://127.0.0.1:{near}", client_id="device", clean_session=False) as device,
        Client(f"mqtt://127.0.0.1:{far}", client_id="office", clean_session=False) as office,
    ):
        publishing = asyncio.create_task(_publish(device, office))
        for victim in (gateway, upstream, gateway, upstream):
            await asyncio.sleep(chance.uniform(0.1, 0.4))
            await victim.kill()
        await publishing
        await until(lambda: len(top.messages) >= COUNT and len(bottom.messages) >= COUNT)
        await asyncio.sleep(0.2)
        assert [int(each.payload) for each in top.messages] == list(range(COUNT))
        assert [int(each.payload) for each in bottom.messages] == list(range(COUNT))


async def _publish(device: Client, office: Client) -> None:
    for number in range(COUNT):
        await device.publish("up/t", b"%d" % number, 2)
        await office.publish("down/t", b"%d" % number, 2)
        await asyncio.sleep(0.005)
    assert await device.drain(60)
    assert await office.drain(60)
