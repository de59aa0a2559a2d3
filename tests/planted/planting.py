"""Planting a bug in the real code: what tests need to show that the checkers of small worlds would catch it.

A mutation changes attributes of product modules or rows of their tables while it is planted; no file is changed. It
names the checker that has to catch it and a schedule of faults under which it does. Steps move when the code changes,
so a schedule is a hint: `near` tries it first, then the same faults at steps that are farther and farther away; then
all of it with other seeds.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from typing import Any, NamedTuple

from mqttlite.sim.small.explore import SEED, Schedule, try_out
from mqttlite.sim.small.faults import Fault, parse
from mqttlite.sim.small.small import Small

APART = 12  # steps from the hint that a single fault is tried at
APART_PAIR = 3  # the same for each of two
SEEDS = 8  # with so many seeds: what a power cut leaves is chance

# What the checkers find, by the name of the checker.
CHECKERS = {
    "lost": r"lost: ",
    "confirmed": r"confirmed, and lost: ",
    "twice": r"\d+ times: ",
    "order": r"out of order: ",
    "invented": r"never published: ",
    "connack": r"\w+ before CONNACK",
    "identifier": r"packet identifier \d+ is used again|sent again with identifier",
    "dup": r"PUBLISH \d+ again without DUP",
    "release": r"PUBLISH \d+ after PUBREL|PUBREL \d+ before PUBREC",
    "repeat": r"PUBLISH \d+ twice on one connection",
    "window": r"\d+ messages unfinished",
    "session": r"the broker has forgotten the session",
    "leak": r"the (broker|producer|consumer) keeps \d+ ",
    "drop": r"the broker dropped \d+ ",
    "aside": r"(not )?set aside: ",
    "told": r"the consumer was not told",
    "wait": r"the producer waits for ever|the consumer never got|\w+ does not stop",
    "loop": r"\w+ connects more than \d+ times in a second",
    "error": r"\w+ failed: |\w+: |\w+Error: |ProcessFailed: |Livelock: ",
}


def checker_of(problem: str) -> str:
    """The name of the checker that says this; "?" when it is none of them."""
    return next((name for name, pattern in CHECKERS.items() if re.match(pattern, problem)), "?")


class Patch:
    """What a mutation changes things with; all of it is undone when the stack ends."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Another value for an attribute of a class or module."""
        before = vars(owner).get(name, self)
        setattr(owner, name, value)
        if before is self:
            self._stack.callback(delattr, owner, name)
        else:
            self._stack.callback(setattr, owner, name, before)

    def around(self, owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
        """`wrap(original)` in the place of a function or method."""
        self.set(owner, name, wrap(getattr(owner, name)))

    def row(self, table: dict[int, int], key: int, value: int | None) -> None:
        """Another value for a row of a table; None: there is no such row."""
        before = table[key]
        if value is None:
            del table[key]
        else:
            table[key] = value
        self._stack.callback(table.__setitem__, key, before)


class Mutation(NamedTuple):
    """`breaks`: what is wrong, in a sentence. `checker`: which of CHECKERS must catch it. `small`: the world in which
    it shows, under `faults` (texts; none: without any). `setting`: what has to be so in this world, with the bug and
    without it.
    """

    name: str
    breaks: str
    checker: str
    small: Small
    faults: tuple[str, ...]
    plant: Callable[[Patch], None]
    setting: Callable[[Patch], None] | None = None

    @contextmanager
    def planted(self, bug: bool = True) -> Iterator[None]:
        """While this lasts, the code has the bug; or only the setting."""
        with ExitStack() as stack:
            patch = Patch(stack)
            if self.setting:
                self.setting(patch)
            if bug:
                self.plant(patch)
            yield

    def schedules(self) -> Iterator[Schedule]:
        """What reveals it, nearest to the hint first."""
        return (
            Schedule(self.small, faults, seed)
            for seed in range(SEED, SEED + SEEDS if self.faults else SEED + 1)
            for faults in near(self.faults)
        )

    def find(self, tries: int = 1000) -> tuple[Schedule, list[str], int]:
        """The first schedule that makes the checker speak, what all checkers say, and how many were tried.

        LookupError when none of them does.
        """
        count = 0
        with self.planted():
            for schedule in self.schedules():
                count += 1
                problems = try_out(schedule).problems
                if any(checker_of(problem) == self.checker for problem in problems):
                    return schedule, problems, count
                if count >= tries:
                    break
        raise LookupError(f"'{self.name}': in {count} schedules the checker '{self.checker}' has found nothing")

    def clean(self, schedule: Schedule) -> list[str]:
        """What the checkers say to the same schedule without the bug."""
        with self.planted(bug=False):
            return try_out(schedule).problems


def near(texts: tuple[str, ...]) -> Iterator[tuple[Fault, ...]]:
    """These faults, then the same at other steps, nearest first; of two, each is moved."""
    faults = [parse(text) for text in texts]
    apart = APART if len(faults) < 2 else APART_PAIR
    moves = sorted(product(range(-apart, apart + 1), repeat=len(faults)), key=lambda move: sum(map(abs, move)))
    for move in moves:
        numbers = [fault.number + by for fault, by in zip(faults, move, strict=True)]
        if all(number > 0 for number in numbers):
            yield tuple(fault._replace(number=number) for fault, number in zip(faults, numbers, strict=True))
