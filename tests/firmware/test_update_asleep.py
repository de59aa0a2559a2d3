"""An update to a board that sleeps between its measurements, from one wake-up to the next."""

import asyncio
from pathlib import Path

from mqttlite.boards.updating.devices import Device, Devices
from tests.firmware.test_sleeping import APP, MEMORY, Sleeper
from tests.firmware.updatable import KEY, blob, update
from tests.peers import MicroPython, Mosquitto


async def test_an_update_goes_on_from_wake_up_to_wake_up(
    micropython: MicroPython, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    (tmp_path / "board").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "app.py").write_text(APP)
    blob(tmp_path / "new", 30_000)
    board = Sleeper(micropython, tmp_path / "board")
    board.use(mosquitto.url, awake_s=10)
    board.set(key=KEY)
    Devices(tmp_path / "devices.toml").put(Device("one", KEY))
    await board.wake()
    pushing = asyncio.create_task(
        update("push", tmp_path / "new", "one", "--name", "2.0", "--starts", "20", "--wait", "60",
               "--devices", tmp_path / "devices.toml", "--broker", mosquitto.url)
    )  # fmt: skip
    starts = []
    while not pushing.done():
        starts.append(await board.start(MEMORY))
        assert starts[-1].reset or "Traceback" not in starts[-1].said, starts[-1].said
    done = await pushing
    assert done.code == 0, done.stdout + done.stderr
    # To try the new version, and before that where there is no memory for the program's sources beside an update.
    assert 1 <= sum(start.reset for start in starts) <= 2
    assert len(starts) > 2
