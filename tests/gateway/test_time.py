"""The gateway says what time it is: a board whose clock is not set has it from there, and what it measured before can
be put right.
"""

import json
import time
from pathlib import Path

from mqttlite.cli.demo.pty_line import NoisyLine
from tests.firmware.boards import TOPIC, Board
from tests.gateway.world import BAUD, OPTIONS, gateway
from tests.peers import Mosquitto, MosquittoSub

UNSET = "from mqttlite_board import clock\nclock._begun = None\n"


async def test_a_board_has_the_time_from_the_gateway_and_tells_when_its_earlier_readings_were(
    mosquitto: Mosquitto, tmp_path: Path, runtime: str
) -> None:
    async with (
        NoisyLine(BAUD, bit_errors=1e-4, dropped=1e-3) as line,
        MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/#", "-q", "2") as subscriber,
    ):
        url = f"serial://{line.b_path}{OPTIONS}"
        board = Board(tmp_path / "board", url, runtime=runtime, time="gateway", every_ms=100)
        async with board.running(UNSET), gateway(mosquitto.url, line.a_path):
            before: list[dict[str, int]] = []
            told: dict[str, int] = {}
            after: dict[str, int] = {}
            while not (told and after):
                message = await subscriber.get()
                name = message.topic.removeprefix(TOPIC + "/")
                found = json.loads(message.payload) if name in ("clock", "count") else {}
                if name == "clock":
                    told = found
                elif name == "count" and "t" in found:
                    after = found
                elif name == "count":
                    before.append(found)
    now = time.time() * 1000
    assert before
    assert told["boot"] == before[0]["boot"] == 1
    assert now - 60_000 < told["begun"] + before[0]["up"] < after["t"] < now
