"""`mqttlite doctor`: each step finds a board that is well to be so, and each failure is provoked once. The board is the
real interpreter with a board's console; its UART, partitions and radio are simulated.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mqttlite.boards.examining import doctor
from mqttlite.boards.examining.doctor import LEFT_OUT, OK, WRONG, Case, Finding, Wishes, examine
from mqttlite.boards.known import data
from mqttlite.boards.report import Report
from mqttlite.boards.settings.asking import Asker
from mqttlite.cli import main
from tests.hardware.simulated import KIND, Hands, SimulatedBoard
from tests.peers import Mosquitto, free_port, run

NAMES = [step.name for step in doctor.steps()]


@pytest.fixture
async def well(tmp_path: Path) -> AsyncIterator[SimulatedBoard]:
    """A board, running, with Wi-Fi settings, whose broker nobody asks for."""
    wifi = {"name": "home", "password": "right-password"}
    simulated = SimulatedBoard(tmp_path, "serial:usb", wifi=wifi)
    async with simulated.board.running():
        yield simulated


def states(found: dict[str, Finding]) -> dict[str, str]:
    return {name: finding.state for name, finding in found.items()}


async def test_a_board_that_is_well_passes_each_step_up_to_a_command_that_waited_over_a_power_cut(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    simulated = SimulatedBoard(tmp_path, "serial:usb")
    hands: list[Any] = [lambda: None, lambda: None]  # the wire goes on and comes off
    async with simulated.board.running() as board:
        somebody = Hands(*hands, board.power_off, board.power_on)
        found = await simulated.examined(asker=somebody, broker=mosquitto.url, joined=False, resets=False)
    assert list(found) == NAMES
    left_out = {name: finding.text for name, finding in found.items() if finding.state != OK}
    assert set(left_out) == {"chip", "wifi"}, {name: found[name] for name in left_out}
    assert "GPIO17" in found["loop"].text and "GPIO16" in somebody.asked[0]
    assert found["flash"].text.startswith("as the image ESP32_GENERIC has it")
    assert "readings without a gap" in found["power"].text
    assert found["power"].values["boots"][1] == found["power"].values["boots"][0] + 1
    assert found["power"].values["answers"] == 1


async def test_the_command_prints_a_line_for_each_step_and_asks_nothing_with_json(well: SimulatedBoard) -> None:
    words = ["--port", well.board.path, "--board", KIND.stem, "--json", "--joined"]
    only = [word for name in ("loop", "flash", "wifi") for word in ("--only", name)]
    done = await run(sys.executable, "-m", "mqttlite", "doctor", *words, *only)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["step"], line["state"]) for line in lines] == [
        (name, OK) for name in ("port", "prompt", "loop", "flash", "settings", "wifi")
    ]
    assert "right-password" not in done.stdout + done.stderr


async def test_a_board_at_the_prompt_is_well(well: SimulatedBoard) -> None:
    found = await well.examined("version", "loop", "flash", "heap", "files", "settings", "wifi")
    assert set(states(found).values()) == {OK}
    assert found["wifi"].text == "'home' at -60 dBm"
    assert found["heap"].values["free"] > 60 * 1024
    # a UART that nothing is joined to, the wrong network, another table, and what is missing or damaged on the flash
    well.chip.update(uart="open", networks=[["cafe", -85]])
    well.chip["partitions"][3][3] = "ffat"
    well.settings["name"] = "two"
    well.put()
    app = (well.folder / "a" / "app.py").read_bytes()
    well.remove("a/app.py")
    found = await well.examined("loop", "flash", "files", "wifi")
    assert {name for name, finding in found.items() if finding.state == WRONG} == {"loop", "flash", "files", "wifi"}
    assert found["loop"].text == "nothing comes back" and "GPIO17" in found["loop"].todo
    assert "ffat at 0x200000" in found["flash"].text and "ESP32_GENERIC" in found["flash"].todo
    assert "there is no application" in found["files"].text and "--app-only" in found["files"].todo
    assert "'home' is not among the 1 networks" in found["wifi"].text and "5 GHz" in found["wifi"].todo
    assert found["settings"].text.startswith("'two'")
    (well.folder / "a" / "app.py").write_bytes(app)
    well.chip["uart"] = "loose"
    well.put()
    program = well.folder / "a" / "lib" / "mqttlite_board" / "program.mpy"
    whole = program.read_bytes()
    program.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    found = await well.examined("loop", "files")
    assert "60 of 64 bytes come back" in found["loop"].text
    assert "a/lib/mqttlite_board/program.mpy is not what this mqttlite has" in found["files"].text
    program.unlink()
    assert "program.mpy is missing" in (await well.examined("files"))["files"].text
    program.write_bytes(whole)
    (program.with_suffix(".py")).write_text("", encoding="utf-8")
    assert "beside the same as .mpy" in (await well.examined("files"))["files"].text
    program.with_suffix(".py").unlink()
    settings = (well.folder / "settings.json").read_bytes()
    (well.folder / "settings.json").write_bytes(settings.replace(b"two", b"too"))
    found = await well.examined("wifi", "link")
    assert "checksum" in found["settings"].text
    assert (found["wifi"].state, found["wifi"].text) == (LEFT_OUT, "needs the step 'settings'")
    assert (found["link"].state, found["link"].text) == (LEFT_OUT, "needs the step 'settings'")
    (well.folder / "settings.json").unlink()
    assert "no settings.json" in (await well.examined("settings"))["settings"].text


class Prompt:
    """In the place of a board: answers each question of a step with a line that it is given."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)

    def run(self, code: str) -> str:
        return self.lines.pop(0)


def case_of(*lines: str, stem: str = KIND.stem, **wishes: Any) -> Case:
    case = Case(data.get(stem), Wishes("/dev/null", **wishes), Asker(may_ask=False), Report())
    case.board = Prompt(*lines)  # type: ignore[assignment]
    return case


@pytest.mark.parametrize(
    "line, words",
    [
        ("circuitpython|9|1|0|6|Espressif|", "it runs circuitpython 9.1.0"),
        ("micropython|1|22|2|6|esp32|Generic ESP32 module with ESP32", "1.22.2 is too old: 1.25 is the least"),
        ("micropython|1|25|0|5|esp32|Generic ESP32 module with ESP32", "is too old"),
        ("micropython|1|26|0|6|rp2|Raspberry Pi Pico W with RP2040", "for 'Raspberry Pi Pico W with RP2040'"),
    ],
)
def test_a_runtime_that_is_old_or_for_another_chip_is_wrong(line: str, words: str) -> None:
    from mqttlite.boards.examining.doctor_prompt import version

    with pytest.raises(doctor.Trouble) as caught:
        version(case_of(line))
    assert words in str(caught.value)
    assert "ESP32_GENERIC" in caught.value.todo


def test_a_heap_that_is_too_small_is_wrong() -> None:
    from mqttlite.boards.examining.doctor_prompt import heap

    assert heap(case_of("90000 3000")).startswith("90,000 bytes free")
    with pytest.raises(doctor.Trouble, match="40,000 bytes are free, and the program needs 61,440"):
        heap(case_of("40000 3000"))


def test_a_pico_has_a_file_system_of_the_size_in_its_board_file() -> None:
    from mqttlite.boards.examining.doctor_prompt import flash

    assert flash(case_of("868352", stem="rpi-pico-w")) == "a file system of 848 KiB"
    with pytest.raises(doctor.Trouble, match="1408 KiB, and the board file says 848 KiB"):
        flash(case_of("1441792", stem="rpi-pico-w"))


def test_a_table_of_ours_is_known_too() -> None:
    from mqttlite.boards import supplies
    from mqttlite.boards.examining.doctor_prompt import flash
    from mqttlite.boards.known import partitions

    layout = partitions.read(supplies.partition_tables() / "4MiB.csv")
    lines = [f"{int(part.type == 'data')}|0|{part.offset}|{part.bytes}|{part.name}" for part in layout.parts]
    assert flash(case_of("\n".join(lines))).startswith("as 4MiB.csv has it: nvs, otadata")


def test_the_loop_is_left_out_where_nobody_can_join_the_pins() -> None:
    from mqttlite.boards.examining.doctor_prompt import loop

    with pytest.raises(doctor.LeftOut, match="--joined"):
        loop(case_of())


def test_a_port_that_is_not_there_ends_it_and_says_what_to_plug() -> None:
    case = Case(KIND, Wishes("/dev/ttyNOTHING"), Asker(may_ask=False), Report())
    found = {finding.step: finding for finding in examine(case)}
    assert found["port"].state == WRONG
    assert "/dev/ttyNOTHING" in found["port"].text and "cable" in found["port"].todo
    assert set(states(found).values()) == {WRONG, LEFT_OUT}
    assert [name for name, state in states(found).items() if state == WRONG] == ["port"]


async def test_a_port_in_use_and_a_board_without_a_prompt_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import pty

    import serial

    from mqttlite.boards.reaching import copying

    master, slave = pty.openpty()
    path = os.ttyname(slave)
    for name in ("RUNNING_S", "PROMPT_S", "BY_HAND_S"):
        monkeypatch.setattr(copying, name, 0.5)
    try:
        wishes = Wishes(path, only=("heap",))
        case = Case(KIND, wishes, Asker(may_ask=False), Report())
        found = {finding.step: finding for finding in await asyncio.to_thread(lambda: list(examine(case)))}
        assert found["prompt"].state == WRONG and "does not get to its prompt" in found["prompt"].todo
        assert found["heap"].text == "needs the step 'prompt'"
        with serial.Serial(path, exclusive=True):
            [busy, *_] = await asyncio.to_thread(lambda: list(examine(case)))
        assert busy.state == WRONG and "gateway" in busy.todo
    finally:
        os.close(master)
        os.close(slave)


async def test_a_broker_that_is_not_there_is_named(well: SimulatedBoard) -> None:
    found = await well.examined("link", broker=f"mqtt://127.0.0.1:{free_port()}")
    assert found["broker"].state == WRONG and "mqttlite broker" in found["broker"].todo
    assert found["link"].text == "needs the step 'broker'"


async def test_a_board_that_does_not_come_up_is_wrong_and_what_it_prints_is_part_of_why(
    well: SimulatedBoard, mosquitto: Mosquitto
) -> None:
    (well.folder / "a" / "app.py").write_text("import nothing_of_the_kind\n", encoding="utf-8")
    found = await well.examined("power", broker=mosquitto.url, wait_s=9.0)
    assert found["link"].state == WRONG
    assert "nothing_of_the_kind" in found["link"].text
    assert found["message"].text == "needs the step 'link'"


async def test_a_restart_in_the_place_of_a_power_cut_says_that_it_is_none(
    well: SimulatedBoard, mosquitto: Mosquitto
) -> None:
    found = await well.examined("power", broker=mosquitto.url)
    assert set(states(found).values()) == {OK}, found
    assert "which is no power cut" in found["power"].text


@pytest.mark.long
async def test_a_board_that_has_not_been_off_is_told(well: SimulatedBoard, mosquitto: Mosquitto) -> None:
    found = await well.examined("message", broker=mosquitto.url)
    assert found["message"].state == OK
    somebody = Hands(lambda: None, lambda: None)
    found = await well.examined("power", broker=mosquitto.url, resets=False, asker=somebody, wait_s=5.0)
    assert found["power"].state == WRONG
    assert "does not come back" in found["power"].text or "has not been off" in found["power"].text


def test_the_chip_is_asked_in_download_mode_and_compared_with_the_board_file() -> None:
    from tests.boards.rom_loader import RomLoader

    found = []
    for board in (data.get("esp32-c3-devkitm-1"), KIND):
        with RomLoader("ESP32-C3") as loader:
            wishes = Wishes(loader.path, only=("chip",), does_chip=True)
            found += list(examine(Case(board, wishes, Asker(may_ask=False), Report())))[1:]
    right, wrong = found
    assert (right.state, right.values["chip"]) == (OK, "ESP32-C3")
    assert wrong.state == WRONG and "it is an ESP32-C3, and ESP32-DevKitC" in wrong.text


@pytest.mark.parametrize(
    "command", [["doctor", "--board", "esp32-devkitc"], ["bench", "--device", "/dev/null", "--board", "esp32-devkitc"]]
)
def test_a_part_that_is_not_installed_is_an_error_of_one_line(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mqttlite.boards.examining.bench._reach", no_broker)
    for module in ("serial", "serial.tools.list_ports", "mpremote.transport_serial"):
        monkeypatch.setitem(sys.modules, module, None)
    assert main(command) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"mqttlite {command[0]}: ")
    assert "is not installed: in a clone, pipx install" in said
    assert said.count("\n") == 1


async def no_broker(where: object) -> None:
    """Nobody asks for one."""
