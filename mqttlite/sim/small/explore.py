"""Goes through the schedules of small worlds: every single fault, then pairs of them, on all processors.

A *schedule* is a small world, a seed and the faults that happen. The same schedule gives the same trace.
"""

import random
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing import get_context
from typing import NamedTuple, TypeVar

from ..scene import attempt
from .faults import Extent, Fault, essential, every
from .placing import place
from .run import Run
from .small import Small

T = TypeVar("T")
SEED = 1
CHUNK = 40  # schedules that a processor takes at once

WORLDS = (
    Small(0, 2),
    *(
        Small(qos, messages, producer, keys)
        for qos in (1, 2)
        for messages in (1, 2)
        for producer in ("sqlite", "journal")
        for keys in (False, True)
    ),
    Small(2, 1, "journal", line=True),
    Small(1, 1, "sqlite", keys=True, line=True),
    Small(2, 2, "sqlite", slow=True),
    Small(2, 3, "tight"),
    Small(2, 2, "sqlite", wrap=True),
    Small(2, 5, "journal", few=True, wrap=True),
    Small(1, 1, "memory", wrap=True),  # each life begins with the same identifiers
    Small(2, 1, "memory"),
    Small(2, 1, "memory", keys=True),
    Small(2, 1, "memory", reuse=True),
    Small(2, 1, "sqlite", few=True, lose=True),
    Small(2, 1, "journal", keys=True, few=True, lose=True),
    Small(2, 1, "journal", blackout=True),
    Small(1, 1, "sqlite", keys=True, rollback=True),
    Small(2, 1, "sqlite", rollback=True),
    Small(1, 1, "sqlite", poison=True),
    Small(2, 2, "sqlite", poison=True),
    Small(1, 2, "journal", keys=True, poison=True),
    Small(1, 1, "sqlite", large=True),
    Small(2, 2, "sqlite", large=True),
)
LONG = (Small(1, 30, "sqlite"), Small(2, 30, "journal"))  # more than the window


class Schedule(NamedTuple):
    """What is run."""

    small: Small
    faults: tuple[Fault, ...] = ()
    seed: int = SEED

    def __str__(self) -> str:
        return f"{self.small} seed {self.seed}: " + (", ".join(map(str, self.faults)) or "no fault")

    @property
    def command(self) -> str:
        """What repeats it."""
        faults = "".join(f" --fault {shlex.quote(str(fault))}" for fault in self.faults)
        return f"mqttlite simulate --scenario {self.small} --seed {self.seed}{faults}"

    def run(self) -> Run:
        """The world, not started yet."""
        return Run(self.small, self.seed, lambda run: place(run, list(self.faults)))


class Result(NamedTuple):
    """What came of a schedule. `points`: what was hit."""

    schedule: Schedule
    problems: list[str]
    points: list[str]
    extent: Extent
    began: Extent  # where the last fault happened
    turns: list[tuple[int, str]]  # as Run.turns


def try_out(schedule: Schedule) -> Result:
    """Run a schedule to its end."""
    run = schedule.run()
    problems = attempt(run)
    points = [f"{fault} | {point}" for fault, point in run.happened]
    return Result(schedule, problems, points, run.extent, run.last, run.turns)


def baseline(small: Small, seed: int = SEED) -> Result:
    """The world without any fault. RuntimeError when even that does not go well."""
    result = try_out(Schedule(small, (), seed))
    if result.problems:
        raise RuntimeError(f"{result.schedule}: {'; '.join(result.problems)}")
    return result


def singles(small: Small, seed: int = SEED) -> list[Schedule]:
    """Every single fault at every step of a world."""
    return [Schedule(small, (fault,), seed) for fault in every(baseline(small, seed).extent)]


def pairs(firsts: Iterable[Result], count: int, seed: int) -> Iterator[Schedule]:
    """Second faults, after the first, for results of single faults: `count` for each, drawn."""
    chance = random.Random(seed)
    for first in firsts:
        if first.points:
            seconds = every(first.extent, first.began)
            for fault in chance.sample(seconds, min(count, len(seconds))):
                yield first.schedule._replace(faults=(*first.schedule.faults, fault))


def essentials(first: Result) -> Iterator[Schedule]:
    """What comes of one more fault in a run: all essential ones that come after its faults."""
    for fault in essential(first.extent, first.began, first.turns):
        yield first.schedule._replace(faults=(*first.schedule.faults, fault))


def explore(
    schedules: Sequence[Schedule], jobs: int, each: Callable[[Result], object], progress: Callable[[int], object]
) -> None:
    """Run all; `each` gets every result, in order, `progress` how many are done."""
    with get_context("fork").Pool(jobs) as pool:
        for done, result in enumerate(pool.imap(try_out, schedules, CHUNK), 1):
            each(result)
            progress(done)


def shrink(schedule: Schedule) -> Schedule:
    """The fewest faults of a failing schedule that still fail: without those that are not needed, then single ones that
    come first.
    """
    faults = list(schedule.faults)
    at = 0
    while at < len(faults):
        fewer = schedule._replace(faults=tuple(faults[:at] + faults[at + 1 :]))
        if try_out(fewer).problems:
            faults = list(fewer.faults)
        else:
            at += 1
    return schedule._replace(faults=tuple(faults))


def sample(items: Sequence[T], count: int, seed: int) -> list[T]:
    """`count` of the items, drawn."""
    return random.Random(seed).sample(list(items), min(count, len(items)))
