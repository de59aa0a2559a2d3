"""`mqttlite board new`: what it makes can be used as it is, and nothing that was there is lost."""

import os
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from mqttlite.boards.settings.application_folder import SETTINGS, filled, make
from mqttlite.boards.settings.settings_file import new_key, read_settings
from mqttlite.boards.supplies import application_template
from mqttlite.cli import main
from mqttlite_board.settings_rules import KINDS, WIFI_KINDS
from tests.certificates import Certificates
from tests.firmware.boards import FIRMWARE
from tests.runtimes import ROOT


def test_a_new_application_has_settings_that_are_right_and_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["board", "new", "pump-7"]) == 0
    settings = tmp_path / "pump-7" / SETTINGS
    values = read_settings(settings)
    key = values.pop("key")
    assert len(bytes.fromhex(key)) == 32
    assert {name: value for name, value in values.items() if name != "app"} == {"name": "pump-7", "url": "serial:usb"}
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    assert SETTINGS in (tmp_path / "pump-7" / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "# pump-7\n" in (tmp_path / "pump-7" / "README.md").read_text(encoding="utf-8")
    output = capsys.readouterr().out
    assert "mqttlite flash --app ." in output
    assert key not in output


def test_the_tests_of_a_new_application_pass_as_they_are_made(tmp_path: Path) -> None:
    make(tmp_path / "pump-7", {"name": "pump-7", "url": "serial:usb"})
    path = os.pathsep.join(map(str, (ROOT, FIRMWARE)))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": path, "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        command, cwd=tmp_path / "pump-7", env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_each_has_a_key_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [main(["board", "new", name]) for name in ("one", "two")] == [0, 0]
    keys = {read_settings(tmp_path / name / SETTINGS)["key"] for name in ("one", "two")}
    assert len(keys) == 2


def test_two_ways_to_the_broker_are_tried_in_the_order_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WIFI_PASSWORD", 'Grün "5" \\')
    words = ["--board", "esp32-devkitc", "--uart", "--wifi", "Gar#den", "--broker", "192.168.1.10:1884"]
    assert main(["board", "new", "pump-7", *words]) == 0
    values = read_settings(tmp_path / "pump-7" / SETTINGS)
    assert values["url"] == ["serial://2?tx=17&rx=16&baud=115200", "mqtt://192.168.1.10:1884"]
    assert values["wifi"] == {"name": "Gar#den", "password": 'Grün "5" \\'}
    assert "Grün" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--uart"], "--uart needs --board"),
        (["--wifi", "Garden"], "--wifi and --broker go together"),
        (["--board", "esp33"], "there is no board 'esp33'; there are esp32"),
        (["--wifi", "Garden", "--broker", "a b"], "url 'mqtt://a b'"),
        (["--serial", "--uart", "--board", "esp32-devkitc", "--wifi", "G", "--broker", "b"], "two of --serial"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WIFI_PASSWORD", "secret-5")
    assert main(["board", "new", "pump-7", *words]) == 1
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pump-7").mkdir()
    (tmp_path / "pump-7" / "app.py").write_text("mine")
    assert main(["board", "new", "pump-7"]) == 1
    assert "pump-7 is there already" in capsys.readouterr().err
    assert [path.read_text() for path in (tmp_path / "pump-7").iterdir()] == ["mine"]


def test_the_template_has_a_line_for_every_setting() -> None:
    text = (application_template() / SETTINGS).read_text(encoding="utf-8")
    values: dict[str, Any] = {key: "x" for key in KINDS if key not in ("app", "counter", "trial")}
    values["wifi"] = dict.fromkeys(WIFI_KINDS, "y")
    made = tomllib.loads(filled(text, values))
    assert {key: value for key, value in made.items() if key != "app"} == values


def test_the_settings_that_the_template_has_commented_out_are_right_when_they_are_not(tmp_path: Path) -> None:
    text = (application_template() / SETTINGS).read_text(encoding="utf-8")
    lines = [line.removeprefix("# ") if " = " in line or "[wifi]" in line else line for line in text.splitlines()]
    text = "\n".join(lines).replace('"gateway" # or "ntp"', '"ntp" #').replace('key = ""', f'key = "{new_key()}"')
    Certificates(tmp_path)  # makes a ca.pem
    (tmp_path / SETTINGS).write_text(text.replace('name = ""', 'name = "Garden"').replace('= ""', '= "12345678"'))
    assert read_settings(tmp_path / SETTINGS)["sleep_s"] == 0


def test_boards_are_listed_with_the_pins_of_their_link(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["board", "list"]) == 0
    assert "link: UART 2, tx 17, rx 16" in capsys.readouterr().out
    assert main(["board", "list", "esp32-c3-devkitm-1"]) == 0
    output = capsys.readouterr().out
    assert "leave alone 20, 21: UART0" in output
    assert "esp32-devkitc" not in output
    assert main(["board", "list", "esp33"]) == 1
    assert "esp32-devkitc" in capsys.readouterr().err


def test_nothing_is_made_for_a_name_that_no_board_can_have(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name 'a/b'"):
        make(tmp_path / "new", {"name": "a/b", "url": "serial:usb"})
    assert not (tmp_path / "new").exists()
