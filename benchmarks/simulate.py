"""Every single fault at every step of the small worlds, and pairs of faults; which named points were hit, what failed.

    python -m benchmarks.simulate [--share 0.1] [--pairs 2000] [--world qos2-1-sqlite ...] [--jobs 2]
    python -m benchmarks.simulate --long --all-pairs       an hour: all of more messages than the window; all pairs

Then boards that are updated while their power fails (update_worlds.py). A world that fails is shrunk to the fewest
faults, and the command that repeats it is printed. Exit code 1: one failed, or, when it was not only a part, a named
point was never hit. All singles take some minutes; `--share` takes a part of them, drawn with a seed.
"""

import argparse
import os
import sys
import time
from collections import Counter
from multiprocessing import get_context

from benchmarks.exploring import LONG, WORLDS, baseline, essentials, explore, pairs, sample, singles
from benchmarks.fault_points import POINTS, hit
from mqttlite.sim.schedule import Result, Schedule, named, shrink

LONG_SHARE = 0.05  # of the long worlds, unless all of them is wanted
FAILURES_MAX = 5  # that are shrunk and told in full


class Tally:
    """What came of all schedules so far."""

    def __init__(self) -> None:
        self.points: Counter[str] = Counter()
        self.failures: list[Result] = []
        self.count = 0
        self.firsts: list[Result] = []  # what second faults may come after

    def add(self, result: Result) -> None:
        self.points += hit(result.points)
        self.count += 1
        if result.points and not result.problems:
            self.firsts.append(result)
        if result.problems:
            self.failures.append(result)
            print(f"\nFAILED {result.schedule}: {'; '.join(result.problems[:3])}", flush=True)


def show(done: int, total: int, began: float) -> None:
    """Progress, on a terminal."""
    if sys.stderr.isatty() and (done % 50 == 0 or done == total):
        left = (time.monotonic() - began) / done * (total - done)
        print(f"\r  {done} of {total}, {left / 60:.0f} min left ", end="", file=sys.stderr, flush=True)


def go(what: str, schedules: list[Schedule], jobs: int, tally: Tally) -> list[Result]:
    """Run schedules and say how many there were; the results that may have a second fault."""
    tally.firsts = []
    began, cpu = time.monotonic(), os.times()
    before = len(tally.failures)
    explore(schedules, jobs, tally.add, lambda done: show(done, len(schedules), began))
    spent = os.times()
    seconds = sum(spent[:4]) - sum(cpu[:4])
    rate = f"{len(schedules) / seconds:.0f} a second of processor time" if seconds else ""
    print(f"\r{what}: {len(schedules)} schedules, {len(tally.failures) - before} failed; {rate}", flush=True)
    return tally.firsts


def go_updates(share: float, seed: int, jobs: int) -> int:
    """Boards that are updated while their power fails; how many schedules have failed."""
    from benchmarks import update_worlds

    schedules = [*update_worlds.every_cut(), *update_worlds.every_cut(bad=True), *update_worlds.fleets(range(1, 201))]
    schedules = sample(schedules, round(len(schedules) * share), seed)
    with get_context("fork").Pool(jobs) as pool:
        failed = [result for result in pool.imap(update_worlds.try_out, schedules, 8) if result.problems]
    print(f"updates: {len(schedules)} schedules, {len(failed)} failed", flush=True)
    for result in failed[:FAILURES_MAX]:
        print(f"\n{'; '.join(result.problems[:5])}\n  {result.schedule.command}")
    return len(failed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, metavar="PART", help="of the single faults (1: all)")
    parser.add_argument("--long", action="store_true", help="all of the worlds with 30 messages, not a drawn 5%%")
    parser.add_argument("--pairs", type=int, default=2000, metavar="N", help="pairs of any faults, drawn (2000)")
    parser.add_argument(
        "--all-pairs",
        action="store_true",
        help="and every pair of these: a process loses its power when it has done something; a connection ends, or a "
        "line, in the middle of a packet",
    )
    parser.add_argument("--world", action="append", metavar="NAME", help="as qos2-1-sqlite-keys; repeatable (all)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the worlds and of what is drawn (1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (all processors)")
    args = parser.parse_args()
    worlds = [named(name) for name in args.world] if args.world else [*WORLDS, *LONG]
    tally = Tally()
    firsts: list[Result] = []
    for small in worlds:
        schedules = singles(small, args.seed)
        share = args.share * (LONG_SHARE if small in LONG and not (args.long or args.world) else 1)
        if share < 1:
            schedules = sample(schedules, round(len(schedules) * share), args.seed)
        done = go(str(small), schedules, args.jobs, tally)
        firsts += [first._replace(turns=[]) for first in sample(done, args.pairs, args.seed)]
        if args.all_pairs and small not in LONG:  # they would take a day
            done = go(f"{small}, firsts", list(essentials(baseline(small, args.seed))), args.jobs, tally)
            go(f"{small}, pairs", [pair for first in done for pair in essentials(first)], args.jobs, tally)
    if args.pairs:
        go("pairs", list(pairs(sample(firsts, args.pairs, args.seed), 1, args.seed)), args.jobs, tally)
    updates_failed = 0 if args.world else go_updates(args.share, args.seed, args.jobs)
    print(f"\n{tally.count} schedules, {len(tally.failures)} failed\n")
    width = max(len(name) for name, _ in POINTS)
    for name, _ in POINTS:
        print(f"  {name:{width}}  {tally.points[name]:8}")
    for failure in tally.failures[:FAILURES_MAX]:
        print(f"\n{'; '.join(failure.problems[:5])}\n  {shrink(failure.schedule).command}")
    missed = [name for name, _ in POINTS if not tally.points[name]]
    if missed:
        print("\nnever hit: " + "; ".join(missed))
    is_part = args.world or args.share < 1
    return 1 if tally.failures or updates_failed or (missed and not is_part) else 0


if __name__ == "__main__":
    sys.exit(main())
