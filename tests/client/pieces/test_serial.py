"""Payloads in pieces over a serial line that damages and loses bytes, through the gateway."""

import asyncio

from mqttlite import Client
from mqttlite.cli.demo.pty_line import NoisyLine
from tests.client.pieces.test_both_ways import DATA, Gallery
from tests.gateway.world import BAUD, OPTIONS, gateway
from tests.peers import Mosquitto

SIZE = 20_000


async def test_a_picture_goes_both_ways_over_a_bad_line(mosquitto: Mosquitto) -> None:
    gallery = Gallery()
    async with (
        NoisyLine(BAUD, bit_errors=1e-5, seed=1) as line,
        gateway(mosquitto.url, line.a_path),
        Client(f"serial://{line.b_path}{OPTIONS}", size_max=1000, retry_first=True) as board,
    ):
        taking = asyncio.create_task(board.receive_stream("picture", gallery.take))
        await board.subscribe("picture")
        await board.publish_stream("picture", DATA[:SIZE], qos=2)
        await gallery.wait(1)
        taking.cancel()
    assert [payload == DATA[:SIZE] for _, _, payload in gallery.whole] == [True]
