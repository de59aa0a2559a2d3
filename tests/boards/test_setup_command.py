"""`mqttlite board setup`: what it asks, shows and says; on MicroPython as a board on its USB socket."""

import asyncio
import io
import sys
from pathlib import Path

import pytest

from mqttlite.boards.reaching.ports import Candidate
from mqttlite.boards.updating.devices import Devices
from mqttlite.cli import main
from mqttlite.cli.boards.board import setup
from mqttlite_board.settings import decode, encode
from tests.firmware.boards import settings as settings_of
from tests.firmware.consoles import RADIO, waiting
from tests.firmware.test_setting_up import board_in
from tests.peers import Mosquitto

SECRET = "s3cret-of-the-board"


def board_toml(folder: Path, text: str) -> Path:
    path = folder / "board.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path


async def command(*words: str) -> int:
    """The command, in a thread of its own: it has an event loop of its own."""
    return await asyncio.to_thread(main, ["board", "setup", *words])


async def test_a_board_is_set_up_from_a_file_and_said_to_be_connected(
    mosquitto: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f'name = "pump"\nurl = "{mosquitto.url}"\nusername = "pump"\npassword = "{SECRET}"\n'
    words = ("--settings", str(board_toml(tmp_path, text)), "--devices", str(tmp_path / "devices.toml"))
    async with board_in(tmp_path / "board").running() as board:
        assert await command("--port", board.path, *words) == 0
        said = capsys.readouterr()
        assert f"{board.path}: board: mqttlite" in said.out
        assert said.out.endswith("connected to its broker\n")
        assert await command("--port", board.path, *words) == 1
        assert "'pump' has its settings; --again gives it others" in capsys.readouterr().err
    device = Devices(tmp_path / "devices.toml").get("pump")
    saved = decode((tmp_path / "board" / "settings.json").read_bytes())
    assert (saved["key"], saved["password"]) == (device.key, SECRET)
    assert device.username == "pump"
    assert SECRET not in said.out + said.err
    assert device.key not in said.out + said.err


async def test_a_board_on_the_line_of_a_gateway_is_told_where_that_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = board_toml(tmp_path, 'name = "pump"\nurl = "serial:usb"\n')
    async with waiting(tmp_path / "board") as console:
        words = ("--settings", str(toml), "--devices", str(tmp_path / "devices.toml"))
        assert await command("--port", console.path, *words) == 0
        assert f"mqttlite gateway --serial {console.path}" in capsys.readouterr().out


class Terminal(io.StringIO):
    """Somebody who types these lines."""

    def isatty(self) -> bool:
        return True


async def test_what_is_not_known_is_asked_and_the_networks_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("pump\nmqtt://192.0.2.1\n1\n"))
    monkeypatch.setattr("getpass.getpass", lambda prompt: "right-password")
    async with waiting(tmp_path / "board", RADIO) as console:
        words = ("--devices", str(tmp_path / "devices.toml"), "--wait", "0")
        assert await command("--port", console.path, *words) == 0
    said = capsys.readouterr().out
    assert "   1  home  (-48 dBm, strong)" in said
    assert "   2  café  (-80 dBm, weak, open)" in said
    assert "'pump' has its settings and the address 192.0.2.7" in said
    saved = decode((tmp_path / "board" / "settings.json").read_bytes())
    assert (saved["name"], saved["url"]) == ("pump", "mqtt://192.0.2.1")
    assert saved["wifi"] == {"name": "home", "password": "right-password"}
    assert "right-password" not in said


async def test_a_wrong_password_of_the_network_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = 'name = "pump"\nurl = "mqtt://192.0.2.1"\n[wifi]\nname = "home"\npassword = "a-wrong-password"\n'
    words = ("--settings", str(board_toml(tmp_path, text)), "--devices", str(tmp_path / "devices.toml"))
    async with waiting(tmp_path / "board", RADIO) as console:
        assert await command("--port", console.path, *words) == 1
    said = capsys.readouterr()
    assert "the board says: the network 'home' refuses the password" in said.err
    assert "a-wrong-password" not in said.out + said.err


async def test_where_nobody_can_be_asked_what_is_missing_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    async with waiting(tmp_path / "board") as console:
        assert await command("--port", console.path) == 1
    assert "the name of the board is not known: give it in --settings" in capsys.readouterr().err


@pytest.mark.parametrize("there", [[], ["/dev/ttyUSB0", "/dev/ttyUSB1"]])
def test_which_port_is_asked_for_where_there_is_not_one(
    there: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Candidate(path, "CP2102") for path in there]
    monkeypatch.setattr("mqttlite.boards.reaching.ports.candidates", lambda: found)
    assert main(["board", "setup"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert {line[: len("mqttlite board setup: ")] for line in said} == {"mqttlite board setup: "}
    if there:
        assert "there are 2 serial ports; say which one the board is at:" in said[0]
        assert [line.split(": ")[1].strip() for line in said[1:]] == [f"--port {path}   CP2102" for path in there]
    else:
        assert "no serial port: plug the board in with a cable that carries data" in said[0]


async def test_a_board_that_does_not_reach_its_broker_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = board_toml(tmp_path, 'name = "pump"\nurl = "mqtt://127.0.0.1:1"\n')
    async with board_in(tmp_path / "board").running() as board:
        words = ("--settings", str(toml), "--devices", str(tmp_path / "devices.toml"), "--wait", "3")
        assert await command("--port", board.path, *words) == 1
    said = capsys.readouterr()
    assert "it is not connected to its broker within 3 s" in said.err


def test_a_network_can_be_chosen_by_number_by_name_and_unseen() -> None:
    from mqttlite.boards.reaching.improv_client import Network

    networks = [Network("home", -50, True), Network("2", -60, False)]
    assert setup._chosen(networks, "1").name == "home"
    assert setup._chosen(networks, "2") == networks[1]
    assert setup._chosen(networks, "hidden") == Network("hidden", -100, True)


async def test_another_settings_record_takes_the_place_of_one(tmp_path: Path) -> None:
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "settings.json").write_bytes(encode(settings_of("mqtt://192.0.2.1")))
    toml = board_toml(tmp_path, 'name = "other"\nurl = "serial:usb"\n')
    async with waiting(tmp_path / "board") as console:
        words = ("--settings", str(toml), "--devices", str(tmp_path / "devices.toml"), "--again")
        assert await command("--port", console.path, *words) == 0
    assert decode((tmp_path / "board" / "settings.json").read_bytes())["name"] == "other"
