"""Wiring diagrams are made of their sources, and show the pins that the board files recommend."""

import re
import shutil
from pathlib import Path

import pytest

from mqttlite.boards.known import data
from mqttlite.boards.known.data import BoardData
from tests.peers import unavailable
from tools import diagrams

BY_NAME = {board.name.split(" (")[0]: board for board in data.boards().values()}


def test_no_diagram_is_stale() -> None:
    assert diagrams.stale() == [], "run: make diagrams"


def test_a_source_that_has_changed_makes_its_picture_stale(tmp_path: Path) -> None:
    for path in (*diagrams.sources(), *diagrams.FOLDER.glob("*.svg")):
        shutil.copy(path, tmp_path)
    assert diagrams.stale(tmp_path) == []
    with (tmp_path / "power.yml").open("a") as file:
        file.write("# another line\n")
    (tmp_path / "rs485.yml").unlink()
    (tmp_path / "usb-adapter.svg").unlink()
    assert sorted(diagrams.stale(tmp_path)) == ["power.svg", "rs485.svg", "usb-adapter.svg"]


@pytest.mark.parametrize("source", diagrams.sources(), ids=lambda path: path.stem)
def test_a_diagram_that_is_drawn_anew_says_the_same(source: Path) -> None:
    if not diagrams.can_draw():
        unavailable("WireViz and Graphviz")
    committed = diagrams.words(source.with_suffix(".svg").read_text(encoding="utf-8"))
    assert committed == diagrams.words(diagrams.drawn(source))
    assert len(committed) > 20


@pytest.mark.parametrize("source", diagrams.sources(), ids=lambda path: path.stem)
def test_a_diagram_shows_the_pins_that_the_board_file_recommends(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    name = next(name for name in BY_NAME if f"type: {name}\n" in text)
    board: BoardData = BY_NAME[name]
    part = text[text.index(f"type: {name}\n") :]
    pins, labels = (re.search(rf"{key}: \[(.*)\]", part) for key in ("pins", "pinlabels"))
    assert pins and labels
    pairs = dict(zip(pins[1].split(", "), labels[1].split(", "), strict=True))
    for role, pin in (("TX", board.link.tx), ("RX", board.link.rx)):
        assert (role, f"GPIO{pin}") in pairs.items() or (f"GP{pin}", role) in pairs.items()


@pytest.mark.parametrize("source", diagrams.sources(), ids=lambda path: path.stem)
def test_the_readme_shows_each_diagram(source: Path) -> None:
    readme = (diagrams.ROOT / "hardware" / "README.md").read_text(encoding="utf-8")
    assert f"(wiring/{source.stem}.svg)" in readme
