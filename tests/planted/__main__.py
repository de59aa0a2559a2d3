"""Plants each bug and prints docs/mutations.md, or looks for the faults that reveal one."""

import argparse
import random
import sys
from collections import Counter
from typing import Any

from mqttlite.sim.small.explore import SEED, explore, singles

from . import BUGS
from .planting import CHECKERS, checker_of

HEAD = """# Planted bugs, and what caught them

A checker that has never caught anything proves nothing. So each checker of the simulated worlds is shown bugs:
small changes of the real code, planted while a schedule of faults runs (`tests/planted/`). The same schedule
without the bug has to be clean (`tests/sim/test_planted.py`). Written by `python -m tests.planted`.

A world is called by the QoS, the number of messages, the producer's store, and whether messages carry keys; faults are
explained in `mqttlite/sim/small/faults.py`. Where one fault is not enough, there are two.

| planted bug | what it breaks | caught by | world | fault | also noticed by |
|---|---|---|---|---|---|
"""

TAIL = """
| checker | what it says | planted bugs that it catches |
|---|---|---|
"""


def table() -> str:
    """All bugs and what caught them, as Markdown. LookupError when one is not caught."""
    lines = []
    caught: Counter[str] = Counter()
    for planted in BUGS.values():
        schedule, problems, _count = planted.find()
        names = {checker_of(problem) for problem in problems}
        caught.update(names)
        others = ", ".join(sorted(names - {planted.checker}))
        faults = ", then ".join(map(str, schedule.faults)) or "none"
        if schedule.seed != SEED:
            faults += f" (seed {schedule.seed})"
        lines.append(
            f"| {planted.name} | {planted.breaks} | {planted.checker} | {schedule.small} | {faults} | {others} |\n"
        )
    tail = [f"| {name} | {says} | {caught[name]} |\n" for name, (says, _) in CHECKERS.items()]
    return HEAD + "".join(lines) + TAIL + "".join(tail)


def search(name: str, count: int, jobs: int) -> None:
    """Print which single faults of a world reveal a bug."""
    planted = BUGS[name]
    with planted.planted(bug=False):
        schedules = singles(planted.small)
    random.Random(1).shuffle(schedules)
    found: Counter[str] = Counter()
    tried: Counter[str] = Counter()

    def each(result: Any) -> None:
        (fault,) = result.schedule.faults
        kind = " ".join(filter(None, (fault.what, fault.who, fault.where, fault.unit, fault.how)))
        tried[kind] += 1
        names = {checker_of(problem) for problem in result.problems}
        if planted.checker in names:
            found[kind] += 1
            print(f"{fault}: {'; '.join(result.problems)}")

    with planted.planted():
        explore(schedules[:count], jobs, each, lambda done: None)
    for kind, hits in found.most_common():
        print(f"{hits:4} of {tried[kind]:4}: {kind}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__)
    parser.add_argument("--find", metavar="NAME", choices=list(BUGS))
    parser.add_argument("--count", type=int, default=400, help="schedules that --find tries")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    sys.unraisablehook = lambda _: None  # apsw tells it of each death in the middle of a write
    if args.find:
        search(args.find, args.count, args.jobs)
    else:
        print(table(), end="")


if __name__ == "__main__":
    main()
