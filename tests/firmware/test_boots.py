"""The number of starts, kept in a file of the board; on both runtimes."""

import os
from pathlib import Path

import pytest

from tests.firmware.boards import run


async def start(runtime: str, folder: Path) -> str:
    return await run(runtime, folder, "import start; start.begin(); print(start.boots)")


async def test_the_first_start_is_number_1_and_each_further_one_counts(runtime: str, tmp_path: Path) -> None:
    assert [await start(runtime, tmp_path) for _ in range(3)] == ["1\n", "2\n", "3\n"]
    assert sorted(os.listdir(tmp_path)) == ["boots.txt"]


@pytest.mark.parametrize("content", [b"", b"4x", b"\xff\xfe", b"\0" * 40, b"9\n9", b"9 x"])
async def test_a_file_that_holds_no_number_is_replaced(runtime: str, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "boots.txt").write_bytes(content)
    assert await start(runtime, tmp_path) == "1\n"
    assert (tmp_path / "boots.txt").read_text() == "1 1"


async def test_what_a_power_cut_left_half_written_does_not_count(runtime: str, tmp_path: Path) -> None:
    (tmp_path / "boots.txt").write_text("41")
    (tmp_path / "boots.txt.new").write_text("4")
    assert await start(runtime, tmp_path) == "42\n"


async def test_where_nothing_can_be_stored_the_program_starts_and_says_so(runtime: str, tmp_path: Path) -> None:
    (tmp_path / "boots.txt").write_text("7")
    (tmp_path / "boots.txt.new").mkdir()  # stands for a file that cannot be opened: tests may run as root
    said, count = (await start(runtime, tmp_path)).splitlines()
    assert said.startswith("the number of starts is not stored:")
    assert count == "8"
    assert (tmp_path / "boots.txt").read_text() == "7"
