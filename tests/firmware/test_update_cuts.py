"""Updates whose power is cut at every device operation, on the interpreter's own littlefs (update_cuts.py)."""

import pytest

from tests.firmware.boards import FIRMWARE, START
from tests.peers import MicroPython
from tests.runtimes import ROOT

SCRIPTS = ROOT / "tests" / "micropython"


@pytest.mark.parametrize(("bits", "ends", "stride"), [(64, "delivers", "12"), (32, "crashes", "30")])
async def test_after_a_cut_anywhere_the_old_half_runs_or_the_new_one_and_no_block_is_sent_twice(
    bits: int, ends: str, stride: str
) -> None:
    path = [SCRIPTS, START, FIRMWARE]
    result = await MicroPython(bits).run(SCRIPTS / "update_cuts.py", ends, stride, heap="4m", path=path)
    assert result.stdout.endswith("all done\n")
