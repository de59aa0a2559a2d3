"""Plants each bug and prints docs/mutations.md, or looks for the faults that reveal one."""

import argparse
import random
import sys
from collections import Counter
from typing import Any

from mqttlite.sim.small.explore import SEED, explore, singles

from . import MUTATIONS
from .planting import checker_of

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

SAYS = {
    "lost": "an accepted message was not handled",
    "confirmed": "a message was confirmed to its publisher, and not handled",
    "twice": "what a handler wrote is there more than once",
    "order": "a message was handled for the first time after a later one",
    "invented": "a message was handled that nobody has published",
    "connack": "a client has sent something else than CONNECT before CONNACK",
    "identifier": "a packet identifier that is in use was given to another message, or a message got another one",
    "dup": "a message was sent again without DUP",
    "release": "a message was published again after PUBREL, or released before PUBREC",
    "repeat": "a message was published twice on one connection",
    "window": "more than 20 messages were unfinished",
    "session": "a client was told of a session that the broker has forgotten",
    "leak": "in the end, a message or packet identifier is still stored",
    "drop": "the broker has counted a message at QoS 1 or 2 that it dropped",
    "aside": "a message that could be delivered was set aside, or one that could not be was not",
    "told": "a consumer was not told of a message that was too large for it",
    "wait": "somebody waits without end",
    "loop": "a client connects again and again without a pause",
    "error": "a program got an exception, or logged a fault, that is nobody's doing but ours",
}


def table() -> str:
    """All mutations and what caught them, as Markdown. LookupError when one is not caught."""
    lines = []
    caught: Counter[str] = Counter()
    for planted in MUTATIONS.values():
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
    tail = [f"| {name} | {says} | {caught[name]} |\n" for name, says in SAYS.items()]
    return HEAD + "".join(lines) + TAIL + "".join(tail)


def search(name: str, count: int, jobs: int) -> None:
    """Print which single faults of a world reveal a mutation."""
    planted = MUTATIONS[name]
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
    parser.add_argument("--find", metavar="NAME", choices=list(MUTATIONS))
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
