"""board.toml and fleet.csv: what people write, and what they are told about it."""

import json
import stat
from pathlib import Path

import pytest

from mqttlite.boards.settings.settings_file import (
    SettingsFileError,
    exposed,
    new_key,
    read_fleet,
    read_settings,
    to_json,
    write_toml,
)
from mqttlite.cli import main
from mqttlite_board.settings import SettingError, check, decode

SECRET = "hunter-2-hunter-2"
TOML = f"""\
# a board
name = "pump-7"
url = ["serial:usb", "mqtt://192.168.1.10:1883"]
username = "pump-7"
password = "{SECRET}"

[wifi]
name = "Zuhause ü"
password = "{SECRET}"

[app]
every_ms = 500
"""


def write(folder: Path, text: str, name: str = "board.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def test_a_board_toml_becomes_what_a_board_has(tmp_path: Path) -> None:
    values = read_settings(write(tmp_path, TOML))
    assert values["wifi"] == {"name": "Zuhause ü", "password": SECRET}
    assert values["app"] == {"every_ms": 500}
    assert decode(to_json(values)) == values


def test_what_is_written_as_toml_is_read_back(tmp_path: Path) -> None:
    values = {
        "name": 'a "quoted" \\ name',
        "url": ["serial:usb", "mqtt://b"],
        "sleep_s": 1.5,
        "led": 2,
        "wifi": {"name": "\u007f😀é", "password": "tab\there\tnow"},
        "app": {"deep": {"list": [1, True, {"x y": "ü"}]}, "n": -5},
    }
    path = tmp_path / "board.toml"
    write_toml(path, {**values, "username": None, "counter": 5})
    assert read_settings(path) == values
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('username = "pump-7"', 'user = "pump-7"', ":4: user: there is no such setting"),
        ('username = "pump-7"', "username = 5", ":4: username: must be a text"),
        ("every_ms = 500", "every_ms = ", ":12: Invalid value"),
        ('name = "Zuhause ü"', 'ssid = "Zuhause ü"', ":8: wifi.ssid: there is no such setting"),
        ('"mqtt://192.168.1.10:1883"', '"mqtt://192.168.1.300:1883"', ":3: url: '192.168.1.300' is no IPv4"),
        ('name = "pump-7"', "", ": name is missing"),
        ("# a board", "counter = 5", ":1: counter: is the board's own"),
        ("[wifi]", "[Wifi]", ":7: Wifi: there is no such setting; is 'wifi' meant?"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_without_secrets(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    path = write(tmp_path, TOML.replace(old, new, 1))
    with pytest.raises(SettingsFileError) as caught:
        read_settings(path)
    assert f"{path}{words}" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_fleet_has_a_board_in_each_line(tmp_path: Path) -> None:
    common = read_settings(write(tmp_path, 'url = "mqtt://broker"\n[wifi]\nname = "hall"\n'), partly=True)
    text = (
        "name,username,password,wifi.password,watchdog_s,led,url,app.every_ms,app.label,wifi.address\n"
        f"one,one,{SECRET},{SECRET},60,2,,500,left,\n"
        "\n"
        f'two,two,"with, comma",{SECRET},,LED,serial:usb mqtt://b,0.5,"a ""b""",10.0.0.2 255.0.0.0 10.0.0.1 10.0.0.1\n'
    )
    one, two = read_fleet(write(tmp_path, text, "fleet.csv"), common)
    assert one == {
        "name": "one",
        "url": "mqtt://broker",
        "username": "one",
        "password": SECRET,
        "wifi": {"name": "hall", "password": SECRET},
        "watchdog_s": 60,
        "led": 2,
        "app": {"every_ms": 500, "label": "left"},
    }
    assert two["url"] == ["serial:usb", "mqtt://b"]
    assert (two["password"], two["led"], two["app"]) == ("with, comma", "LED", {"every_ms": 0.5, "label": 'a "b"'})
    assert two["wifi"]["address"] == ["10.0.0.2", "255.0.0.0", "10.0.0.1", "10.0.0.1"]
    assert common == {"url": "mqtt://broker", "wifi": {"name": "hall"}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,url\none,serial:usb\ntwo,serial:usb\none,serial:usb\n", ":4: name 'one' stands in line 2, too"),
        ("name,url\none,\n", ":2: url is missing"),
        ("name;url\none;nonsense\n", ":2: url 'nonsense'"),
        ("url\nserial:usb\n", ":1: there is no column 'name'"),
        ("name,url,url\n", ":1: column 'url' is there twice"),
        ("name,,url\n", ":1: column 2 has no name"),
        ("name,url,wifi.ssid\none,serial:usb,x\n", ":2: wifi.ssid: there is no such setting"),
        (f"name,url,password\none,serial:usb,{SECRET}\n", ":2: username is missing"),
        ("name,url,watchdog_s\none,serial:usb,long\n", ":2: watchdog_s: must be a whole number"),
        ("name,url\none,serial:usb,5\n", ":2: has 3 cells, and there are 2 columns"),
        ("name,url,name.x\none,serial:usb,5\n", ":2: name.x: 'name' is no table"),
        ("name,url\n", ": there is no board in it"),
        ("", ":1: there is no column 'name'"),
    ],
)
def test_what_is_wrong_in_a_fleet_is_said_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path, text, "fleet.csv")
    with pytest.raises(SettingsFileError) as caught:
        read_fleet(path)
    assert f"{path}{words}" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_file_with_secrets_that_others_can_read_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, TOML)
    values = read_settings(path)
    assert exposed(path, values) == ""
    path.chmod(0o644)
    assert exposed(path, values).endswith(f"(mode 644): chmod 600 {path}")
    assert exposed(path, {"name": "a"}) == ""


def test_keys_are_made_for_one_device_each() -> None:
    keys = {new_key() for _ in range(5)}
    assert len(keys) == 5
    for key in keys:
        check({"name": "a", "url": "serial:usb", "key": key})


def test_a_record_of_a_board_on_trial_can_be_written_for_it(tmp_path: Path) -> None:
    assert decode(to_json({"name": "a", "url": "serial:usb", "counter": 7}))["counter"] == 7
    with pytest.raises(SettingError, match="name"):
        to_json({"url": "serial:usb"})


def test_the_command_writes_what_its_owner_alone_can_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = write(tmp_path, TOML)
    output = tmp_path / "settings.json"
    assert main(["board", "settings", str(board), "-o", str(output)]) == 0
    assert decode(output.read_bytes())["name"] == "pump-7"
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    fleet = write(tmp_path, "name\none\ntwo\n", "fleet.csv")
    common = write(tmp_path, 'url = "serial:usb"\n', "common.toml")
    assert main(["board", "settings", "--fleet", str(fleet), str(common), "-o", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one.json", "two.json"]
    said = capsys.readouterr()
    assert "the settings of 2 boards are right" in said.out
    assert SECRET not in said.out + said.err
    assert main(["board", "settings", str(write(tmp_path, "name = 1", "bad.toml"))]) == 1
    assert "bad.toml: url is missing" in capsys.readouterr().err
    assert json.loads(output.read_bytes())["settings"]["name"] == "pump-7"
