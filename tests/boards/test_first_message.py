"""From an erased board to the first message that has arrived exactly once, by one command; and what comes after.

The chip's loader is simulated (rom_loader.py), and so are its thermometer and its radio; esptool, littlefs, MicroPython
with 32 bits in a heap of 110 KiB, the board's program, the gateway and Mosquitto are real.
"""

import asyncio
import json
import re
import sys
from pathlib import Path

from mqttlite.boards.updating.devices import Devices
from mqttlite_board import settings as board_settings
from tests.boards import images
from tests.boards.booted import FlashedBoard
from tests.boards.rom_loader import RomLoader
from tests.peers import Mosquitto, MosquittoSub, Result, run

FIRST = re.compile(
    r"first message confirmed exactly once: boards/greenhouse-7/temperature (\{.*\}) (\d+) s after the start"
)


def given(folder: Path, url: str = "serial:usb", more: str = "") -> list[str]:
    """The image, and settings."""
    image = folder / "ESP32_GENERIC-20250415-v1.25.0.bin"
    image.write_bytes(images.image())
    settings = folder / "board.toml"
    settings.write_text(f'name = "greenhouse-7"\nurl = "{url}"\n{more}', encoding="utf-8")
    settings.chmod(0o600)
    return ["--image", str(image), "--settings", str(settings), "--devices", str(folder / "devices.toml")]


async def flash(chip: RomLoader, *words: str) -> Result:
    return await run(sys.executable, "-m", "mqttlite", "flash", "--port", chip.path, *words, check=False)


async def test_one_command_from_an_erased_board_to_the_first_message_exactly_once(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    with RomLoader("ESP32") as chip:
        async with FlashedBoard(chip, tmp_path).powered() as board:
            done = await flash(chip, "--broker", mosquitto.url, *given(tmp_path))
            assert done.code == 0, done.stderr
            found = FIRST.fullmatch(done.stdout.splitlines()[-1])
            assert found, done.stdout
            assert json.loads(found[1])["v"] == 53.3  # °C, the thermometer's 128 °F
            await board.power_off()
        files = board.files
    assert files["boots.txt"].split()[0] == b"1"
    assert files["boots.txt"].split()[1] == b"0"  # it was a good one: PUBCOMP has reached the board
    values = board_settings.decode(files["settings.json"])
    device = Devices(tmp_path / "devices.toml").get("greenhouse-7")
    assert device.key == values["key"]
    assert device.key not in done.stdout + done.stderr
    assert (device.topic, device.board) == ("boards/greenhouse-7", "esp32-devkitc")


async def test_a_board_runs_from_its_romfs(mosquitto: Mosquitto, tmp_path: Path) -> None:
    rows = [*images.TABLE[:2], ("factory", 0, 0, 0x10000, 0x1A0000), ("romfs", 1, 0x8F, 0x1B0000, 0x50000)]
    rows += images.TABLE[3:]
    with RomLoader("ESP32") as chip:
        rom = slice(0x1B0000, 0x200000)
        async with FlashedBoard(chip, tmp_path, heap="500k", rom=rom).powered() as board:
            words = given(tmp_path)
            (tmp_path / "ESP32_GENERIC-20250415-v1.25.0.bin").write_bytes(images.image(rows=rows))
            done = await flash(chip, "--broker", mosquitto.url, *words, "--romfs")
            assert done.code == 0, done.stderr
            assert FIRST.fullmatch(done.stdout.splitlines()[-1])
            await board.power_off()
        assert not [name for name in board.files if name.startswith("a/lib")]


async def test_a_board_on_wifi_is_heard_at_the_broker(mosquitto: Mosquitto, tmp_path: Path) -> None:
    wifi = '[wifi]\nname = "home"\npassword = "geheimnis"\n'
    with RomLoader("ESP32-C3") as chip:
        async with FlashedBoard(chip, tmp_path).powered():
            words = given(tmp_path, f"mqtt://127.0.0.1:{mosquitto.port}", wifi)
            (tmp_path / "ESP32_GENERIC-20250415-v1.25.0.bin").write_bytes(images.image("ESP32-C3"))
            done = await flash(chip, *words)
    assert done.code == 0, done.stderr
    assert FIRST.fullmatch(done.stdout.splitlines()[-1])
    assert "board: Wi-Fi: 127.0.0.1" in done.stdout
    assert "geheimnis" not in done.stdout + done.stderr


async def test_a_board_that_fails_at_its_start_is_quoted(mosquitto: Mosquitto, tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "app.py").write_text("import pump\n", encoding="utf-8")
    with RomLoader() as chip:
        async with FlashedBoard(chip, tmp_path).powered():
            done = await flash(
                chip, "--broker", mosquitto.url, *given(tmp_path), "--app", str(app), "--wait", "6", "--json"
            )
    assert done.code == 27
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert said[-1]["event"] == "error"
    assert any("no module named 'pump'" in each["text"] for each in said)


async def test_without_a_broker_nothing_is_written(tmp_path: Path) -> None:
    from tests.peers import free_port

    with RomLoader() as chip:
        done = await flash(chip, "--broker", f"mqtt://127.0.0.1:{free_port()}", *given(tmp_path))
        assert chip.flash == b"\xff" * len(chip.flash)
    assert done.code == 1
    assert "`mqttlite broker` starts one" in done.stderr


async def test_an_application_reaches_a_board_whose_link_waits_for_a_gateway(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    app = tmp_path / "app"
    app.mkdir()
    source = (
        "from mqttlite_board.api import Application\n"
        "def application(options):\n"
        "    app = Application()\n"
        '    app.measure("level", lambda: 7, every_s=1, qos=2)\n'
        "    return app\n"
    )
    (app / "app.py").write_text(source, encoding="utf-8")
    with RomLoader() as chip:
        async with FlashedBoard(chip, tmp_path).powered():
            done = await flash(chip, "--broker", mosquitto.url, *given(tmp_path))
            assert done.code == 0, done.stderr
            done = await flash(chip, "--app-only", "--app", str(app))
            assert done.code == 0, done.stderr
            assert "app.mpy" in done.stdout
            async with MosquittoSub(mosquitto.port, "-t", "boards/greenhouse-7/level", "-q", "2") as heard:
                gateway = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "mqttlite", "gateway", "--serial", chip.path, "--upstream", mosquitto.url
                )
                try:
                    messages = await heard.take(2)
                finally:
                    gateway.terminate()
                    await gateway.wait()
    assert [json.loads(message.payload)["v"] for message in messages] == [7, 7]
