"""From a board without settings to its first message: MicroPython as a board on its USB socket, starter, program and
a real broker; set up by our client, by Improv's own, and by a gateway.
"""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mqttlite.boards.reaching.improv_client import ImprovClient
from mqttlite.boards.updating.devices import Devices
from mqttlite.serial.ports import open_port
from mqttlite_board import improv
from mqttlite_board.settings import decode, encode
from tests.firmware.boards import APPLICATION, FIRMWARE, START, TOPIC
from tests.firmware.boards import settings as settings_of
from tests.firmware.console_board import ConsoleBoard
from tests.firmware.test_improv import browser
from tests.gateway.world import COMMAND, Program
from tests.peers import Mosquitto, MosquittoSub
from tests.runtimes import ROOT

SECRET = "s3cret-of-the-boards"
SLOWLY_S = 40.0  # on a loaded machine


def board_in(folder: Path, values: dict[str, Any] | None = None) -> ConsoleBoard:
    """A board with starter and program, and these settings."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in START.glob("*.py"):
        shutil.copy(source, folder)
    if values is not None:
        (folder / "settings.json").write_bytes(encode(values))
    return ConsoleBoard(folder, heap="400k", imports=[APPLICATION, FIRMWARE, ROOT])


async def first_reading(broker: Mosquitto) -> int:
    """The number of the first reading that comes."""
    async with MosquittoSub(broker.port, "-t", f"{TOPIC}/count", "-q", "2") as subscriber:
        number: int = json.loads((await subscriber.get()).payload)["n"]
        return number


async def test_a_new_board_is_set_up_starts_again_and_sends_its_first_message(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    lines: list[str] = []
    async with (
        MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/count", "-q", "2") as subscriber,
        board_in(tmp_path / "board").running() as board,
        ImprovClient(open_port(board.path), lines.append) as client,
    ):
        assert await client.detect(SLOWLY_S) == improv.READY
        assert (await client.info()).is_ours
        await client.put(settings_of(mosquitto.url))
        assert json.loads((await subscriber.get()).payload)["n"] == 1
    assert any(line.startswith("waiting for settings") for line in lines)
    assert decode((tmp_path / "board" / "settings.json").read_bytes())["name"] == "one"


async def test_whoever_asks_a_board_that_has_settings_is_told_so_in_its_window_and_while_it_runs(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    lines: list[str] = []
    async with (
        board_in(tmp_path / "board", settings_of(mosquitto.url)).running() as board,
        ImprovClient(open_port(board.path), lines.append) as client,
    ):
        assert await client.detect(SLOWLY_S) == improv.PROVISIONED  # in the window
        await client.put(settings_of(mosquitto.url, every_ms=50))  # and can be given others
        await first_reading(mosquitto)
        assert "connected" in lines
        assert await client.detect(SLOWLY_S) == improv.PROVISIONED  # which ends the program, and starts it again later
        assert (await client.settings())["app"] == {"every_ms": 50}


async def test_improvs_own_client_detects_a_board_that_runs(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with (
        MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/count", "-q", "2") as subscriber,
        board_in(tmp_path / "board", settings_of(mosquitto.url)).running() as board,
    ):
        await subscriber.get()
        [said] = await browser(board, ["initialize", 3000])
    assert said["state"] == 4
    result = said["result"]
    assert isinstance(result, dict)
    assert result["firmware"] == "mqttlite"


async def test_ctrl_c_while_it_waits_for_settings_leads_to_the_prompt(tmp_path: Path) -> None:
    async with board_in(tmp_path / "board").running() as board:
        port = open_port(board.path)
        said = b""
        while b"waiting for settings" not in said:
            said += await port.read()
        await port.write(b"\r\x03")
        while not said.endswith(b">>> "):
            said += await port.read()
        port.close()


@pytest.mark.parametrize("damage", ["cut off", "a wrong key"])
async def test_settings_that_cannot_be_used_are_said_and_replaced(
    mosquitto: Mosquitto, tmp_path: Path, damage: str
) -> None:
    lines: list[str] = []
    board = board_in(tmp_path / "board", settings_of(mosquitto.url))
    path = board.folder / "settings.json"
    path.write_bytes(path.read_bytes()[:-20] if damage == "cut off" else b'{"name": "one", "urls": "serial:usb"}')
    async with board.running(), ImprovClient(open_port(board.path), lines.append) as client:
        assert await client.detect(SLOWLY_S) == improv.READY
        await client.put(settings_of(mosquitto.url))
        await first_reading(mosquitto)
    words = "damaged" if damage == "cut off" else "urls: there is no such setting; is 'url' meant?"
    assert any("waiting for settings" in line and words in line for line in lines)


async def test_a_gateway_sets_up_a_board_as_its_settings_say_and_keeps_its_key(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with board_in(tmp_path / "board").running() as board:
        text = f"""
upstream = "{mosquitto.url}"

[provision]
url = "{mosquitto.url}"
name = "hall-{{name}}"
username = "anybody"
password = "{SECRET}"
devices = "{tmp_path / "devices.toml"}"
app = {{ every_ms = 50 }}

[[serial]]
path = "{board.path}"
"""
        (tmp_path / "gateway.toml").write_text(text)
        (tmp_path / "gateway.toml").chmod(0o640)  # everybody: refused
        async with (
            Program(*COMMAND, "gateway", "--config", str(tmp_path / "gateway.toml")) as gateway,
            MosquittoSub(mosquitto.port, "-t", "boards/hall-board/count", "-q", "2") as subscriber,
        ):
            said = await gateway.says("the board is set up as 'hall-board'")
            assert json.loads((await subscriber.get()).payload)["n"] == 1
            await gateway.says(f"{tmp_path / 'gateway.toml'} contains a password")
            key = Devices(tmp_path / "devices.toml").get("hall-board").key
            assert "no device yet" not in "\n".join(gateway.lines)
            assert SECRET not in "\n".join(gateway.lines)
            assert key not in "\n".join(gateway.lines)
    assert str(tmp_path / "devices.toml") in said
    saved = decode((tmp_path / "board" / "settings.json").read_bytes())
    assert (saved["key"], saved["username"], saved["app"]) == (key, "anybody", {"every_ms": 50})


async def test_a_gateway_without_settings_for_boards_says_what_to_do(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with (
        board_in(tmp_path / "board").running() as board,
        Program(*COMMAND, "gateway", "--upstream", mosquitto.url, "--serial", board.path) as gateway,
    ):
        line = await gateway.says("no device yet")
    assert "a board that waits for its settings: stop this program and run mqttlite board setup" in line
    assert not (tmp_path / "board" / "settings.json").exists()


async def test_a_board_whose_link_is_on_its_socket_answers_when_no_gateway_is_there(tmp_path: Path) -> None:
    lines: list[str] = []
    async with (
        board_in(tmp_path / "board", settings_of("serial:usb")).running() as board,
        ImprovClient(open_port(board.path), lines.append) as client,
    ):
        async with asyncio.timeout(30):
            while b"\x08one" not in client._heard.head:  # noqa: ASYNC110 - until the link has sent a frame
                await asyncio.sleep(0.05)
        assert await client.detect(SLOWLY_S) == improv.PROVISIONED
        assert (await client.info()).name == "one"


async def test_a_gateway_sets_up_a_board_on_its_socket_and_carries_its_messages_over_the_same_line(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    text = f"""
upstream = "{mosquitto.url}"
[provision]
devices = "{tmp_path / "devices.toml"}"
app = {{ every_ms = 200 }}
[[serial]]
path = "PATH"
"""
    async with board_in(tmp_path / "board").running() as board:
        (tmp_path / "gateway.toml").write_text(text.replace("PATH", board.path))
        async with (
            Program(*COMMAND, "gateway", "--config", str(tmp_path / "gateway.toml")) as gateway,
            MosquittoSub(mosquitto.port, "-t", "boards/board/count", "-q", "2") as subscriber,
        ):
            await gateway.says("the board is set up as 'board'")
            assert json.loads((await subscriber.get()).payload)["n"] == 1
    assert decode((tmp_path / "board" / "settings.json").read_bytes())["url"] == "serial:usb"
