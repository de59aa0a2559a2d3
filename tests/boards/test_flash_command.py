"""`mqttlite flash` up to the board's start: what it asks, shows, writes and repairs, and how it ends."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from mqttlite.boards.images import littlefs_image
from mqttlite.boards.updating.devices import Devices
from mqttlite.cli import main
from mqttlite_board import settings
from tests.boards import images
from tests.boards.rom_loader import Faults, RomLoader

SECRETS = {"password": "sehr geheim", "wifi": {"name": "home", "password": "noch geheimer"}}
VFS = slice(0x200000, 0x400000)


class World:
    """A folder with an image, settings and an application, and the command run there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.image = folder / "ESP32_GENERIC-20250415-v1.25.0.bin"
        self.image.write_bytes(images.image(size=20000))
        self.devices = folder / "devices.toml"
        (folder / "app").mkdir()
        (folder / "app" / "app.py").write_text("def application(options):\n    return None\n", encoding="utf-8")
        (folder / "app" / "tests").mkdir()
        (folder / "app" / "tests" / "test_app.py").write_text("assert True\n", encoding="utf-8")
        self.settings = folder / "board.toml"
        self.settings.write_text(
            'name = "greenhouse-7"\nurl = "mqtt://10.0.0.5"\nusername = "g7"\npassword = "sehr geheim"\n'
            '[wifi]\nname = "home"\npassword = "noch geheimer"\n',
            encoding="utf-8",
        )
        self.settings.chmod(0o600)

    def flash(self, board: RomLoader, *options: str) -> int:
        """The exit code; no waiting for messages."""
        words = ["flash", "--port", board.path, "--app", str(self.folder / "app"), "--devices", str(self.devices)]
        return main([*words, "--wait", "0", *options])

    @property
    def given(self) -> tuple[str, ...]:
        """All that is needed so that nothing is asked."""
        return "--image", str(self.image), "--settings", str(self.settings)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("kind", ["ESP32", "ESP32-C3", "ESP32-S3"])
def test_everything_is_on_the_board_and_nothing_of_the_computers(world: World, kind: str) -> None:
    world.image.write_bytes(images.image(kind, size=20000))
    with RomLoader(kind) as board:
        assert world.flash(board, *world.given) == 0
        assert board.started.wait(5)
        offset = images.CHIPS[kind][1]
        assert board.flash[offset:].startswith(world.image.read_bytes())
        files = littlefs_image.read(bytes(board.flash[VFS]))
    assert {"boot.py", "main.py", "settings.json", "a/app.mpy"} <= set(files)
    assert {"a/lib/mqttlite/__init__.mpy", "a/lib/mqttlite_board/program.mpy"} <= set(files)
    assert not [name for name in files if "test" in name or "toml" in name]
    values = settings.decode(files["settings.json"])
    key = values.pop("key")
    assert values == {"name": "greenhouse-7", "url": "mqtt://10.0.0.5", "username": "g7", **SECRETS}
    device = Devices(world.devices).find("greenhouse-7")
    assert device is not None
    assert device.key == key
    assert len(bytes.fromhex(key)) == 32
    assert stat.S_IMODE(world.devices.stat().st_mode) == 0o600


@pytest.mark.parametrize("output", ["lines", "json"])
def test_a_dry_run_shows_each_step_without_secrets_and_writes_nothing(
    world: World, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    with RomLoader() as board:
        assert world.flash(board, *world.given, "--dry-run", *(["--json"] if output == "json" else [])) == 0
        assert board.started.wait(5)  # it is left as it was
        assert board.flash == b"\xff" * len(board.flash)
    said = capsys.readouterr().out
    for words in ("24:0a:c4:12:34:56", "0x1000", "0x200000", "thin+journal", "greenhouse-7", "nothing was written"):
        assert words in said
    assert "geheim" not in said
    if output == "json":
        assert all(json.loads(line)["event"] in ("step", "note") for line in said.splitlines())
    assert not world.devices.exists()


def test_without_an_image_it_says_which_one_and_where_it_is(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with RomLoader("ESP32-C3") as board:
        assert world.flash(board, "--settings", str(world.settings)) == 1
    assert "https://micropython.org/download/ESP32_GENERIC_C3/" in capsys.readouterr().err


def test_an_image_for_another_chip_reaches_no_flash(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with RomLoader("ESP32-S3") as board:
        assert world.flash(board, *world.given) == 1
        assert board.flash == b"\xff" * len(board.flash)
    assert "is for an ESP32, and this board has an ESP32-S3" in capsys.readouterr().err


def test_the_same_board_flashed_again_keeps_its_key(world: World) -> None:
    keys = []
    for _ in range(2):
        with RomLoader() as board:
            assert world.flash(board, *world.given) == 0
            keys.append(settings.decode(littlefs_image.read(bytes(board.flash[VFS]))["settings.json"])["key"])
    assert keys[0] == keys[1]


def test_what_is_not_known_is_asked_and_passwords_do_not_show(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mqttlite.boards.settings import asking

    answers = iter(["", "2", "home", "mqtt://10.0.0.9", "g7"])
    hidden = iter(["noch geheimer", "sehr geheim"])
    asked = []
    monkeypatch.setattr(asking.Asker, "_line", lambda self: next(answers))
    monkeypatch.setattr("getpass.getpass", lambda question, stream: asked.append(question) or next(hidden))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    with RomLoader() as board:
        assert world.flash(board, "--image", str(world.image), "--board", "esp32-devkitc") == 0
        values = settings.decode(littlefs_image.read(bytes(board.flash[VFS]))["settings.json"])
    assert values.pop("key")
    assert values == {"name": "board-123456", "url": "mqtt://10.0.0.9", "username": "g7", **SECRETS}
    assert asked == ["password of 'home': ", "password of 'g7' at the broker: "]
    said = capsys.readouterr()
    assert "geheim" not in said.out + said.err
    assert "name of the board [board-123456]" in said.err


def test_without_a_terminal_it_says_what_is_missing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with RomLoader() as board:
        assert world.flash(board, "--image", str(world.image)) == 1
    assert "name and url of the board are not known: give them in a file" in capsys.readouterr().err


def test_a_line_that_loses_too_much_is_tried_more_slowly(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with RomLoader(faults=Faults(damages_at=3)) as board:
        assert world.flash(board, *world.given) == 0
        assert littlefs_image.read(bytes(board.flash[VFS]))["boot.py"]
    assert "a bad line, or a worn or missing flash" in (said := capsys.readouterr().out)
    assert "once more at 115200 baud" in said


def test_a_flash_that_never_holds_what_is_written_is_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with RomLoader(faults=Faults(damages_at=3, damages_again=True)) as board:
        assert world.flash(board, *world.given) == 1
        assert not board.started.is_set()
    assert "what the flash holds is not what was written" in capsys.readouterr().err


@pytest.mark.parametrize("stub", [False, True], ids=["rom", "stub"])
def test_after_a_power_cut_at_any_write_the_same_command_repairs_the_board(
    world: World, stub: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mqttlite.boards.reaching import chip

    if stub:
        connected = chip.connected
        monkeypatch.setattr(chip, "connected", lambda *args, **options: connected(*args, **{**options, "stub": True}))
    with RomLoader() as board:
        assert world.flash(board, *world.given) == 0
        whole, blocks = bytes(board.flash), board.blocks
    cuts = {1, blocks // 2, blocks}
    for cut in sorted(cuts):
        flash = bytearray(b"\xff" * len(whole))
        with RomLoader(faults=Faults(dies_at=cut), flash=flash) as board:
            assert world.flash(board, *world.given) == 1
        assert "run the same command again" in capsys.readouterr().err
        assert flash != whole
        with RomLoader(flash=flash) as board:
            assert world.flash(board, *world.given) == 0
        assert flash == whole, f"cut at block {cut} of {blocks}"


def test_a_missing_part_is_named_with_the_command_that_installs_it(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "littlefs", None)
    with RomLoader() as board:
        assert world.flash(board, *world.given) == 1
    assert (
        "littlefs-python is not installed: in a clone, pipx install --force '.[gateway,flash]'"
        in capsys.readouterr().err
    )


def test_errors_are_json_for_programs(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    os.remove(world.image)
    with RomLoader() as board:
        assert world.flash(board, *world.given, "--json") == 1
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["event"] == "error"
    assert last["code"] == 1
    assert "ESP32_GENERIC" in last["text"]
