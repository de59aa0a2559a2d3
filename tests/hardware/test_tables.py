"""Tables of the docs are made of the board files."""

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
