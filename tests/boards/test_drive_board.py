"""A Pico W: its image goes onto the drive that it shows, the files through its prompt. The drive is a folder here, and
the board MicroPython with a board's console.
"""

import struct
import sys
from pathlib import Path

import pytest

from mqttlite.boards.images import board_files, uf2
from mqttlite.boards.images.firmware_image import ImageError
from mqttlite_board import settings
from tests.firmware.boards import fill
from tests.firmware.console_board import ConsoleBoard
from tests.peers import Mosquitto, run

RP2040, RP2350 = 0xE48BFF56, 0xE48BFF59


def image(version: str = "v1.25.0", family: int = RP2040, size: int = 4000) -> bytes:
    """A .uf2 as MicroPython's build makes it."""
    content = (f"MicroPython {version} on 2025-04-15\0".encode() + bytes(size)).ljust(size)
    pieces = [content[at : at + 256] for at in range(0, len(content), 256)]
    return b"".join(
        struct.pack(
            "<8I476sI",
            *(0x0A324655, 0x9E5D5157, 0x2000, 0x10000000 + 256 * number, 256, number, len(pieces), family),
            piece,
            0x0AB16F30,
        )
        for number, piece in enumerate(pieces)
    )


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    (tmp_path / "pico.uf2").write_bytes(image())
    (tmp_path / "drive").mkdir()
    (tmp_path / "drive" / uf2.INFO).write_text("UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: RPI-RP2\n")
    (tmp_path / "board.toml").write_text('name = "pico-1"\nurl = "serial:usb"\n', encoding="utf-8")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "app.py").write_text(
        "from mqttlite_board.api import Application\n"
        "def application(options):\n"
        "    app = Application()\n"
        '    app.measure("level", lambda: 7, every_s=1, qos=2)\n'
        "    return app\n",
        encoding="utf-8",
    )
    words = ["--image", "pico.uf2", "--drive", "drive", "--settings", "board.toml", "--app", "app"]
    return [*words, "--devices", "devices.toml", "--board", "rpi-pico-w"]


async def test_image_and_files_reach_the_board_and_its_first_message_comes(
    mosquitto: Mosquitto, tmp_path: Path, given: list[str]
) -> None:
    folder = tmp_path / "board"
    folder.mkdir()
    (folder / "main.py").write_text("print('fresh')\n", encoding="utf-8")
    fill(folder / "a", board_files.library("all"))  # flashed before: only what has changed is copied
    (folder / "a" / "old.mpy").write_bytes(b"")
    async with ConsoleBoard(folder).running() as board:
        words = ["flash", *given, "--port", board.path, "--broker", mosquitto.url]
        done = await run(sys.executable, "-m", "mqttlite", *words, folder=tmp_path, check=False)
    assert done.code == 0, done.stderr
    assert (tmp_path / "drive" / "pico.uf2").read_bytes() == image()
    assert done.stdout.splitlines()[-1].startswith("first message confirmed exactly once: boards/pico-1/level")
    assert not (folder / "a" / "old.mpy").exists()
    assert settings.decode((folder / "settings.json").read_bytes())["name"] == "pico-1"


async def test_without_a_drive_it_says_which_button(tmp_path: Path, given: list[str]) -> None:
    words = ["flash", *[word for word in given if word not in ("--drive", "drive")]]
    done = await run(sys.executable, "-m", "mqttlite", *words, folder=tmp_path, check=False)
    assert done.code == 1
    assert "hold BOOTSEL while you plug the board in" in done.stderr


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (image("v1.24.0"), r"is MicroPython 1\.24\.0 of 2025-04-15; it must be 1\.25 or newer"),
        (image()[:-512], r"damaged, or not all there"),
        (image()[512:], r"damaged, or not all there"),
        (image()[:1000], r"damaged, or not all there"),
        (image(family=0x1234), r"is not for one of Raspberry Pi's chips"),
        (image().replace(b"MicroPython", b"CircuitPyth"), r"is not MicroPython"),
    ],
    ids=["old", "without its end", "without its begin", "torn", "another chip", "another program"],
)
def test_what_is_no_such_image_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "image.uf2"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=words):
        uf2.read(path)


def test_an_image_for_another_chip_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "image.uf2"
    path.write_bytes(image(family=RP2350))
    (tmp_path / uf2.INFO).write_text("Board-ID: RPI-RP2\n")
    with pytest.raises(ImageError, match=r"is for an RP2350, and the drive .* is a board of kind 'RPI-RP2'"):
        uf2.copy(uf2.read(path), tmp_path)
