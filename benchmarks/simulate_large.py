"""Random schedules of large worlds (mqttlite/sim/large/), seed after seed: `python -m benchmarks.simulate_large`.

Every seed is a world of its own: what it is made of and what goes wrong is drawn from it. The exit status is 1 when one
fails; each failure is printed with the command that repeats it, leaves out what it does not need, and draws it.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, TextIO

from mqttlite.sim.large.large import Large
from mqttlite.sim.large.selection import command
from mqttlite.sim.scene import attempt

PROGRESS_S = 10.0


class Outcome(NamedTuple):
    """What came of a seed. `seconds`: virtual ones. `faults`: how often each happened."""

    seed: int
    problems: list[str]
    seconds: float
    events: int
    messages: int
    deliveries: int
    lives: int
    connects: int
    faults: Counter[str]
    digest: str


def try_out(seed: int, size: int = 0) -> Outcome:
    """Run the world of a seed to its end. An exception is a problem like others."""
    run = Large(seed, size)
    problems = attempt(run)
    world = run.world
    return Outcome(
        run.seed,
        problems,
        world.now / 1e9,
        world.events,
        len(run.ledger.entries),
        sum(len(reading.effects) for reading in run.ledger.readings.values()),
        sum(process.life for process in run.mortals),
        run.conduct.connections.total(),
        Counter({key[7:]: count for key, count in world.reached.items() if key.startswith("fault: ")}),
        world.digest(),
    )


class Sum:
    """Of all outcomes."""

    def __init__(self) -> None:
        self.schedules = self.events = self.messages = self.deliveries = self.lives = self.connects = 0
        self.seconds = self.cpu_s = 0.0
        self.faults: Counter[str] = Counter()
        self.failed: list[Outcome] = []

    def add(self, outcome: Outcome, cpu_s: float) -> None:
        """One more."""
        self.schedules += 1
        self.cpu_s += cpu_s
        self.seconds += outcome.seconds
        self.events += outcome.events
        self.messages += outcome.messages
        self.deliveries += outcome.deliveries
        self.lives += outcome.lives
        self.connects += outcome.connects
        self.faults += outcome.faults
        if outcome.problems:
            self.failed.append(outcome)

    def __str__(self) -> str:
        cpu_s = self.cpu_s or 1.0
        return (
            f"{self.schedules} schedules, {len(self.failed)} failed; {self.seconds / 3600:.1f} h of virtual time, "
            f"{self.messages} messages, {self.deliveries} deliveries, {self.faults.total()} faults, "
            f"{self.lives} lives, {self.connects} connections, {self.events} events; {self.cpu_s:.0f} CPU-seconds, "
            f"{self.schedules / cpu_s:.2f} schedules and {self.seconds / cpu_s:.0f} virtual seconds for each"
        )


def measured(work: tuple[int, int]) -> tuple[Outcome, float]:
    """The outcome of a seed, and the processor time that it took."""
    begun = time.process_time()
    outcome = try_out(*work)
    return outcome, time.process_time() - begun


def _quiet() -> None:
    sys.unraisablehook = lambda _: None  # apsw tells of each death in the middle of a write


def outcomes(seeds: Iterator[int], size: int, jobs: int) -> Iterator[tuple[Outcome, float]]:
    """In the order in which they come."""
    work = ((seed, size) for seed in seeds)
    if jobs < 2:
        _quiet()
        yield from map(measured, work)
        return
    with get_context("fork").Pool(jobs, _quiet) as pool:
        yield from pool.imap_unordered(measured, work)


def main() -> int:
    """Run seeds until they or the seconds are used up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="1-", metavar="FROM-TO", help="which ones; without TO, until time is over")
    parser.add_argument("--seconds", type=float, default=60.0, help="no new seed after so long (default 60)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: processors)")
    parser.add_argument("--size", type=int, default=0, help="devices in each world (default: drawn)")
    parser.add_argument("--log", type=Path, help="append each outcome to this file, as JSON")
    args = parser.parse_args()
    first, _, last = args.seeds.partition("-")
    end = time.monotonic() + args.seconds
    numbers = iter(range(int(first), int(last) + 1)) if last else count(int(first))

    def seeds() -> Iterator[int]:
        for seed in numbers:
            if time.monotonic() > end:
                return
            while seed - int(first) > total.schedules + 4 * args.jobs and time.monotonic() < end:
                time.sleep(0.05)  # the pool would take them all at once
            yield seed

    total = Sum()
    told = time.monotonic()
    log = args.log.open("a", encoding="utf-8") if args.log else None
    for outcome, cpu_s in outcomes(seeds(), args.size, args.jobs):
        total.add(outcome, cpu_s)
        if log:
            _write(log, outcome, cpu_s)
        if outcome.problems:
            print(f"FAILED: {command(outcome.seed, args.size)}")
            print(*(f"    {problem:.300}" for problem in outcome.problems[:5]), sep="\n", flush=True)
        if time.monotonic() - told > PROGRESS_S:
            told = time.monotonic()
            print(total, flush=True)
    print(total)
    print(", ".join(f"{name} {number}" for name, number in total.faults.most_common()))
    for outcome in total.failed:
        print(command(outcome.seed, args.size))
    return 1 if total.failed else 0


def _write(log: TextIO, outcome: Outcome, cpu_s: float) -> None:
    fields = outcome._asdict() | {"faults": dict(outcome.faults), "cpu_s": round(cpu_s, 3)}
    log.write(json.dumps(fields) + "\n")
    log.flush()


if __name__ == "__main__":
    sys.exit(main())
