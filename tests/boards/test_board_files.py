"""What a board gets: the smallest bundle that does, and of an application what is the board's."""

from pathlib import Path

import pytest

from mqttlite.boards.images import board_files
from mqttlite.boards.images.board_files import ApplicationError
from mqttlite.boards.images.compiling import CompileError


def folder(tmp_path: Path, source: str) -> Path:
    (tmp_path / "app.py").write_text(source, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("url", "source", "bundle"),
    [
        ("mqtt://10.0.0.5", "app.measure('t', read, qos=2)", "thin+journal"),
        ("mqtt://10.0.0.5", "app.measure('t', read, counted=True)", "all"),
        ("serial:usb", "", "all"),
        (["mqtt://10.0.0.5", "serial://2?tx=17&rx=16"], "", "all"),
    ],
)
def test_the_smallest_bundle_that_has_what_is_asked_for(
    tmp_path: Path, url: str | list[str], source: str, bundle: str
) -> None:
    assert board_files.bundle_for({"name": "one", "url": url}, folder(tmp_path, source)) == bundle


def test_tests_and_papers_of_an_application_stay_at_home(tmp_path: Path) -> None:
    folder(tmp_path, "x = 1\n")
    for name in (
        "parts/pump.py",
        "tests/test_app.py",
        "README.md",
        "board.toml",
        ".hidden/a.py",
        "env/a.py",
        "data.bin",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("", encoding="utf-8")
    (tmp_path / "fast.mpy").write_bytes(b"M\x06")
    assert set(board_files.application(tmp_path)) == {"app.mpy", "fast.mpy", "parts/pump.mpy"}


def test_without_mpy_cross_sources_go_to_the_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mqttlite.boards.images.compiling.mpy_cross", lambda: None)
    assert board_files.application(folder(tmp_path, "x = 1\n")) == {"app.py": b"x = 1\n"}
    with pytest.raises(CompileError, match=r"app\.py:1: "):
        board_files.application(folder(tmp_path, "x = = 1\n"))


def test_a_folder_without_an_application_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ApplicationError, match=r"has no app\.py: .* mqttlite board new "):
        board_files.application(tmp_path)
