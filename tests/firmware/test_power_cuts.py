"""The whole program, its power cut at operations of its flash, clean and torn: here at a few, `make cuts` at each."""

from pathlib import Path

import pytest

from tests.firmware.virtual_boards import make_board, run

# How many operations from one cut to the next, and the first. Before the journal has been written once, a cut costs a
# clearing of all identifiers (docs/decisions/0015), which takes seconds here: `make cuts` has those.
SLICES = {
    "provisioning": (41, 9),
    "rotating": (47, 19),
    "updating": (97, 41),
    "offline": (23, 5),
    "offline-ring": (7, 2),
    "sending": (37, 31),
    "sending-ring": (9, 3),
    "sleeping": (83, 31),
    "sleeping-ring": (23, 21),
    "restarting": (43, 17),
}


@pytest.mark.parametrize("name", SLICES)
async def test_after_a_cut_nothing_accepted_is_lost_nothing_arrives_twice_and_the_board_comes_back(
    name: str, tmp_path: Path
) -> None:
    make_board(tmp_path, name)
    stride, begin = SLICES[name]
    assert "cuts" in await run(tmp_path, "whole_cuts.py", name, str(stride), str(begin))


@pytest.mark.parametrize(("kind", "number"), [("reboots", "20"), ("messages", "1000"), ("away", "3")])
async def test_for_long_nothing_is_lost_nothing_arrives_twice_and_nothing_grows(
    kind: str, number: str, tmp_path: Path
) -> None:
    """A reboot loop; ticks that wrap in a network that comes and goes; a gateway that is gone for hours."""
    make_board(tmp_path)
    assert "readings" in await run(tmp_path, "whole_long.py", kind, number)
