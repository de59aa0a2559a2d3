"""The board files: what they recommend exists, is free, and fits. No physical board is involved."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.runtimes import ROOT

FILES = sorted((ROOT / "hardware" / "boards").glob("*.toml"))
LINK_PINS = ("tx", "rx", "rts", "cts")

Board = dict[str, Any]


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def board(request: pytest.FixtureRequest) -> Board:
    path: Path = request.param
    return tomllib.loads(path.read_text(encoding="utf-8"))


def test_the_first_two_boards_are_there() -> None:
    assert {"esp32-devkitc", "esp32-c3-devkitm-1"} <= {file.stem for file in FILES}


def test_every_pin_that_is_named_is_on_the_header(board: Board) -> None:
    header = set(board["pins"]["header"])
    named = set(board["pins"]["input_only"])
    named |= {pin for group in board["pins"]["avoid"] for pin in group["pins"]}
    named |= {board["link"][name] for name in LINK_PINS}
    named |= {board[part]["pin"] for part in ("led", "button") if part in board}
    assert named <= header
    assert len(header) == len(board["pins"]["header"])


def test_the_link_uses_no_pin_that_something_else_needs(board: Board) -> None:
    reserved = {pin: group["why"] for group in board["pins"]["avoid"] for pin in group["pins"]}
    assert {name: reserved[board["link"][name]] for name in LINK_PINS if board["link"][name] in reserved} == {}


def test_the_link_sends_on_pins_that_can_be_outputs(board: Board) -> None:
    assert not {board["link"]["tx"], board["link"]["rts"]} & set(board["pins"]["input_only"])


def test_no_pin_is_used_twice(board: Board) -> None:
    used = [board["link"][name] for name in LINK_PINS]
    used += [board[part]["pin"] for part in ("led", "button") if part in board]
    assert len(used) == len(set(used))


def test_no_pin_is_to_be_avoided_for_two_reasons(board: Board) -> None:
    pins = [pin for group in board["pins"]["avoid"] for pin in group["pins"]]
    assert len(pins) == len(set(pins))


def test_the_link_has_a_uart_that_is_not_the_repl(board: Board) -> None:
    uses = {uart["id"]: uart["use"] for uart in board["uart"]}
    assert len(uses) == len(board["uart"])
    assert uses[board["link"]["uart"]].startswith("the link")
    assert uses[0].startswith("REPL")


def test_the_receive_buffer_holds_a_full_window_of_frames(board: Board) -> None:
    window, frame = 8, 128 + 10
    assert board["link"]["rxbuf"] >= window * frame


def test_the_partitions_follow_each_other_and_fit_the_flash(board: Board) -> None:
    partitions = board["flash"]["partition"]
    for before, after in pairwise(partitions):
        assert before["offset"] + before["bytes"] <= after["offset"], (before["name"], after["name"])
    assert partitions[-1]["offset"] + partitions[-1]["bytes"] <= board["flash"]["bytes"]
    assert {"nvs", "factory", "vfs"} <= {partition["name"] for partition in partitions}
    assert all(partition["offset"] % 0x1000 == 0 == partition["bytes"] % 0x1000 for partition in partitions)


def test_every_board_names_its_sources_and_its_levels(board: Board) -> None:
    assert board["sources"]
    assert all(re.fullmatch(r"https://\S+", source) for source in board["sources"])
    assert board["io_volts"] == 3.3
    assert board["five_volt_tolerant"] is False


def test_the_table_of_boards_says_what_the_files_say() -> None:
    readme = (ROOT / "hardware" / "README.md").read_text(encoding="utf-8")
    for file in FILES:
        board = tomllib.loads(file.read_text(encoding="utf-8"))
        link = board["link"]
        row = f"UART{link['uart']}: TX GPIO{link['tx']}, RX GPIO{link['rx']} | `{board['micropython']}` |"
        assert f"(boards/{file.name})" in readme
        assert row in readme
