"""Updates from `mqttlite update push` to boards on the real interpreter, through Mosquitto."""

from pathlib import Path

from tests.firmware.updatable import Updatable, app, known, update
from tests.peers import Mosquitto


async def test_an_application_is_replaced_and_the_board_says_that_it_is_good(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    board = Updatable(tmp_path / "board", mosquitto.url)
    devices = known(tmp_path / "devices.toml", board)
    to = ("--devices", devices, "--broker", mosquitto.url)
    async with board.running():
        done = await update("push", app(tmp_path / "new", "new"), "one", "--name", "2.0", *to)
        print(done.stdout, done.stderr)
        assert done.code == 0
        status = await update("status", "one", *to)
        print(status.stdout, status.stderr)
    assert board.record["good"] == "b"
