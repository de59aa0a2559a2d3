"""The record of settings: what is refused, and how; on MicroPython and CPython alike. Power cuts while it is saved."""

import json
from pathlib import Path

import pytest

from mqttlite_board import settings
from tests.firmware.boards import FIRMWARE, run
from tests.peers import MicroPython
from tests.runtimes import ROOT

SCRIPTS = ROOT / "tests" / "micropython"
SECRET = "hunter-2-hunter-2"

GOOD: list[dict[str, object]] = [
    {"url": "mqtt://192.168.1.10"},
    {"url": "mqtt://discover"},
    {"url": "mqtts://discover/home", "ca": "MIIB", "username": "one", "password": SECRET},
    {"url": "mqtts://pi.local:8884", "ca": "MIIB"},
    {"url": "mqtt://[fe80::1]:1883"},
    {"url": ["serial://2?tx=17&rx=16&baud=115200", "mqtt://broker:1883"]},
    {"url": "serial:usb"},
    {"url": "serial:///dev/ttyUSB0?baud=9600"},
    {"username": "one", "password": SECRET, "key": "ab" * 32, "led": "LED", "sleep_s": 0.5},
    {"username": None, "password": None, "led": None, "store": "", "time": "ntp", "watchdog_s": 60},
    {"wifi": {"name": "home", "password": SECRET, "address": ["10.0.0.2", "255.0.0.0", "10.0.0.1", "10.0.0.1"]}},
    {"wifi": {"name": "open"}},
    {"wifi": {}},
    {"topic": "halls/3/pump", "store": "ring:journal", "app": {"pins": [1, 2], "words": {"a": None, "b": True}}},
]
WRONG: list[tuple[dict[str, object], str]] = [
    ({"name": ""}, "name is empty"),
    ({"name": "a/b"}, "name 'a/b'"),
    ({"name": " a"}, "name ' a'"),
    ({"name": "ü" * 17}, "name: has more than 32 bytes"),
    ({"name": 7}, "name: must be a text"),
    ({"url": ""}, "url '': must be mqtt://"),
    ({"url": "mqtt://"}, "url 'mqtt://': must be as"),
    ({"url": "mqtt://:1883"}, "must be as mqtt://"),
    ({"url": "mqtt://host:0"}, "the port must be a number from 1 to 65535"),
    ({"url": "mqtt://host:port"}, "the port must be a number"),
    ({"url": "mqtt://a host"}, "holds a blank"),
    ({"url": "mqtts://host"}, "ca is missing: mqtts:// needs the certificate"),
    ({"url": "mqtts://host", "ca": "c2VzYW1l"}, "ca: must be a certificate in DER, in base64"),
    ({"url": "mqtts://host", "ca": "%%%"}, "ca: must be a certificate in DER, in base64"),
    ({"url": "wss://host"}, "url 'wss://host': must be mqtt://"),
    (
        {"url": "mqtt://discover", "username": "a", "password": SECRET},
        "url 'mqtt://discover': the password would go to whoever answers",
    ),
    ({"url": ["serial:usb", "mqtts://discover"]}, "ca is missing"),
    ({"url": "mqtt://discover:1883"}, "url 'mqtt://discover:1883': must be as"),
    ({"url": "mqtt://discover", "sleep_s": 60}, "url 'mqtt://discover': a board that sleeps"),
    ({"url": f"mqtt://one:{SECRET}@host"}, "url: user name and password do not belong here"),
    ({"url": "serial://two"}, "the UART must be a number"),
    ({"url": "serial://2?speed=9600"}, "speed must be one of tx, rx, baud"),
    ({"url": ["serial:usb", "mqtt://a", "mqtt://b"]}, "url: must be a text, or a list of two"),
    ({"url": []}, "url: must be a text, or a list of two"),
    ({"passwort": SECRET}, "passwort: there is no such setting; is 'password' meant?"),
    ({"WiFi": {}}, "WiFi: there is no such setting; is 'wifi' meant?"),
    ({"frobnicate": 1}, "frobnicate: there is no such setting"),
    ({"wifi": {"pass": SECRET, "name": "x"}}, "wifi.pass: there is no such setting"),
    ({"wifi": {"name": "x", "password": "short-7"}}, "wifi.password: has 7 bytes"),
    ({"wifi": {"password": SECRET}}, "wifi.name is missing"),
    ({"wifi": {"name": "x", "address": "10.0.0.2"}}, "wifi.address: must be a list of four"),
    ({"wifi": {"name": "x", "address": ["10.0.0.2", "255.0.0.0", "10.0.0.1", "10.0.0.256"]}}, "wifi.address: must be"),
    ({"wifi": [SECRET]}, "wifi: must be a table"),
    ({"password": SECRET}, "username is missing: a password needs one"),
    ({"username": "one", "password": 12345678}, "password: must be a text"),
    ({"key": SECRET}, "key: must be 64 hexadecimal digits"),
    ({"key": "xy" * 32}, "key: must be 64 hexadecimal digits"),
    ({"topic": "a/#"}, "topic 'a/#'"),
    ({"topic": ""}, "topic ''"),
    ({"topic": "/a"}, "topic '/a'"),
    ({"watchdog_s": True}, "watchdog_s: must be a whole number"),
    ({"watchdog_s": 1.5}, "watchdog_s: must be a whole number"),
    ({"watchdog_s": 86401}, "watchdog_s = 86401: must be 0 to 86400"),
    ({"sleep_s": -1}, "sleep_s = -1: must be 0 to"),
    ({"led": [2]}, "led: must be the number or name of a pin"),
    ({"time": "dcf77"}, "time 'dcf77': must be gateway, ntp or empty"),
    ({"store": "ring:"}, "store 'ring:': must be the name of a file"),
    ({"app": 5}, "app: must be a table"),
]

CHECK = """
import json
from mqttlite_board import settings
for values in json.loads(open("records.json").read()):
    record = "none"
    if values != "none":
        record = {"name": "one", "url": "serial:usb"}
        record.update(values)
    try:
        settings.check(record)
        print("-")
    except settings.SettingError as error:
        print(error)
"""


async def said(runtime: str, folder: Path, records: list[object]) -> list[str]:
    """What the check says of each of these, which have a name and a URL of their own if need be."""
    (folder / "records.json").write_text(json.dumps(records))
    output = await run(runtime, folder, CHECK)
    return output.splitlines()


async def test_settings_that_are_right_pass(tmp_path: Path, runtime: str) -> None:
    assert await said(runtime, tmp_path, [*GOOD]) == ["-"] * len(GOOD)


async def test_what_cannot_be_right_is_named_and_no_secret_is_shown(tmp_path: Path, runtime: str) -> None:
    lines = await said(runtime, tmp_path, [*(values for values, _ in WRONG), "none"])
    for line, (values, words) in zip(lines, WRONG, strict=False):
        assert words in line, values
    assert lines[-1] == "the settings are no table of keys and values"
    assert SECRET not in "".join(lines)


@pytest.mark.parametrize("key", ["name", "url"])
def test_what_every_board_needs_is_missed(key: str) -> None:
    values = {"name": "one", "url": "serial:usb"}
    del values[key]
    with pytest.raises(settings.SettingError, match=f"{key} is missing"):
        settings.check(values)


def test_a_record_is_saved_and_loaded_with_what_it_does_not_say(tmp_path: Path) -> None:
    path = str(tmp_path / "settings.json")
    record = {"name": "pump", "url": "serial:usb", "wifi": {"name": "ü", "password": SECRET}}
    settings.save(path, record)
    assert settings.read(path) == record
    found = settings.load(path)
    assert (found["topic"], found["store"], found["username"], found["app"]) == ("boards/pump", "journal", None, {})
    assert [file.name for file in tmp_path.iterdir()] == ["settings.json"]


def test_what_is_wrong_is_not_saved(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    with pytest.raises(settings.SettingError):
        settings.save(str(path), {"name": "pump"})
    assert not path.exists()


def test_every_flipped_bit_and_every_shorter_file_is_damage_or_refused() -> None:
    record = {"name": "pump", "url": "serial:usb", "username": "u", "password": SECRET}
    data = settings.encode(record)
    for size in range(len(data) - 2):
        with pytest.raises(settings.SettingError, match=r"damaged|no such setting|is missing"):
            settings.check(settings.decode(data[:size]))
    for bit in range((len(data) - 1) * 8):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        try:
            found = settings.decode(bytes(broken))
            settings.check(found)
            assert found == record, bit  # what is damaged is the brace behind it
        except settings.SettingError as error:
            assert SECRET not in str(error)


def test_a_file_that_was_written_by_hand_needs_no_checksum() -> None:
    assert settings.decode(b'{"name": "one",\n "url": "serial:usb"}\n') == {"name": "one", "url": "serial:usb"}


def test_what_is_printed_says_of_a_secret_only_that_there_is_one() -> None:
    record = {
        "name": "one",
        "password": SECRET,
        "key": SECRET,
        "wifi": {"name": "home", "password": SECRET},
        "trial": {"password": SECRET, "wifi": {"password": SECRET}},
        "username": None,
    }
    shown = settings.public(record)
    assert SECRET not in json.dumps(shown)
    assert shown["wifi"] == {"name": "home", "password": "***"}
    assert record["password"] == SECRET
    assert settings.public({"password": None}) == {"password": None}


async def test_a_board_forgets_the_rules_when_it_has_checked(micropython: MicroPython, tmp_path: Path) -> None:
    script = (
        "import sys\nfrom mqttlite_board import settings\nfor _ in range(2):\n"
        "    settings.check({'name': 'a', 'url': 'serial:usb'})\n"
        "    print('mqttlite_board.settings_rules' in sys.modules)\n"
        "    print(hasattr(sys.modules['mqttlite_board'], 'settings_rules'))"
    )
    result = await micropython.run(script, path=[FIRMWARE], heap="80k")
    assert result.stdout.splitlines() == ["False"] * 4


@pytest.mark.parametrize("bits", [32, 64])
async def test_a_power_cut_at_any_operation_leaves_the_old_settings_or_the_new(bits: int) -> None:
    result = await MicroPython(bits).run(SCRIPTS / "settings_cuts.py", heap="2m", path=[SCRIPTS, FIRMWARE])
    assert result.stdout.splitlines()[-1] == "all done"
