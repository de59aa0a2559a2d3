"""A table of boards: whichever is plugged in next gets the next row, and what is done is remembered."""

import os
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from mqttlite.boards.images import littlefs_image
from mqttlite.cli import main
from mqttlite_board import settings
from tests.boards.rom_loader import RomLoader
from tests.boards.test_flash_command import VFS, World

TABLE = "name,wifi.password,app.every_s\nnorth,geheim-1,10\nsouth,geheim-2,\nwest,geheim-3,30\n"
COMMON = 'url = "mqtt://10.0.0.5"\n[wifi]\nname = "home"\n'


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    (tmp_path / "fleet.csv").write_text(TABLE, encoding="utf-8")
    (tmp_path / "common.toml").write_text(COMMON, encoding="utf-8")
    return made


def plugged_in(boards: Iterable[RomLoader], place: Path) -> threading.Thread:
    """A hand that plugs in one board after the other, when the one before has been started or is no use."""

    def hand() -> None:
        for number, board in enumerate(boards):
            link = place.with_name(f"new-{number}")
            link.symlink_to(board.path)
            os.replace(link, place)
            assert board.done.wait(60)

    thread = threading.Thread(target=hand)
    thread.start()
    return thread


def flash(world: World, *more: str) -> int:
    folder = world.folder
    words = ["--settings", str(folder / "fleet.csv"), "--common", str(folder / "common.toml"), "--wait", "0"]
    words += ["--image", str(world.image), "--app", str(folder / "app"), "--devices", str(world.devices)]
    return main(["flash", "--port", str(folder / "port"), *words, *more])


def test_each_board_gets_a_row_and_a_failure_keeps_it_for_the_next(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        RomLoader(mac="24:0a:c4:00:00:01") as one,
        RomLoader(mac="24:0a:c4:00:00:01") as again,
        RomLoader("ESP32-S3", mac="24:0a:c4:00:00:08") as other,
        RomLoader(mac="24:0a:c4:00:00:02") as two,
        RomLoader(mac="24:0a:c4:00:00:03") as three,
    ):
        hand = plugged_in([one, again, other, two, three], world.folder / "port")
        assert flash(world) == 0
        hand.join()
        files = [littlefs_image.read(bytes(board.flash[VFS])) for board in (one, two, three)]
    records = [settings.decode(each["settings.json"]) for each in files]
    assert [(each["name"], each["wifi"]["password"]) for each in records] == [
        ("north", "geheim-1"),
        ("south", "geheim-2"),
        ("west", "geheim-3"),
    ]
    assert len({each["key"] for each in records}) == 3
    said = capsys.readouterr().out
    assert "the board with the MAC 24:0a:c4:00:00:01 is 'north' already: take another" in said
    assert "is for an ESP32, and this board has an ESP32-S3" in said
    assert [line.split()[:3] for line in said.splitlines()[-3:]] == [
        ["north", "done", "24:0a:c4:00:00:01"],
        ["south", "done", "24:0a:c4:00:00:02"],
        ["west", "done", "24:0a:c4:00:00:03"],
    ]
    assert "geheim" not in said
    assert "geheim" not in (world.folder / "fleet.csv.done").read_text(encoding="utf-8")
    assert flash(world) == 0  # and nobody has to plug in anything
    assert capsys.readouterr().out.count("done before") == 3


def test_a_torn_line_of_what_is_done_is_no_line(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    done = world.folder / "fleet.csv.done"
    done.write_text(
        '{"name": "north", "mac": "24:0a:c4:00:00:01", "at": "", "first": ""}\n{"name": "sou', encoding="utf-8"
    )
    with RomLoader(mac="24:0a:c4:00:00:02") as two, RomLoader(mac="24:0a:c4:00:00:03") as three:
        hand = plugged_in([two, three], world.folder / "port")
        assert flash(world) == 0
        hand.join()
    assert flash(world) == 0
    assert capsys.readouterr().out.count("done before") == 4  # one, then all three
