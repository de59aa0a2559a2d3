"""`mqttlite flash --app-only`: the application onto a board that runs, through its prompt, with the real mpremote."""

import json
import sys
from pathlib import Path

import pytest

from mqttlite.boards.images import board_files
from mqttlite.cli import main
from tests.firmware.console_board import ConsoleBoard
from tests.peers import run


def application(folder: Path, source: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "app.py").write_text(source, encoding="utf-8")
    (folder / "parts").mkdir(exist_ok=True)
    (folder / "parts" / "__init__.py").write_text("", encoding="utf-8")
    (folder / "parts" / "pump.py").write_text("ON = 1\n" * 300, encoding="utf-8")
    return folder


async def flash(board: ConsoleBoard, app: Path) -> list[dict[str, object]]:
    argv = [sys.executable, "-m", "mqttlite", "flash", "--app-only", "--json", "--port", board.path, "--app", str(app)]
    done = await run(*argv)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """The folder of a board, with two halves, of which b runs; nothing of the network is on it."""
    folder = tmp_path / "board"
    for half in "ab":
        (folder / half / "lib").mkdir(parents=True)
        (folder / half / "lib" / "kept.py").write_text("", encoding="utf-8")
    (folder / "half.json").write_text('{"good": "b", "trial": null, "starts": 0}', encoding="utf-8")
    (folder / "b" / "old.py").write_text("", encoding="utf-8")
    (folder / "main.py").write_text("print('running')\nwhile True:\n    pass\n", encoding="utf-8")
    return folder


async def test_what_has_changed_goes_into_the_half_that_runs(fresh: Path, tmp_path: Path) -> None:
    app = application(tmp_path / "app", "print('one')\n")
    async with ConsoleBoard(fresh).running() as board:
        assert (await flash(board, app))[-1]["changed"] == [
            "app.mpy",
            "parts/__init__.mpy",
            "parts/pump.mpy",
            "old.py",
        ]
        files = {path.relative_to(fresh / "b").as_posix(): path for path in (fresh / "b").rglob("*") if path.is_file()}
        assert set(files) == {"app.mpy", "parts/__init__.mpy", "parts/pump.mpy", "lib/kept.py"}
        assert {name: path.read_bytes() for name, path in files.items() if "lib" not in name} == (
            board_files.application(app)
        )
        assert not list((fresh / "a").glob("*.mpy"))
        application(app, "print('two')\n")
        assert (await flash(board, app))[-1]["changed"] == ["app.mpy"]
        assert (await flash(board, app))[-1]["text"] == "nothing has changed"


async def test_a_board_without_mqttlite_is_told_apart(tmp_path: Path) -> None:
    folder = tmp_path / "board"
    folder.mkdir()
    (folder / "main.py").write_text("print('mine')\n", encoding="utf-8")
    app = application(tmp_path / "app", "")
    async with ConsoleBoard(folder).running() as board:
        argv = [sys.executable, "-m", "mqttlite", "flash", "--app-only", "--port", board.path, "--app", str(app)]
        done = await run(*argv, check=False)
    assert done.code == 1
    assert "has no program of mqttlite yet" in done.stderr


async def test_an_application_that_does_not_compile_reaches_no_board(fresh: Path, tmp_path: Path) -> None:
    app = application(tmp_path / "app", "def f(:\n")
    async with ConsoleBoard(fresh).running() as board:
        argv = [sys.executable, "-m", "mqttlite", "flash", "--app-only", "--port", board.path, "--app", str(app)]
        done = await run(*argv, check=False)
    assert done.code == 1
    assert "app.py" in done.stderr
    assert "SyntaxError" in done.stderr
    assert (fresh / "b" / "old.py").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Name its folder (--app FOLDER)"),  # the starter's application would replace what the board runs
        (["--app", ".", "--dry-run"], "copies at once: leave one out"),
        (["--app", ".", "--settings", "fleet.csv"], "copies no settings"),
    ],
)
def test_what_app_only_would_not_do_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flash", "--app-only", "--port", "/dev/null", *words]) == 1
    assert said in capsys.readouterr().err
