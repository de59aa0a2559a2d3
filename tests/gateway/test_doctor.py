"""`mqttlite doctor` of this machine: each step finds what is well to be so, and what is provoked, with what to do."""

import asyncio
import json
import os
import socket
import time
from pathlib import Path

import pytest

from mqttlite.broker.operating import control_path
from mqttlite.cli import parser_of
from mqttlite.cli.demo.pty_line import NoisyLine
from mqttlite.cli.examining.doctor import board
from mqttlite_gateway.config import load
from mqttlite_gateway.gateway import Gateway
from mqttlite_gateway.operating.doctor import clock, disk, ports, reach, running, settings, versions, wear
from mqttlite_gateway.operating.doctor.examining import STEPS, examine
from mqttlite_gateway.operating.doctor.finding import DOUBTFUL, LEFT_OUT, OK, WRONG, Case, Finding
from tests.cli.commands import inside
from tests.peers import free_port


def written(folder: Path, text: str, mode: int = 0o600) -> Case:
    path = folder / "gateway.toml"
    path.write_text(text)
    path.chmod(mode)
    return Case(path)


def read(folder: Path, text: str) -> Case:
    case = written(folder, text)
    assert [finding.state for finding in settings.look(case)] == [OK]
    return case


def states(found: list[Finding]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for finding in found:
        grouped.setdefault(finding.state, []).append(finding.text)
    return grouped


async def test_the_command_says_each_step_as_json_and_its_code_whether_something_is_wrong(tmp_path: Path) -> None:
    case = written(tmp_path, '[[serial]]\npath = "/dev/no-such-port"\n')
    done = await inside("doctor", "--config", str(case.path), "--json")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {each["step"] for each in found} == set(STEPS)
    assert done.code == 1  # the port is not there
    done = await inside("doctor", "--config", str(case.path), "--only", "version")
    assert done.code == 0, done.stdout
    assert done.stdout.startswith("ok        version   mqttlite ")
    done = await inside("doctor", "--only", "wfii")
    assert done.code == 1
    assert "there is no such step of this machine; there are version, gateway" in done.stderr


@pytest.mark.parametrize(
    ("words", "is_board"),
    [
        ([], False),
        (["--only", "disk"], False),
        (["--only", "settings"], False),
        (["--only", "link"], True),
        (["--port", "/dev/ttyUSB0", "--only", "settings"], True),
        (["--board", "esp32-devkitc"], True),
    ],
)
def test_a_board_is_examined_where_an_option_or_a_step_says_so(words: list[str], is_board: bool) -> None:
    assert board.is_asked_for(parser_of("doctor").parse_args(words)) is is_board


def test_every_mistake_of_the_settings_is_a_finding(tmp_path: Path) -> None:
    case = written(tmp_path, 'upstrem = "mqtt://a"\n[[serial]]\nbaud = 1\n')
    found = list(settings.look(case))
    assert {finding.state for finding in found} == {WRONG}
    assert any("upstream" in finding.text for finding in found) and len(found) >= 2
    assert all("--test-config" in finding.todo for finding in found)
    assert case.config is None


def test_a_secret_that_everybody_can_read_is_wrong(tmp_path: Path) -> None:
    case = written(tmp_path, 'upstream = "mqtt://a:b@127.0.0.1"\n[[serial]]\npath = "/dev/ttyUSB0"\n', 0o644)
    [finding] = settings.look(case)
    assert finding.state == WRONG and "everybody on this machine can read it" in finding.text


def test_settings_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    [finding] = settings.look(Case(tmp_path / "none.toml"))
    assert finding.state == LEFT_OUT and "--install" in finding.todo


async def test_a_port_that_is_missing_is_named_and_so_is_who_has_one(tmp_path: Path) -> None:
    async with NoisyLine() as line:
        text = "".join(f'[[serial]]\npath = "{path}"\n' for path in (line.a_path, line.b_path, "/dev/no-such-port"))
        case = read(tmp_path, text)
        file = os.open(line.b_path, os.O_RDWR | os.O_NOCTTY)
        try:
            found = {finding.text.split()[0]: finding for finding in ports.look(case) if finding.text[0] == "/"}
        finally:
            os.close(file)
    assert found["/dev/no-such-port"].state == WRONG
    assert "is in use by" in found[line.b_path].text
    assert found[line.b_path].values["users"]


def test_the_port_of_a_bus_is_examined(tmp_path: Path) -> None:
    found = list(ports.look(read(tmp_path, '[[bus]]\npath = "/dev/no-such-bus"\n')))
    assert (found[0].state, found[0].text) == (WRONG, "/dev/no-such-bus is not there")


def test_the_kernels_console_is_no_port_for_a_board(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cmdline").write_text("console=serial0,115200 console=tty1 root=/dev/mmcblk0p2")
    monkeypatch.setattr(ports, "CONSOLE", tmp_path / "cmdline")
    [finding] = ports._console(["/dev/serial0"])
    assert finding.state == WRONG and "raspi-config" in finding.todo
    assert list(ports._console(["/dev/ttyUSB0"])) == []


def test_a_clock_before_the_program_was_made_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1e9)
    [finding] = clock.look(Case(Path("x")))
    assert finding.state == WRONG and "2001-09-0" in finding.text


@pytest.mark.parametrize(("kept", "state"), [(True, OK), (False, DOUBTFUL), (None, LEFT_OUT)])
def test_who_keeps_the_clock_right_is_said(monkeypatch: pytest.MonkeyPatch, kept: bool | None, state: str) -> None:
    monkeypatch.setattr(clock, "is_synchronised", lambda: kept)
    monkeypatch.setattr(clock, "has_rtc", lambda: False)
    first, battery = clock.look(Case(Path("x")))
    assert first.state == state
    assert battery.state == DOUBTFUL and "after a power cut" in battery.text


def test_the_kernel_can_be_asked_about_its_clock() -> None:
    assert clock.is_synchronised() in (True, False, None)
    before = time.time()
    clock.is_synchronised()
    assert 0 <= time.time() - before < 5  # which it has not changed


def test_syncs_and_room_are_measured_where_the_store_is(tmp_path: Path) -> None:
    case = read(tmp_path, f'mode = "bridge"\nstore = "{tmp_path}/gateway.db"\n')
    assert case.store == tmp_path
    found = list(disk.look(case))
    values = {name: value for finding in found for name, value in finding.values.items()}
    assert values["free_bytes"] > 0
    assert 0 < values["sync_ms"] <= values["sync_ms_most"]
    assert list(tmp_path.iterdir()) == [case.path]


def test_a_slow_card_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(disk, "sync_times", lambda folder: [0.02, 0.08, 0.4])
    finding = disk._syncs(tmp_path)
    assert finding.state == DOUBTFUL and finding.text == "a sync takes 80.0 ms, 400.0 ms at most of 3"


def test_a_store_on_a_network_or_in_memory_is_no_store(tmp_path: Path) -> None:
    for kind, state in (("nfs4", WRONG), ("tmpfs", DOUBTFUL)):
        [finding] = disk._mounted(tmp_path, disk.Mount("0:1", kind, "x", False))
        assert finding.state == state and kind in finding.text
    [finding] = disk._mounted(tmp_path, disk.Mount("0:1", "ext4", "x", True))
    assert "is read-only" in finding.text


def test_years_of_a_card_follow_from_size_and_rate() -> None:
    assert wear.years(32_000_000_000, 32e9 * wear.CYCLES / wear.INSIDE / wear.YEAR_S) == pytest.approx(1.0)
    assert wear.years(1, 0.0) == float("inf")
    busy = wear.of_device(wear.Written("mmcblk0", 32_000_000_000, 50_000_000), 86400.0)
    assert busy.state == OK and busy.values["bytes_a_day"] == 50_000_000
    assert busy.values["years"] == pytest.approx(219.0, rel=0.01)
    worn = wear.of_device(wear.Written("mmcblk0", 8_000_000_000, 900_000_000_000), 86400.0)
    assert worn.state == DOUBTFUL and worn.values["years"] < 5
    young = wear.of_device(wear.Written("mmcblk0", 8_000_000_000, 900_000_000_000), 60.0)
    assert young.state == LEFT_OUT and "runs for 1 minutes only" in young.text


def test_upstreams_are_tried_and_no_password_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert reach.reached(f"mqtt://ann:5ecret@127.0.0.1:{port}").state == OK
    silent = reach.reached(f"mqtt://ann:5ecret@127.0.0.1:{free_port()}")
    assert silent.state == WRONG and "nothing listens at 127.0.0.1" in silent.text
    assert "5ecret" not in repr(silent)
    unknown = reach.reached("mqtt://no-such-host.invalid")
    assert unknown.state == WRONG and "no-such-host.invalid is not known" in unknown.text
    assert reach.reached(f"unix://{tmp_path}/none").state == WRONG


def test_what_is_not_installed_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert states(list(versions.look(Case(Path("x")))))[OK]
    monkeypatch.setattr(versions, "PARTS", {"no_such_module": ("no-such", "python3-no-such")})
    first, second = versions.look(Case(Path("x")))
    assert first.values["python"]
    assert second.state == DOUBTFUL and "no-such is not installed" in second.text and second.todo


async def test_the_running_gateway_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "run").mkdir(mode=0o700)
    case = written(
        tmp_path,
        f'mode = "bridge"\nstore = "{tmp_path}/gateway.db"\nlisten = ["mqtt://127.0.0.1:0"]\nconsole = ""\n'
        f'[[upstream]]\nname = "cloud"\nurl = "mqtt://127.0.0.1:{free_port()}"\nout = [{{ filter = "#" }}]\n',
    )
    async with Gateway(load(case.path)):
        assert control_path.running()
        found = await asyncio.to_thread(lambda: list(examine(case, ["gateway", "wear"])))
    assert case.pid == os.getpid()
    grouped = states(found)
    assert any("a gateway runs: process" in text for text in grouped[OK])
    assert any("upstream cloud" in text for text in grouped[WRONG])
    assert any("the gateway has written" in text for text in grouped[OK])


def test_without_a_running_gateway_the_rest_is_examined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(running, "running", list)
    case = Case(tmp_path / "none.toml")
    [finding] = running.look(case)
    assert finding.state == LEFT_OUT and case.pid is None
