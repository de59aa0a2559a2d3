"""`mqttlite bench` on the real interpreter with a board's console: figures of each way and QoS, and no hardware."""

import json
import sys
from pathlib import Path

import pytest

from tests.hardware.simulated import KIND, SimulatedBoard
from tests.peers import Mosquitto, free_port, run


@pytest.mark.long
async def test_each_way_and_qos_is_measured_and_the_result_says_that_it_is_no_hardware(
    tmp_path: Path, quick_mosquitto: Mosquitto
) -> None:
    simulated = SimulatedBoard(tmp_path, "serial:usb")
    output = tmp_path / "result.json"
    before = {path: path.read_bytes() for path in simulated.folder.rglob("*.mpy")}
    async with simulated.board.running() as board:
        words = ["--device", board.path, "--board", KIND.stem, "--broker", quick_mosquitto.url]
        done = await run(sys.executable, "-m", "mqttlite", "bench", *words, "--count", "20", "-o", str(output))
    result = json.loads(output.read_text(encoding="utf-8"))
    assert json.loads(done.stdout) == result
    assert result["is_hardware"] is False and "not hardware" in done.stderr
    assert (result["board"], result["count"], result["size"]) == (KIND.stem, 20, 64)
    for way in ("up", "down"):
        for qos in (0, 1, 2):
            figures = result[f"{way}_{qos}"]
            assert figures["arrived"] == 20
            assert figures["bytes_per_s"] > 0
            assert figures["of_line"] > 0
            assert figures["free"] > 0
    assert all(result[f"round_trip_{qos}_ms"] > 0 for qos in (0, 1, 2))
    assert result["reset_to_online_s"] > 0
    assert {path: path.read_bytes() for path in simulated.folder.rglob("*.mpy")} == before


async def test_a_broker_that_is_not_there_is_said_and_the_board_is_left_alone(tmp_path: Path) -> None:
    simulated = SimulatedBoard(tmp_path, "serial:usb")
    async with simulated.board.running() as board:
        words = ["--device", board.path, "--board", KIND.stem, "--broker", f"mqtt://127.0.0.1:{free_port()}"]
        done = await run(sys.executable, "-m", "mqttlite", "bench", *words, "--wait", "2", check=False)
    assert done.code == 1
    assert "mqttlite bench: nothing listens at 127.0.0.1" in done.stderr


async def test_a_board_whose_program_does_not_start_is_said_and_started_again(
    tmp_path: Path, quick_mosquitto: Mosquitto
) -> None:
    simulated = SimulatedBoard(tmp_path, "serial:usb")
    simulated.remove("a/lib/mqttlite")
    async with simulated.board.running() as board:
        words = ["--device", board.path, "--board", KIND.stem, "--broker", quick_mosquitto.url, "--wait", "3"]
        done = await run(sys.executable, "-m", "mqttlite", "bench", *words, check=False)
    assert done.code == 1
    assert "not all was measured within 3 s" in done.stderr


WAKING = """
import asyncio
from mqttlite_board.api import Application

async def wake(program):
    for n in range(1, 4):
        await program.publish("state", '{"wake": {"trips": %d, "bytes": [70, 12], "last_ms": %d}}' % (n, 10 * n))
    while True:
        await asyncio.sleep(60)

def application(options):
    app = Application()
    app.jobs.append(wake)
    return app
"""


async def test_what_wake_ups_cost_is_the_median_of_what_the_board_says(
    tmp_path: Path, quick_mosquitto: Mosquitto
) -> None:
    simulated = SimulatedBoard(tmp_path, quick_mosquitto.url)
    (simulated.folder / "a" / "app.py").write_text(WAKING, encoding="utf-8")
    async with simulated.board.running() as board:
        words = ["--device", board.path, "--board", KIND.stem, "--broker", quick_mosquitto.url, "--wakes", "3"]
        done = await run(sys.executable, "-m", "mqttlite", "bench", *words)
    result = json.loads(done.stdout)
    assert result["wake"] == {"last_ms": 20, "trips": 2}
    assert (result["wakings"], result["wake_bytes"], result["is_hardware"]) == (3, 82, False)
