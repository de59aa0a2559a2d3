"""Nothing is lost and, with an inbox, nothing is handled twice: real processes, killed and cut off at seeded points.

A slice of what `python -m benchmarks.crash` runs in full.
"""

from pathlib import Path

import pytest

from tests.crash.harness import BROKERS, FAULTS, Run, crash, wrong_with

MESSAGES = 60
CASES = [  # which of our own packets and writes it is that fails, shows with one broker as with the other
    (broker, qos, fault)
    for broker in BROKERS
    for qos in FAULTS
    for fault in FAULTS[qos]
    if broker == "mqttlite" or fault in ("links", "all")
]


@pytest.mark.parametrize(("broker", "qos", "fault"), CASES)
async def test_whatever_dies_every_message_is_in_the_ledger(broker: str, qos: int, fault: str, tmp_path: Path) -> None:
    run = Run(broker, qos, fault, 1, MESSAGES)
    outcome = await crash(run, tmp_path)
    assert not (wrong := wrong_with(outcome)), f"{run}: {wrong}"
    assert outcome.cuts + outcome.kills >= 2, "the run was exposed to its faults"
