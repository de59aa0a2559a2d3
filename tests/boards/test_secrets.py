"""No secret is ever printed: what a board, its crash log and its topics, a gateway and the commands say is searched for
all of them, while everything goes wrong. (`mqttlite flash` and `rotate`: their own tests do the same.)
"""

import asyncio
import json
from pathlib import Path

import pytest

from mqttlite.boards.settings.settings_file import write_toml
from mqttlite.boards.updating.devices import Device, Devices
from mqttlite.cli import main
from mqttlite_board.settings import encode
from tests.firmware.boards import Board
from tests.gateway.world import COMMAND, Program
from tests.peers import Mosquitto, MosquittoSub, mosquitto_pub

SECRETS = {
    "password": "s3cret-of-mqtt",
    "key": "5ec4e7" * 10 + "abcd",
    "wifi": "s3cret-of-wifi",
    "new": "s3cret-that-is-new",
}
VALUES = {
    "username": "one",
    "password": SECRETS["password"],
    "key": SECRETS["key"],
    "wifi": {"name": "home", "password": SECRETS["wifi"]},
    "counter": 7,
    "trial": {"id": "r", "state": "there was no connection with the new ones"},
}


def searched(text: str) -> None:
    """Fails where a secret is in the text."""
    for name, secret in SECRETS.items():
        assert secret not in text, name


async def test_a_board_says_none_on_its_console_its_topics_or_in_its_files(
    mosquitto: Mosquitto, tmp_path: Path, runtime: str
) -> None:
    # The Wi-Fi stays out of the settings of a computer: there is no radio. (The one of paper: test_setup_command.)
    values = {key: value for key, value in VALUES.items() if key != "wifi"}
    board = Board(tmp_path / "board", mosquitto.url, runtime=runtime, every_ms=50, **values)
    said: list[str] = []
    async with MosquittoSub(mosquitto.port, "-t", "boards/one/#", "-q", "2") as subscriber:  # noqa: SIM117
        async with board.running() as process:
            while "failed" not in "".join(said):  # the report of the trial
                said.append((await subscriber.get()).payload.decode())
            for number, command in enumerate(
                (
                    {"do": "settings"},
                    {"do": "rotate", "counter": 8, "sealed": "AAAA"},
                    {"do": "rotate", "counter": 8, "sealed": SECRETS["password"]},
                    {"do": SECRETS["password"]},
                    {"do": "ping"},
                )
            ):
                text = json.dumps({**command, "id": number})
                await mosquitto_pub(mosquitto.port, "-t", "boards/one/command", "-q", "2", "-m", text)
                while f'"id": {number}' not in said[-1] and f'"id":{number}' not in said[-1]:
                    message = await subscriber.get()
                    if message.topic != "boards/one/command":
                        said.append(message.payload.decode())
            process.kill()
    (board.folder / "settings.json").write_bytes(encode({"name": "one", "url": mosquitto.url, **values, "led": [1]}))
    async with board.running() as process:
        await asyncio.wait_for(process.wait(), 30)
    assert '"***"' in "".join(said)
    others = [path for path in board.folder.iterdir() if path.name not in ("settings.json", "output.txt")]
    searched(board.output + "".join(said) + "".join(path.read_text(errors="replace") for path in others))
    assert "led: must be the number or name of a pin" in board.output


async def test_a_program_that_crashes_tells_none(mosquitto: Mosquitto, tmp_path: Path, runtime: str) -> None:
    values = {key: value for key, value in VALUES.items() if key in ("username", "password", "key")}
    board = Board(tmp_path / "board", mosquitto.url, runtime=runtime, **values)
    prepare = (
        "from mqttlite_board import program\nplain = program.Program.announce\n"
        "async def broken(self):\n    raise OSError(5)\nprogram.Program.announce = broken\n"
    )
    async with board.running(prepare) as process:
        await asyncio.wait_for(process.wait(), 30)
    assert "OSError" in board.output
    files = [path for path in board.folder.iterdir() if path.name not in ("settings.json", "output.txt")]
    searched(board.output + "".join(path.read_text(errors="replace") for path in files))


async def test_a_gateway_says_none(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    text = f"""
upstream = "mqtt://me:{SECRETS["new"]}@127.0.0.1:1"
[provision]
username = "one"
password = "{SECRETS["password"]}"
wifi = {{ name = "home", password = "{SECRETS["wifi"]}" }}
[[serial]]
path = "/dev/ttyNONE0"
"""
    config.write_text(text)
    config.chmod(0o600)
    async with Program(*COMMAND, "gateway", "-v", "--config", str(config)) as gateway:
        await gateway.says("/dev/ttyNONE0: does not exist")
        await gateway.says("nothing listens at")
    said = "\n".join(gateway.lines)
    searched(said)
    for old, new in (('"home"', "5"), ("username", "user"), ('"one"', "")):
        config.write_text(text.replace(old, new, 1))
        async with Program(*COMMAND, "gateway", "--config", str(config)) as gateway:
            assert await gateway.ended() == 1
        searched("\n".join(gateway.lines))
        assert "gateway.toml" in gateway.lines[-1]


def test_commands_say_none_whatever_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "board.toml"
    good = {"name": "one", "url": "mqtt://b", **{key: VALUES[key] for key in ("username", "password", "key", "wifi")}}
    write_toml(path, good)
    text = path.read_text()
    devices = Devices(tmp_path / "devices.toml")
    devices.put(Device("one", SECRETS["key"], next_key="5ec4e7" * 10 + "0000"))
    for old, new in (
        ("", ""),
        ("[wifi]", "[wifi"),
        ('"' + SECRETS["password"] + '"', SECRETS["password"]),
        (SECRETS["key"], SECRETS["key"][1:]),
        ("username", "user"),
        ("password", "passwort"),
        ('name = "home"', ""),
        (f'"{SECRETS["wifi"]}"', f'["{SECRETS["wifi"]}"]'),
        ('"mqtt://b"', f'"mqtt://one:{SECRETS["password"]}@b"'),
    ):
        path.write_text(text.replace(old, new, 1) if old else text)
        assert main(["board", "settings", str(path)]) == (1 if old else 0), old
    path.write_text(text)
    assert main(["board", "rotate", "two", "--key", "--devices", str(devices.path)]) == 1
    assert main(["board", "rotate", "one", "--key", "--devices", str(devices.path), "--url", "mqtt://127.0.0.1:1"]) == 1
    assert main(["board", "setup", "--port", "/dev/ttyNONE0", "--settings", str(path)]) == 1
    devices.path.chmod(0o644)
    assert main(["board", "rotate", "one", "--key", "--devices", str(devices.path)]) == 1
    said = capsys.readouterr()
    searched(said.out + said.err)
    searched(repr(Device("one", SECRETS["key"], next_key=SECRETS["key"])))
