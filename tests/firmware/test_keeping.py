"""Clock, LED and heap of a board: each on its own, with what it needs of a board made of paper."""

import asyncio
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from mqttlite_board import clock, led, timekeeping
from tests.firmware.boards import run

CLOCK = """
import json, sys, time
told = []

class RTC:
    def datetime(self, values):
        told.append(values)

class machine:
    pass

machine.RTC = RTC
sys.modules["machine"] = machine
from mqttlite_board import clock
clock._begun = None
before = [clock.epoch_ms(), clock.begun()]
at = clock.up_ms()
clock.set_epoch(1796025912804)
left = clock.epoch_ms() - 1796025912804
began = clock.begun() + at - 1796025912804
clock.resume(1000, 61000)
print(json.dumps([before, left, began, clock.up_ms() - at, clock.epoch_ms() - 1796025912804, told]))
"""


async def test_a_clock_that_is_set_tells_when_what_was_before_happened(runtime: str, tmp_path: Path) -> None:
    before, left, began, up, epoch, told = json.loads(await run(runtime, tmp_path, CLOCK))
    assert before == [None, None]
    assert 0 <= left < 5000
    assert -5000 < began <= 0
    assert 60_000 <= up < 65_000  # a minute of sleep
    assert 0 <= epoch < 5000  # which was in the time already
    ((year, month, day, _, hour, minute, second, microsecond),) = told
    assert (year, month, day, hour, minute, second, microsecond) == (2026, 11, 30, 8, 5, 12, 804000)


class Program:
    """As much of one as these parts ask for."""

    def __init__(self, gateway: "int | None" = None, link: object = None) -> None:
        self.client = SimpleNamespace(gateway_time=lambda: gateway, link_stats=lambda: link)
        self.is_connected = True
        self.changed = asyncio.Event()
        self.start = SimpleNamespace(is_safe=False)
        self.app = SimpleNamespace(sensors=[])
        self.settings = {"led": 2}

    def has_changed(self) -> None:
        self.changed.set()


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_begun", None)


def ntp(monkeypatch: pytest.MonkeyPatch, answer: "int | Exception") -> None:
    def time() -> int:
        if isinstance(answer, Exception):
            raise answer
        return answer

    module = ModuleType("ntptime")
    vars(module)["time"] = time
    monkeypatch.setitem(sys.modules, "ntptime", module)


@pytest.mark.usefixtures("unset")
async def test_the_gateways_time_is_taken_before_that_of_the_internet(monkeypatch: pytest.MonkeyPatch) -> None:
    ntp(monkeypatch, AssertionError("nobody asks"))
    program = Program(gateway=1796025912804, link=object())
    keeping = asyncio.create_task(timekeeping.keep(program))
    await program.changed.wait()
    keeping.cancel()
    assert 0 <= (clock.epoch_ms() or 0) - 1796025912804 < 5000


@pytest.mark.usefixtures("unset")
async def test_without_a_line_the_time_is_asked_for_until_somebody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    ntp(monkeypatch, OSError(110))
    assert timekeeping.by_ntp() is None
    monkeypatch.setattr(timekeeping, "NTP_RETRY_S", 0.01)
    program = Program()
    keeping = asyncio.create_task(timekeeping.keep(program))
    await asyncio.sleep(0.05)
    assert clock.begun() is None
    ntp(monkeypatch, 1796025912)
    await program.changed.wait()
    keeping.cancel()
    assert 0 <= (clock.epoch_ms() or 0) - 1796025912000 < 5000


@pytest.mark.usefixtures("unset")
async def test_on_a_line_whose_gateway_says_nothing_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    ntp(monkeypatch, 1796025912)
    monkeypatch.setattr(timekeeping, "LOOK_S", 0.01)
    keeping = asyncio.create_task(timekeeping.keep(Program(link=object())))
    await asyncio.sleep(0.05)
    keeping.cancel()
    assert clock.begun() is None


def test_the_led_shows_how_the_board_is() -> None:
    program: Any = Program()
    assert led.blinks(program) == 1
    program.app.sensors.append(SimpleNamespace(error="no answer"))
    assert led.blinks(program) == 3
    program.is_connected = False
    assert led.blinks(program) == 2
    program.start.is_safe = True
    assert led.blinks(program) == 5


async def test_the_led_is_switched_by_hand_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    values: list[bool] = []
    written = asyncio.Event()

    class Pin:
        OUT = 1

        def __init__(self, number: int, mode: int) -> None:
            assert (number, mode) == (2, self.OUT)

        def value(self, on: bool) -> None:
            values.append(bool(on))
            written.set()

    module = ModuleType("machine")
    vars(module)["Pin"] = Pin
    monkeypatch.setitem(sys.modules, "machine", module)
    monkeypatch.setattr(led, "BLINK_S", 0.001)
    monkeypatch.setattr(led, "PAUSE_S", 0.002)
    program: Any = Program()

    async def shows(wanted: "bool | None", expected: set[bool]) -> None:
        monkeypatch.setattr(led, "wanted", wanted)
        values.clear()
        async with asyncio.timeout(30):
            while len(values) < 8 or set(values[-4:]) != expected:
                written.clear()
                await written.wait()

    showing = asyncio.create_task(led.show(program))
    await shows(None, {True, False})
    await shows(True, {True})
    await shows(False, {False})
    await shows(None, {True, False})
    showing.cancel()


HEAP = """
import gc
from mqttlite_board import heap
print(heap.trouble() or "well")
pieces = [None] * 1000
count = 0
try:
    while True:
        pieces[count] = bytearray(1000)
        count += 1
except MemoryError:
    pieces[10] = pieces[20] = None
print(heap.trouble())
for i in range(0, count, 2):
    pieces[i] = None
print(heap.trouble())
pieces = None
print(heap.trouble() or "well")
"""


async def test_a_heap_that_is_full_or_in_pieces_is_noticed(tmp_path: Path) -> None:
    well, full, pieces, again = (await run("micropython", tmp_path, HEAP)).splitlines()
    assert (well, again) == ("well", "well")
    assert "bytes of the heap are free" in full
    assert "no 2048 of them in one piece" in pieces
