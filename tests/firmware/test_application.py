"""What an application may say, what of its readings is published, and the template that an application begins with."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mqttlite_board import measuring
from mqttlite_board.api import Application
from mqttlite_board.trying import obey, published, read
from tests.firmware.boards import FIRMWARE, PACKAGE
from tests.runtimes import ROOT

TEMPLATE = PACKAGE / "application"
SENSOR_WITH_A_PIN = """
def test_a_sensor_that_takes_a_pin():
    import machine
    from mqttlite_board.sensors import adc, bme280, ds18b20
    from mqttlite_board.trying import read

    machine.ADC.return_value.read_uv.return_value = 1_850_000
    application = app.Application()
    application.measure("soil", adc.Adc(34, points=((2.6, 0), (1.1, 100))).read, every_s=60)
    assert round(read(application, "soil")) == 50
"""


def measuring_one(**options: Any) -> Application:
    app = Application()
    app.measure("x", lambda: 1, **{"every_s": 10, **options})
    return app


def test_the_tests_of_the_template_run_on_a_computer(tmp_path: Path) -> None:
    for name in ("app.py", "pytest.ini", "tests/conftest.py", "tests/test_app.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((TEMPLATE / name).read_bytes())
    with (tmp_path / "tests" / "test_app.py").open("a", encoding="utf-8") as file:
        file.write(SENSOR_WITH_A_PIN)
    env = {**os.environ, "PYTHONPATH": f"{FIRMWARE}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    result = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert "4 passed" in result.stdout, result.stdout


def test_every_reading_is_published_where_nothing_else_is_said() -> None:
    assert published(measuring_one(), "x", [1, 1, None, 2]) == [(0, 1), (10, 1), (30, 2)]


def test_what_has_not_changed_enough_is_not_published_but_something_every_so_often() -> None:
    app = measuring_one(change=0.5, at_least_s=30)
    assert published(app, "x", [1, 1.4, 1.5, 1.5, 1.6, 1.6]) == [(0, 1), (20, 1.5), (50, 1.6)]


def test_a_change_of_nought_means_any() -> None:
    assert published(measuring_one(change=0), "x", [1, 1, 1.01, 1.01]) == [(0, 1), (20, 1.01)]


def test_of_a_dict_any_change_counts_and_texts_are_the_same_or_not() -> None:
    app = measuring_one(change=1)
    values = [{"a": 1, "b": "on"}, {"a": 1.9, "b": "on"}, {"a": 1.9, "b": "off"}, {"a": 3, "b": "off"}, {"a": 3}]
    assert [at for at, _ in published(app, "x", values)] == [0, 20, 30, 40]


def test_readings_are_rounded_before_they_are_compared() -> None:
    assert published(measuring_one(digits=1, change=0), "x", [1.04, 0.96, 1.06]) == [(0, 1.0), (20, 1.1)]
    assert published(measuring_one(digits=1), "x", [{"a": 1.26, "b": 2}]) == [(0, {"a": 1.3, "b": 2})]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": float("nan")}])
def test_what_is_no_number_is_no_reading(value: object) -> None:
    with pytest.raises(ValueError, match="measured"):
        published(measuring_one(), "x", [value])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("", {}),
        ("state", {}),
        ("command/x", {}),
        ("a/+", {}),
        ("x", {"every_s": 0.001}),
        ("x", {"every_s": 100000}),
        ("x", {"qos": 3}),
        ("x", {"batch": 0}),
        ("taken", {}),
    ],
)
def test_what_cannot_be_measured_so_is_said_at_once(name: str, options: dict[str, Any]) -> None:
    app = Application()
    app.measure("taken", lambda: 1)
    with pytest.raises(ValueError, match=name or "empty"):
        app.measure(name, lambda: 1, **options)


@pytest.mark.parametrize("options", [{"keep": "some"}, {"queue": 1}, {"batch_max": 0}])
def test_a_policy_that_there_is_not_is_said_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Application(**options)


def test_a_sensor_can_be_read_on_the_computer() -> None:
    async def slow() -> int:
        return 5

    app = Application()
    app.measure("slow", slow)
    app.measure("quick", lambda: 4)
    assert (read(app, "slow"), read(app, "quick")) == (5, 4)


def test_commands_are_answered_with_what_their_functions_return_or_raise() -> None:
    async def later(command: dict[str, Any]) -> dict[str, Any]:
        return {"twice": 2 * command["n"]}

    app = measuring_one()
    app.command("later", later)
    app.command("three", lambda _: 3)
    app.command("nothing", lambda _: None)
    app.command("odd", lambda _: object())
    assert obey(app, {"do": "later", "n": 4, "id": "a"})["twice"] == 8
    assert obey(app, {"do": "three"})["result"] == 3
    assert "error" not in obey(app, {"do": "nothing"})
    assert "KeyError" in obey(app, {"do": "later", "id": 7})["error"]
    assert obey(app, {"do": "odd", "id": 7})["id"] == 7
    assert "error" in obey(app, {"do": "odd"})
    assert obey(app, {"do": "every", "ms": 20, "sensor": "x"})["every"] == 20
    assert app.sensors[0].every_ms == 20
    assert "no such sensor" in obey(app, {"do": "every", "ms": 20, "sensor": "y"})["error"]


def test_readings_before_the_clock_is_set_carry_their_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring.clock, "_begun", None)
    assert measuring.message([(1500, 7)], -1, 3) == {"boot": 3, "up": 1500, "v": 7}
    monkeypatch.setattr(measuring.clock, "_begun", 1_000_000)
    assert measuring.message([(1500, 7)], 4, 3) == {"t": 1_001_500, "n": 4, "v": 7}


def test_readings_that_share_a_message_have_their_times_and_the_number_of_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measuring.clock, "_begun", 1_000_000)
    found = measuring.message([(1000, 1), (1500, None), (2500, 3)], 9, 3)
    assert found == {"t": 1_001_000, "n": 7, "dt": [0, 500, 1500], "v": [1, None, 3]}
    assert measuring.readings_in(b'{"t":1,"dt":[0,500,1500],"v":[1,2,3]}') == 3
    assert measuring.readings_in(b'{"t":1,"v":1}') == 1
    assert [measuring.readings_in(text) for text in (b"", b"7", b"{}", b"[1]")] == [0, 0, 0, 0]


async def test_a_reading_for_which_there_is_room_when_the_clock_has_been_set_has_its_time_told_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measuring.clock, "_begun", None)
    app = measuring_one()
    sent = []

    async def publish(name: str, text: str, *_: object) -> None:
        measuring.clock.set_epoch(1796025912804)
        sent.append(text)

    program = SimpleNamespace(app=app, boots=3, owes_clock=False, unconfirmed=lambda: 0, publish=publish)
    for value in (1, 2):
        app.sensors[0].take(value, 1500)
        await measuring.hand_over(program, app.sensors[0])
    assert "boot" in sent[0] and "boot" not in sent[1]
    assert program.owes_clock
