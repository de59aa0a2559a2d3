"""Plants each bug and writes docs/mutations.md anew, or looks for the faults that reveal one."""

import argparse
import random
import sys
from collections import Counter
from typing import Any

from benchmarks.exploring import explore, singles

from . import BUGS, page
from .planting import checker_of


def search(name: str, count: int, jobs: int) -> None:
    """Print which single faults of a world reveal a bug."""
    bug = BUGS[name]
    with bug.planted(bug=False):
        schedules = singles(bug.small)
    random.Random(1).shuffle(schedules)
    found: Counter[str] = Counter()
    tried: Counter[str] = Counter()

    def each(result: Any) -> None:
        (fault,) = result.schedule.faults
        kind = " ".join(filter(None, (fault.what, fault.who, fault.where, fault.unit, fault.how)))
        tried[kind] += 1
        if bug.checker in map(checker_of, result.problems):
            found[kind] += 1
            print(f"{fault}: {'; '.join(result.problems)}")

    with bug.planted():
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
        page.write(BUGS)


if __name__ == "__main__":
    main()
