"""Our broker is killed within microseconds of an acknowledgement: a short slice of `make killed`."""

from pathlib import Path

import pytest

from benchmarks.killed import trial


@pytest.mark.parametrize("qos", [1, 2])
def test_nothing_acknowledged_is_lost_nothing_comes_twice_and_the_order_stays(tmp_path: Path, qos: int) -> None:
    outcome = trial(tmp_path, qos, 1000, seed=qos)
    assert outcome.acknowledged > 0
    assert (outcome.lost, outcome.twice, outcome.out_of_order) == (0, 0, 0)
