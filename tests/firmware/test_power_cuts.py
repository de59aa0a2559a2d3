"""The whole program, its power cut at operations of its flash, clean and torn: here at a few, `make cuts` at each."""

from pathlib import Path

import pytest

from tests.firmware.virtual_boards import make_board, run

# How many operations from one cut to the next, and the first.
SLICES = {
    "offline": (13, 5),
    "offline-ring": (7, 2),
    "sending": (19, 11),
    "sending-ring": (9, 3),
    "sleeping": (61, 31),
    "sleeping-ring": (17, 4),
    "restarting": (29, 17),
}


@pytest.mark.parametrize("name", SLICES)
async def test_after_a_cut_nothing_accepted_is_lost_nothing_arrives_twice_and_the_board_comes_back(
    name: str, tmp_path: Path
) -> None:
    make_board(tmp_path)
    stride, begin = SLICES[name]
    assert (await run(tmp_path, "whole_cuts.py", name, str(stride), str(begin))).endswith("all done\n")
