"""A slice of `make bridge-faults`: our bridge as a process, with real ones around it."""

from pathlib import Path

import pytest

from benchmarks.bridge.contestants import Ours
from benchmarks.bridge.faults import bridge_dies, cuts
from benchmarks.bridge.run import Fault, run, scene


@pytest.mark.long
@pytest.mark.parametrize("fault", [cuts, bridge_dies], ids=["cuts", "bridge-dies"])
async def test_our_bridge_loses_doubles_and_misorders_nothing(tmp_path: Path, fault: Fault) -> None:
    (tmp_path / "bridge").mkdir()
    async with scene(Ours, tmp_path, tmp_path / "bridge", 1, 150, 100) as made:
        result = await run(made, fault)
    assert result.accepted == made.next
    assert (result.lost, result.stuck, result.twice, result.misordered) == (0, 0, 0, 0)
