"""Random schedules of the large world: a short slice of what benchmarks/simulate_large.py runs for hours."""

import os
import subprocess
import sys

import pytest

from mqttlite.sim.large.large import Large, try_out
from mqttlite.sim.large.plan import draw

SEEDS = (30005, 30009, 30016, 30022, 30023, 30034, 30067, 30076, 30089, 30099)


@pytest.mark.parametrize("seed", SEEDS)
def test_in_a_large_world_everything_that_was_promised_is_kept(seed: int) -> None:
    outcome = try_out(seed)
    assert outcome.problems == []
    assert outcome.messages > 5


PROGRAM = """
import sys
sys.unraisablehook = lambda _: None
from mqttlite.sim.large.large import try_out
outcome = try_out(30020)
print(outcome.digest, outcome.events, outcome.problems)
"""


def test_the_same_seed_makes_the_same_large_world_in_every_process() -> None:
    found = set()
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, env=environment, check=True)
        found.add(done.stdout)
    assert len(found) == 1
    assert len(found.pop().split()[0]) == 64


def test_the_trace_of_a_large_world_is_the_same_whether_it_is_kept_or_not() -> None:
    digests = []
    for keep in (True, False):
        run = Large(30021, keep_trace=keep)
        assert run.run() == []
        digests.append(run.world.digest())
        run.world.close()
    assert digests[0] == digests[1]


def test_large_worlds_are_of_all_kinds() -> None:
    plans = [draw(seed) for seed in range(200)]
    devices = [device for plan in plans for device in plan.devices]
    assert {device.store for device in devices} == {"memory", "sqlite", "journal"}
    assert {device.keys for device in devices} == {"none", "auto", "app"}
    assert {qos for device in devices for qos in device.qos} == {0, 1, 2}
    assert any(plan.bridges for plan in plans) and any(plan.gateways for plan in plans)
    assert max(plan.duration_s for plan in plans) >= 3600
    assert max(len(plan.devices) for plan in plans) >= 20
    assert max(device.size[1] for device in devices) == 100_000
    assert any(device.first > 65000 for device in devices)
    assert any(plan.calm for plan in plans) and any(plan.faults.wipes for plan in plans)
