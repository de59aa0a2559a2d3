"""A board that starts on the real MicroPython interpreter, with a `machine` of paper whose clock runs at will.

What a board would do after `reset` is not run: each start is a process of its own.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from tests.firmware.boards import PACKAGE, PATH, START, settings
from tests.peers import MicroPython

# What of a board the Unix port has not. Seconds that start.py sleeps pass at once.
MACHINE = """
import asyncio, json, sys, time
told = {"watchdog": None, "fed": 0, "timer": None, "blinks": 0, "reset": False, "slept": 0}

class WDT:
    def __init__(self, timeout):
        told["watchdog"] = timeout
        assert "mqttlite" not in sys.modules, "the watchdog starts first"
    def feed(self):
        told["fed"] += 1

class Timer:
    def __init__(self, number):
        if number == 0:
            raise ValueError("Timer doesn't exist")
    ONE_SHOT = 0
    def init(self, period, callback, mode=1):
        told["timer"] = [period, 0]
        if mode == self.ONE_SHOT:
            return
        before = told["fed"]
        for _ in range(10000):
            callback(self)
        told["timer"][1] = told["fed"] - before
    def deinit(self):
        pass

class Pin:
    OUT = 1
    def __init__(self, number, mode):
        if number == 99:
            raise ValueError("invalid pin")
        self.on = 0
    def value(self, on=None):
        if on is None:
            return self.on
        self.on = on
        told["blinks"] += 1

class UART:
    def __init__(self, number, *_, **__):
        raise trouble(number)

def trouble(number):
    return ValueError("UART(%d) does not exist" % number)

class Reset(BaseException):
    pass

def reset():
    told["reset"] = True
    raise Reset

class machine:
    PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = range(1, 6)
    def reset_cause():
        return machine.PWRON_RESET

for thing in (WDT, Timer, Pin, UART, reset):
    setattr(machine, thing.__name__, thing)
sys.modules["machine"] = machine

class clock:
    def ticks_ms():
        return told["slept"] * 1000
    def sleep(seconds):
        told["slept"] += seconds
        if told["slept"] == interrupted_at:
            raise KeyboardInterrupt

interrupted_at = None
"""

# The process ends there: without it a reset is an exception, which the starter takes for one more failure.
ENDS_AT_RESET = """
def reset():
    told["reset"] = True
    print(json.dumps(told))
    sys.exit()

machine.reset = reset
"""

RUN = """
import start
import window
start.time = window.time = clock
told["slept"] = -start.WINDOW_S
try:
    start.run()
except Reset:
    pass
except KeyboardInterrupt:
    print("prompt")
print(json.dumps(told))
"""


def with_job(source: str) -> str:
    """Prepares a start: the application has one more job, the async function `job` in this source."""
    return (
        source + "import mqttlite_board.program as p\n"
        "plain_main = p.Program.main\n"
        "def main(self):\n    self.app.jobs.append(job)\n    return plain_main(self)\n"
        "p.Program.main = main\n"
    )


@dataclass
class Start:
    """What a board has said and done, up to its reset or the prompt."""

    said: str
    watchdog: int | None
    fed: int
    timer: list[int] | None
    blinks: int
    reset: bool
    slept: float


class Folder:
    """A board's folder, with settings that can be overwritten."""

    def __init__(self, micropython: MicroPython, folder: Path) -> None:
        self.micropython = micropython
        self.folder = folder
        self.values = settings("mqtt://127.0.0.1:1")
        self.set()

    def write(self, name: str, text: str) -> None:
        """Write a file of the board."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def copy_program(self, but: str = "") -> None:
        """The files of the program, `but` one, as a board has them: what is changed there is what runs."""
        for source in PACKAGE.rglob("*.py"):
            place = source.relative_to(PACKAGE).as_posix()
            if place != but:
                target = source.name if source.parent == START else f"mqttlite_board/{place}"
                self.write(target, source.read_text(encoding="utf-8"))

    def set(self, **values: object) -> None:
        """Change settings."""
        self.values.update(values)
        # By hand, without a checksum: so the board checks it.
        (self.folder / "settings.json").write_bytes(json.dumps(self.values).encode())

    async def start(self, prepare: str = "", path: tuple[Path, ...] = PATH) -> Start:
        """Start the board; `prepare` runs before start.py."""
        script = MACHINE + prepare + RUN
        result = await self.micropython.run(script, path=(self.folder, *path), heap="512k")
        *said, told = result.stdout.splitlines()
        return Start("\n".join([*said, result.stderr]), **json.loads(told))
