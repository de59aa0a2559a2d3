"""A board that fails while it starts: it says why, comes back by itself, and Ctrl-C leads to the prompt.

On the real MicroPython interpreter, with a `machine` of paper whose clock runs as fast as it can. What a board would do
after `reset` is not run.
"""

from pathlib import Path

import pytest

from mqttlite_board.settings import encode
from tests.firmware.boards import PATH, TOPIC
from tests.firmware.starts import Folder
from tests.peers import MicroPython, Mosquitto, MosquittoSub
from tests.runtimes import ROOT


@pytest.fixture
def board(micropython: MicroPython, tmp_path: Path) -> Folder:
    """A board whose settings are right."""
    return Folder(micropython, tmp_path)


HOUR = 3600


async def test_damaged_settings_are_said_for_an_hour_then_the_board_starts_again(board: Folder) -> None:
    path = board.folder / "settings.json"
    data = bytearray(encode(board.values))
    data[40] ^= 1
    path.write_bytes(data)
    start = await board.start()
    assert "the settings are damaged: their checksum is wrong; set the board up again" in start.said
    assert "settings.json is wrong: correct it, copy it to the board, press reset" in start.said
    assert start.said.count("restarting in") == HOUR // 10
    assert (start.reset, start.slept, start.watchdog) == (True, HOUR, None)


WRONG = [
    ("url", 5, "url: must be a text"),
    ("url", "mqtt//broker", "url 'mqtt//broker': must be mqtt://host:1883, mqtts://…, serial:usb or"),
    ("name", "", "name is empty"),
    ("password", "secret", "username is missing: a password needs one"),
    ("topic", "a/#", "topic 'a/#': must be levels"),
    ("watchdog_s", "long", "watchdog_s: must be a whole number"),
    ("watchdog_s", -1, "watchdog_s = -1: must be 0 to 86400"),
    ("stores", "journal", "stores: there is no such setting; is 'store' meant?"),
]


@pytest.mark.parametrize(("name", "value", "words"), WRONG)
async def test_a_setting_that_cannot_be_right_is_named(board: Folder, name: str, value: object, words: str) -> None:
    board.set(**{name: value})
    start = await board.start()
    assert words in start.said
    assert "settings.json is wrong" in start.said
    assert (start.reset, start.slept, start.watchdog) == (True, HOUR, None)


@pytest.mark.parametrize(
    ("every_ms", "words"),
    [("often", "'often'"), (0, "fast: every_s = 0.0: must be 0.01 to 86400"), (-5, "must be 0.01 to")],
)
async def test_what_an_application_cannot_be_made_of_is_named(board: Folder, every_ms: object, words: str) -> None:
    board.set(watchdog_s=60, led=2, app={"every_ms": every_ms})
    start = await board.start()
    assert "SettingError: app.py: " in start.said
    assert words in start.said
    assert "settings.json is wrong" in start.said
    assert (start.reset, start.slept, start.watchdog) == (True, HOUR, 60000)
    assert start.blinks == 4 * HOUR
    assert start.fed >= 4 * HOUR


async def test_a_pin_that_the_board_has_not_is_a_wrong_setting(board: Folder, mosquitto: Mosquitto) -> None:
    board.set(led=99, url=mosquitto.url)
    start = await board.start()
    assert "SettingError: led = 99: invalid pin" in start.said
    assert (start.reset, start.slept) == (True, HOUR)


async def test_settings_that_are_missing_are_said_for_an_hour_where_no_console_can_bring_them(board: Folder) -> None:
    board.copy_program()
    (board.folder / "settings.json").unlink()
    start = await board.start(path=(ROOT,))
    assert "waiting for settings" in start.said
    assert "OSError: [Errno 2] ENOENT" in start.said
    assert (start.reset, start.slept) == (True, HOUR - 2)  # without the window: nothing would have been started


@pytest.mark.parametrize("url", ["serial://7?tx=1&rx=2", "serial://seven", "serial://2?tx=one"])
async def test_a_uart_that_the_board_has_not_is_a_wrong_setting(board: Folder, url: str) -> None:
    board.set(url=url)
    start = await board.start()
    assert url.partition("?")[0] in start.said
    assert "SettingError" in start.said
    assert (start.reset, start.slept) == (True, HOUR)


async def test_a_computer_has_no_uart_number_and_the_program_ends(board: Folder) -> None:
    board.set(url="serial://2")
    script = "import start\nstart.run()"
    result = await board.micropython.run(script, path=(board.folder, *PATH), heap="512k", check=False)
    assert result.code == 1
    assert "only a board has UARTs" in result.stdout


@pytest.mark.parametrize("name", ["together.py", "program.py", "measuring.py", "mqttlite"])
async def test_a_file_that_is_missing_is_said_and_the_board_comes_back(board: Folder, name: str) -> None:
    board.copy_program(but=name)
    board.set(watchdog_s=60)
    start = await board.start(path=() if name == "mqttlite" else (ROOT,))
    assert "ImportError" in start.said
    assert name.removesuffix(".py").rpartition("/")[2] in start.said
    assert (start.watchdog, start.reset, start.slept) == (60000, True, 60)
    assert start.fed >= 4 * 60


async def test_an_application_that_does_not_compile_does_not_keep_the_board_from_coming_back(board: Folder) -> None:
    board.write("app.py", "def application(:\n")
    start = await board.start()
    assert "SyntaxError" in start.said
    assert (start.reset, start.slept) == (True, 60)


@pytest.mark.parametrize("error", ["MemoryError()", "OSError(12)", "asyncio.CancelledError()", "ZeroDivisionError()"])
async def test_whatever_ends_the_program_restarts_the_board(board: Folder, error: str) -> None:
    start = await board.start(
        f"class program:\n    def run(*_):\n        raise {error}\nsys.modules['mqttlite_board.program'] = program\n"
    )
    assert error.partition("(")[0].rpartition(".")[2] in start.said
    assert (start.reset, start.slept) == (True, 60)


async def test_after_a_while_of_work_a_failure_costs_ten_seconds(board: Folder) -> None:
    start = await board.start(
        "class program:\n    def run(*_):\n        clock.sleep(61)\n        raise OSError(28)\n"
        "sys.modules['mqttlite_board.program'] = program\n"
    )
    assert "28: the flash is full" in start.said
    assert (start.reset, start.slept) == (True, 71)


async def test_memory_that_is_missing_at_every_attempt_ends_in_a_restart(board: Folder) -> None:
    board.set(url="serial://2?tx=17&rx=16", watchdog_s=60)
    start = await board.start(
        "attempts = []\n"
        "def trouble(number):\n    attempts.append(number)\n    return MemoryError('4096 bytes')\n"
        "plain = asyncio.sleep\nasyncio.sleep = lambda seconds: plain(seconds / 100)\n"
        "def reset():\n    told['reset'] = True\n    print('attempts:', len(attempts))\n    raise Reset\n"
        "machine.reset = reset\n"
    )
    assert "attempts: 5" in start.said
    assert "MemoryError" in start.said
    assert (start.reset, start.slept) == (True, 60)


async def test_a_network_without_memory_ends_in_a_restart(board: Folder) -> None:
    start = await board.start(
        "attempts = []\n"
        "async def full(*_):\n    attempts.append(1)\n    raise OSError(12)\n"
        "asyncio.open_connection = full\n"
        "plain = asyncio.wait_for\n"
        "asyncio.wait_for = lambda job, seconds: plain(job, seconds / 1000 if seconds < 10 else seconds)\n"
    )
    assert start.said.count("there is no memory left") == 4  # of the fifth attempt, the board tells no more
    assert (start.reset, start.slept) == (True, 60)


async def test_ctrl_c_leads_to_the_prompt_where_the_watchdog_is_fed_for_an_hour(board: Folder) -> None:
    board.set(watchdog_s=60)
    start = await board.start(
        "class program:\n    def run(*_):\n        raise KeyboardInterrupt\n"
        "sys.modules['mqttlite_board.program'] = program\n"
    )
    assert "prompt" in start.said
    assert not start.reset
    assert start.timer is not None
    period_ms, times = start.timer
    assert HOUR - 2 * period_ms / 1000 <= period_ms * times / 1000 <= HOUR


async def test_ctrl_c_while_the_board_waits_for_its_restart_leads_to_the_prompt(board: Folder) -> None:
    board.set(watchdog_s=60)
    board.copy_program()
    board.write("mqttlite_board/program.py", "1 / 0\n")
    start = await board.start("interrupted_at = 30\n", path=(ROOT,))
    assert "prompt" in start.said
    assert not start.reset
    assert start.timer is not None


FULL = """
import os, vfs

class Disk:
    def __init__(self, blocks):
        self.data = bytearray(blocks * 512)
    def readblocks(self, block, buf, offset=0):
        at = block * 512 + offset
        buf[:] = self.data[at : at + len(buf)]
    def writeblocks(self, block, buf, offset=0):
        at = block * 512 + offset
        self.data[at : at + len(buf)] = buf
    def ioctl(self, op, arg):
        return {4: len(self.data) // 512, 5: 512, 6: 0}.get(op)

disk = Disk(16)
vfs.VfsLfs2.mkfs(disk)
vfs.mount(vfs.VfsLfs2(disk), "/flash")
try:
    with open("/flash/photo", "w") as file:
        while True:
            file.write("x" * 128)
            file.flush()
except OSError as error:
    assert error.errno == 28
"""


async def test_a_full_flash_is_said_over_mqtt_and_the_board_tries_again(board: Folder, mosquitto: Mosquitto) -> None:
    board.set(url=mosquitto.url, store="/flash/journal")
    async with MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/problem", "-q", "1") as subscriber:
        start = await board.start(FULL)
        while not (problem := (await subscriber.get()).payload.decode()):
            pass  # at first there is none
    assert problem.startswith("journal /flash/journal: 28: the flash is full")
    assert "the flash is full" in start.said
    assert (start.reset, start.slept) == (True, 60)
