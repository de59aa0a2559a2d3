"""Boards whose broker is away: what is measured is kept with its time, and what is given up is counted. Also two ways
to the broker, and what a board tells of how it ended. Against Mosquitto, on both runtimes.
"""

import asyncio
import itertools
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mqttlite_board import watchdog
from mqttlite_board.api import Application
from mqttlite_board.thinning import chosen
from tests.firmware.boards import TOPIC, Board
from tests.firmware.starts import ENDS_AT_RESET, Folder, with_job
from tests.peers import MicroPython, Mosquitto, MosquittoSub

APP = """
import asyncio
from mqttlite_board.api import Application

def application(options):
    app = Application(keep=options.get("keep", "all"), queue=8, batch_max=5)
    app.measure("count", lambda: 1, every_s=0.01, qos=2, counted=True)

    async def job(program):
        while True:
            await asyncio.sleep(0.01)
            print("unconfirmed", program.unconfirmed(), json(program.lost))

    def json(lost):
        return " ".join(["%s=%d" % (cause, lost[cause]) for cause in sorted(lost)])

    app.jobs.append(job)
    return app
"""


def board_of(folder: Path, url: Any, runtime: str, keep: str = "all", **others: object) -> Board:
    return Board(folder, url, runtime=runtime, app=APP.replace('options.get("keep", "all")', repr(keep)), **others)


async def said(board: Board, text: str, times: int = 1) -> None:
    """Wait until the board has printed `text`, so many times."""
    while board.output.count(text) < times:  # noqa: ASYNC110 (a file that another process writes)
        await asyncio.sleep(0.05)


async def holds(board: Board, least: int) -> None:
    """Wait until the board has said that so many messages are unconfirmed, or more: several come between two prints."""
    while all(int(found) < least for found in re.findall(r"^unconfirmed (\d+) ", board.output, re.M)):  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def numbers(subscriber: MosquittoSub, up_to: int) -> list[int]:
    """The numbers of the readings that arrive, until `up_to` does; each with a time that grows."""
    found: list[int] = []
    at = 0
    while not found or found[-1] < up_to:
        message = json.loads((await subscriber.get()).payload)
        for number, delay in enumerate(message.get("dt", [0]), message["n"]):  # two may be of one millisecond
            assert message["t"] + delay >= at
            at = message["t"] + delay
            found.append(number)
    return found


async def test_what_is_measured_before_there_is_a_broker_arrives_with_its_time_through_power_cuts(
    mosquitto: Mosquitto, tmp_path: Path, runtime: str
) -> None:
    mosquitto.stop()
    board = board_of(tmp_path / "board", mosquitto.url, runtime)
    for unconfirmed in (2, 4, 8):
        async with board.running() as process:
            await holds(board, unconfirmed)
            process.kill()
    mosquitto.start()
    watching = MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/count", "-q", "2")
    async with watching as subscriber, board.running():
        found = await numbers(subscriber, 30)
    assert found == list(range(1, len(found) + 1))


async def test_when_there_is_no_room_nothing_is_measured_and_that_is_counted(
    mosquitto: Mosquitto, tmp_path: Path, runtime: str
) -> None:
    mosquitto.stop()
    board = board_of(tmp_path / "board", mosquitto.url, runtime)
    async with board.running():
        await said(board, "unconfirmed 8", 100)  # what is gathered for the next message is full by then, too
        mosquitto.start()
        async with MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/#", "-q", "2") as subscriber:
            await said(board, "unmeasured=")
            await asyncio.wait_for(subscriber.get(), 30)
    assert "given_up" not in board.output


async def test_the_oldest_are_given_up_where_the_newest_are_wanted_and_the_gap_is_what_is_counted(
    mosquitto: Mosquitto, tmp_path: Path, runtime: str
) -> None:
    mosquitto.stop()
    board = board_of(tmp_path / "board", mosquitto.url, runtime, "newest")
    async with board.running() as process:
        await said(board, "given_up=20")
        process.kill()
    lost = board.output.rpartition("given_up=")[2].split()[0]
    mosquitto.start()
    watching = MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/count", "-q", "2")
    async with watching as subscriber, board.running():
        found = await numbers(subscriber, int(lost) + 40)
    assert found == list(range(found[0], found[-1] + 1))
    assert found[0] > int(lost)  # what was given up between the last print and the power cut, too


async def test_what_waits_is_thinned_where_that_is_wanted_and_a_restart_thins_on(
    mosquitto: Mosquitto, tmp_path: Path, runtime: str
) -> None:
    mosquitto.stop()
    board = board_of(tmp_path / "board", mosquitto.url, runtime, "thin")
    app = board.folder / "app.py"
    app.write_text(app.read_text().replace("queue=8, batch_max=5", "queue=16, batch_max=1"))
    for life in (1, 2):
        async with board.running(f"print('life', {life})\n") as process:
            while "given_up=24" not in board.output.partition(f"life {life}")[2]:  # noqa: ASYNC110 (as `said`)
                await asyncio.sleep(0.05)
            process.kill()
    mosquitto.start()
    watching = MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/count", "-q", "2")
    async with watching as subscriber, board.running():
        found = await numbers(subscriber, 80)
    assert found[0] == 1
    kept = [number for number in found if number <= 64]  # of 48 at least were given up
    assert 4 <= len(kept) <= 24
    assert max(after - before for before, after in itertools.pairwise(kept)) <= 16


def test_who_is_given_up_is_spread_over_all_topics_and_the_ends_stay() -> None:
    waiting = {"a": list(range(1, 40, 2)), "b": [2, 20, 38]}
    assert chosen(waiting, 9) == {3, 7, 11, 15, 19, 23, 27, 31, 35}
    assert waiting == {"a": [1, 5, 9, 13, 17, 21, 25, 29, 33, 37, 39], "b": [2, 20, 38]}
    assert chosen({"a": [4, 9], "b": [3], "c": []}, 2) == {3, 4}
    assert chosen({"a": []}, 3) == set()


async def test_of_two_ways_the_one_that_works_is_taken(mosquitto: Mosquitto, tmp_path: Path, runtime: str) -> None:
    board = board_of(tmp_path / "board", ["mqtt://127.0.0.1:1", mosquitto.url], runtime)
    watching = MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/count", "-q", "2")
    async with watching as subscriber, board.running("from mqttlite_board import urls\nurls.TRY_S = 1\n"):
        found = await numbers(subscriber, 20)
    assert found == list(range(1, len(found) + 1))
    assert "no way over mqtt://127.0.0.1:1" in board.output


async def test_a_board_goes_back_to_the_first_way_when_that_works_again(
    mosquitto: Mosquitto, tmp_path: Path, runtime: str
) -> None:
    """The second leads to the same broker by another name."""
    other = f"mqtt://localhost:{mosquitto.port}"
    board = board_of(tmp_path / "board", ["mqtt://127.0.0.1:1", other], runtime)
    prepare = (
        "from mqttlite_board import urls\nurls.TRY_S = urls.BACK_S = 1\n"
        "from mqttlite_board import seldom\nplain = seldom.switch\n"
        "def switch(program, url):\n    print('over', url)\n    return plain(program, url)\nseldom.switch = switch\n"
    )
    watching = MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/count", "-q", "2")
    async with watching as subscriber, board.running(prepare):
        while board.output.count("\nover ") < 3:
            await subscriber.get()
    assert [line.split()[1] for line in board.output.splitlines() if line.startswith("over")][:3] == [
        other,
        "mqtt://127.0.0.1:1",
        other,
    ]


async def test_what_has_ended_the_program_is_told_at_the_next_start_and_then_forgotten(
    micropython: MicroPython, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    board = Folder(micropython, tmp_path)
    board.set(url=mosquitto.url)
    await board.start("import app\ndef application(_):\n    return [1][2]\napp.application = application\n")
    assert (tmp_path / "crash.txt").exists()
    async with MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/crash", "-q", "1") as subscriber:
        await board.start(
            with_job(
                "import os\nasync def job(program):\n"
                "    while 'crash.txt' in os.listdir():\n        await asyncio.sleep(0.02)\n    program.stop('')\n"
            )
        )
        text = (await subscriber.get()).payload.decode()
    assert text.startswith("start 1 (PWRON), after ")
    assert "IndexError" in text
    assert "line" in text


async def test_a_bite_of_the_watchdog_is_told(micropython: MicroPython, mosquitto: Mosquitto, tmp_path: Path) -> None:
    board = Folder(micropython, tmp_path)
    board.set(url=mosquitto.url, app={"every_ms": 10})
    async with MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/crash", "-q", "1") as subscriber:
        await board.start(
            "machine.reset_cause = lambda: machine.WDT_RESET\n"
            + with_job("async def job(program):\n    await asyncio.sleep(1)\n    program.stop('')\n")
        )
        assert b"the watchdog has restarted the board" in (await subscriber.get()).payload


HEAP = """
from mqttlite_board import heap
heap.LOOK_S = 0.01
heap.trouble = lambda: "no piece of 2048 bytes"
"""


async def test_a_heap_in_pieces_ends_in_a_clean_restart(
    micropython: MicroPython, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    board = Folder(micropython, tmp_path)
    board.set(url=mosquitto.url)
    start = await board.start(HEAP + ENDS_AT_RESET)
    assert start.reset
    assert "no piece of 2048 bytes: a clean restart" in start.said
    assert "no piece of 2048 bytes" in (tmp_path / "crash.txt").read_text()


async def test_a_program_that_goes_on_without_getting_anywhere_is_restarted(
    micropython: MicroPython, tmp_path: Path
) -> None:
    board = Folder(micropython, tmp_path)
    board.write("app.py", APP)
    start = await board.start(
        "from mqttlite_board import watchdog\nwatchdog.LOOK_S = 0.01\n"
        "watchdog.stalled = lambda program: 'count was not measured for 130 s'\n"
    )
    assert "StalledError: count was not measured for 130 s" in start.said
    assert start.reset


def test_progress_is_what_the_watchdog_is_fed_for(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Application()
    sensor = app.measure("x", lambda: 1, every_s=60)
    receipt = SimpleNamespace(done=False)
    program: Any = SimpleNamespace(app=app, is_connected=True, waits_for=receipt, waits_since=0)
    now = [0]
    monkeypatch.setattr(watchdog.clock, "up_ms", lambda: now[0])

    def stalled(at_s: float) -> str:
        now[0] = int(at_s * 1000)
        return watchdog.stalled(program)

    sensor.turned = 1
    assert not stalled(179)
    assert stalled(181) == "x was not measured for 180 s"
    sensor.turned = -1  # it waits for room, as long as it takes
    assert not stalled(599)
    assert "no message was confirmed for 600 s" in stalled(601)
    program.is_connected = False  # there is nobody who could confirm it
    assert not stalled(601)
    program.is_connected = receipt.done = True
    assert not stalled(601)
