"""Updates from `mqttlite update push` to boards on the real interpreter, with the bundle and program that are shipped.

Through Mosquitto and through our broker; boards are killed (SIGKILL) and started again.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.firmware.updatable import Updatable, app, blob, known, update
from tests.peers import Mosquitto, MosquittoSub, Result


@asynccontextmanager
async def killed_now_and_then(board: Updatable, seed: int, times: int) -> AsyncIterator[None]:
    """So many times while the block lasts, somewhere in what it is doing."""
    chance = random.Random(seed)

    async def kill() -> None:
        for _ in range(times):
            await asyncio.sleep(chance.uniform(0.3, 1.0))
            board.kill()

    killing = asyncio.create_task(kill())
    try:
        yield
    finally:
        killing.cancel()


def events(done: Result) -> list[dict[str, Any]]:
    """What `--json` has said."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def readings(payload: bytes) -> list[tuple[int, str]]:
    """Number and value of each reading in a message."""
    said = json.loads(payload)
    values = said["v"] if "dt" in said else [said["v"]]
    return list(enumerate(values, said["n"]))


async def test_an_application_is_replaced_while_the_board_is_killed_again_and_again(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    board = Updatable(tmp_path / "board", mosquitto.url)
    devices = known(tmp_path / "devices.toml", board)
    to = ("--devices", devices, "--broker", mosquitto.url)
    new = blob(app(tmp_path / "new", "new"), 100_000)
    async with (
        MosquittoSub(mosquitto.port, "-t", "boards/one/count", "-q", "2", "-c", "-i", "watcher") as subscriber,
        board.running(),
    ):
        async with killed_now_and_then(board, 1, 5):
            done = await update("push", new, "one", "--name", "2.0", "--starts", "20", "--json", *to)
        assert done.code == 0, done.stdout + done.stderr
        assert board.runs == "b"
        status = await update("status", "one", *to)
        assert status.stdout.splitlines()[1].split() == ["one", "2.0", "b", "good"]
        # All readings of both versions have arrived, in order, once each.
        numbers: list[tuple[int, str]] = []
        while not numbers or numbers[-1][1] != "new" or len(numbers) < 10:
            numbers += readings((await subscriber.get()).payload)
    assert [number for number, _ in numbers] == list(range(1, len(numbers) + 1))
    versions = [value for _, value in numbers]
    assert versions == sorted(versions, key=["old", "new"].index)
    assert board.lives > 2  # how often it was killed before all had arrived, the machine's speed decides


async def test_a_push_that_is_broken_off_goes_on_where_the_board_is(mosquitto: Mosquitto, tmp_path: Path) -> None:
    board = Updatable(tmp_path / "board", mosquitto.url)
    devices = known(tmp_path / "devices.toml", board)
    new = blob(app(tmp_path / "new", "new"), 60_000)
    words = ("push", new, "one", "--name", "2.0", "--devices", devices, "--broker", mosquitto.url, "--json")
    async with board.running():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60), MosquittoSub(mosquitto.port, "-t", "boards/one/update/block") as seen:
                pushing = asyncio.create_task(update(*words))
                await seen.take(20)
                pushing.cancel()
                await asyncio.gather(pushing, return_exceptions=True)
                raise TimeoutError
        done = await update(*words)
    assert done.code == 0, done.stdout + done.stderr
    (good,) = [event for event in events(done) if event.get("phase") == "good"]
    assert good["blocks_sent"] <= 61 + 4 - 20 + 8  # those that were under way may be sent twice
    assert board.runs == "b"


BAD = {
    "crashes when it is imported": "1 / 0\n",
    "delivers nothing": """
from mqttlite_board.api import Application

def application(options):
    app = Application()
    app.measure("count", lambda: None, every_s=0.1, qos=2)
    return app
""",
}


@pytest.mark.parametrize("what", BAD)
async def test_an_application_that_does_not_work_is_undone_and_that_is_reported(
    mosquitto: Mosquitto, tmp_path: Path, what: str
) -> None:
    board = Updatable(tmp_path / "board", mosquitto.url)
    devices = known(tmp_path / "devices.toml", board)
    bad = app(tmp_path / "bad", "", BAD[what])
    async with board.running():
        done = await update(
            "push", bad, "one", "--name", "bad", "--within", "2", "--starts", "2", "--json",
            "--devices", devices, "--broker", mosquitto.url,
        )  # fmt: skip
        assert done.code == 1, done.stdout + done.stderr
        (failed,) = [event for event in events(done) if event.get("phase") == "failed"]
        assert failed["why"] == "back on the old one: it was started 2 times, and delivered nothing"
        async with MosquittoSub(mosquitto.port, "-t", "boards/one/count", "-q", "2") as subscriber:
            assert readings((await subscriber.get()).payload)[0][1] == "old"
    assert board.runs == "a"


async def test_an_application_that_hangs_is_undone_when_its_board_was_reset_often_enough(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """On a board a timer of the starter resets it; here, with no timer, the test does."""
    board = Updatable(tmp_path / "board", mosquitto.url)
    devices = known(tmp_path / "devices.toml", board)
    hangs = app(tmp_path / "hangs", "", "print('it hangs')\nwhile True:\n    pass\n")
    async with board.running():
        pushing = asyncio.create_task(
            update("push", hangs, "one", "--name", "h", "--devices", devices, "--broker", mosquitto.url)
        )
        for hung in range(1, 4):
            while board.output.count("it hangs") < hung:  # noqa: ASYNC110 (it is another process)
                await asyncio.sleep(0.05)
            board.kill()
        done = await pushing
    assert done.code == 1
    assert "one: FAILED: back on the old one: it was started 3 times" in done.stdout
    assert board.runs == "a"


async def test_a_fleet_is_updated_in_stages_and_no_further_than_failures_are_allowed(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    boards = [Updatable(tmp_path / name, mosquitto.url, name) for name in ("one", "two", "three")]
    devices = known(tmp_path / "devices.toml", *boards)
    to = ("--all", "--devices", devices, "--broker", mosquitto.url)
    async with boards[0].running(), boards[1].running(), boards[2].running():
        bad = app(tmp_path / "bad", "", "1 / 0\n")
        done = await update("push", bad, "--starts", "1", "--name", "bad", *to)
        assert done.code == 1
        assert "==> stage 1 of 2: 1 device\n" in done.stdout
        assert "stage 2" not in done.stdout.replace("of 2", "")
        assert done.stdout.splitlines()[-1] == "bad: 0 of 3 devices run it, 1 failed, 2 waiting"
        done = await update("push", app(tmp_path / "new", "new"), "--name", "2.0", *to)
        assert done.code == 0, done.stdout + done.stderr
        assert done.stdout.splitlines()[-1] == "2.0: 3 of 3 devices run it"
        done = await update("push", app(tmp_path / "new", "new"), "--name", "2.0", *to)
        assert done.stdout.count("has it already") == 3
    assert [board.runs for board in boards] == ["b"] * 3


async def test_who_is_not_heard_of_is_said_to_be_silent(mosquitto: Mosquitto, tmp_path: Path) -> None:
    board = Updatable(tmp_path / "board", mosquitto.url)
    devices = known(tmp_path / "devices.toml", board)
    new = app(tmp_path / "new", "new")
    done = await update("push", new, "one", "--wait", "1", "--devices", devices, "--broker", mosquitto.url)
    assert done.code == 27
    assert "one: SILENT: nothing was heard for 1 s" in done.stdout
