"""Tables of the docs are made of the board files."""

import json
from pathlib import Path

import pytest

from tools import board_tables


def test_no_table_of_the_docs_is_stale() -> None:
    assert board_tables.stale() == [], "run: python -m tools.board_tables"


def test_a_table_that_is_not_what_the_board_files_say_is_stale_and_is_made_anew() -> None:
    mark = "<!-- made by tools/board_tables.py: pins -->\n"
    page = f"before\n{mark}\n| old |\n\n<!-- end -->\nafter\n"
    fresh = board_tables.made(page)
    assert "| old |" not in fresh
    assert "`serial://2?tx=17&rx=16&baud=115200`" in fresh
    assert fresh.startswith(f"before\n{mark}") and fresh.endswith("<!-- end -->\nafter\n")
    assert board_tables.made(fresh) == fresh


def test_a_mark_of_no_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="no table 'pinz'"):
        board_tables.made("<!-- made by tools/board_tables.py: pinz -->\n<!-- end -->")


def test_what_was_measured_on_hardware_is_in_the_table_and_nothing_else(tmp_path: Path) -> None:
    figures = {"arrived": 200, "per_s": 98.5, "bytes_per_s": 6304, "of_line": 0.547, "free": 60000}
    result = {f"{way}_{qos}": figures for way in ("up", "down") for qos in (0, 1, 2)}
    result |= {f"round_trip_{qos}_ms": 31.5 for qos in (0, 1, 2)}
    result |= {"board": "rpi-pico-w", "date": "2027-01-02", "runtime": "micropython 1.26.0", "url": "serial:usb"}
    result |= {"size": 64, "free": 61234, "reset_to_online_s": 3.5}
    assert "not measured" in board_tables.measurements(tmp_path)
    (tmp_path / "one.json").write_text(json.dumps({**result, "is_hardware": False}), encoding="utf-8")
    empty = board_tables.measurements(tmp_path)
    assert "6,304" not in empty
    (tmp_path / "one.json").write_text(json.dumps({**result, "is_hardware": True}), encoding="utf-8")
    slept = {key: result[key] for key in ("board", "date", "runtime")} | {"is_hardware": True, "wakings": 20}
    slept |= {"wake": {"trips": 4, "last_ms": 774}, "wake_bytes": 86}
    (tmp_path / "two.json").write_text(json.dumps(slept), encoding="utf-8")
    assert "20 wake-ups | 4 | – | – | 774 | 86 |" in board_tables.wakes(tmp_path)
    [row] = [line for line in board_tables.measurements(tmp_path).splitlines() if "6,304 B/s, 98.5/s" in line]
    assert row.startswith("| Raspberry Pi Pico W | 2027-01-02, micropython 1.26.0, `serial:usb`, 64 bytes |")
    assert row.endswith("| 31.5, 31.5 ms | 61,234 | 3.5 s |")
    assert row.count("|") == empty.splitlines()[0].count("|")
