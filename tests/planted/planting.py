"""Planting a bug in the real code: what tests need to show that the checkers of small worlds would catch it.

A bug is a change of product code while it is planted: another piece of text in a function, another row of a table,
another value of an attribute, something around a function. No file is changed. The page (page.py) has the checker that
must catch it, and the world and faults under which that did. Steps move when the code changes, so these faults are a
hint: `near` tries them first, then the same faults at steps that are farther and farther away; then all of it with
other seeds.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

import pytest

from mqttlite.cli.variant import COMPILED
from mqttlite.sim.schedule import SEED, AnyWorld, Schedule, try_out
from mqttlite.sim.small.faults import Fault

APART = 12  # steps from the hint that a single fault is tried at
APART_PAIR = 3  # the same for each of two
SEEDS = 8  # with so many seeds: what a power cut leaves is chance

# The checkers: what each says, and the beginning of how it says that.
CHECKERS = {
    "lost": ("an accepted message was not handled", r"lost: "),
    "confirmed": ("a message was confirmed to its publisher, and not handled", r"confirmed, and lost: "),
    "twice": ("what a handler wrote is there more than once", r"\d+ times: "),
    "order": ("a message was handled for the first time after a later one", r"out of order: "),
    "invented": ("a message was handled that nobody has published", r"never published: "),
    "connack": ("a client has sent something else than CONNECT before CONNACK", r"\w+ before CONNACK"),
    "identifier": (
        "a packet identifier that is in use was given to another message, or a message got another one",
        r"packet identifier \d+ is used again|sent again with identifier",
    ),
    "dup": ("a message was sent again without DUP", r"PUBLISH \d+ again without DUP"),
    "release": (
        "a message was published again after PUBREL, or released before PUBREC",
        r"PUBLISH \d+ after PUBREL|PUBREL \d+ before PUBREC",
    ),
    "repeat": ("a message was published twice on one connection", r"PUBLISH \d+ twice on one connection"),
    "window": ("more than 20 messages were unfinished", r"\d+ messages unfinished"),
    "session": (
        "a client was told of a session that the broker has forgotten",
        r"the broker has forgotten the session",
    ),
    "leak": (
        "in the end, a message or packet identifier is still stored",
        r"((the \w+ of )?\w+) keeps \d+ ",
    ),
    "drop": ("the broker has counted a message at QoS 1 or 2 that it dropped", r"the broker dropped \d+ "),
    "aside": (
        "a message that could be delivered was set aside, or one that could not be was not",
        r"(not )?set aside: ",
    ),
    "told": ("a consumer was not told of a message that was too large for it", r"the consumer was not told"),
    "wait": (
        "somebody waits without end",
        r"the producer waits for ever|the consumer never got|\w+ does not stop",
    ),
    "loop": (
        "a client connects again and again without a pause",
        r"\w+ connects more than \d+ times in a second",
    ),
    "time": (
        "a message was sent after it had expired, had another time left than it should, or was given up early",
        r"expired: |time left: |lost early: ",
    ),
    "will": ("a will was published early, or although its client was back", r"early will: "),
    "ended": ("a client was told of a session that was over for long", r"session expiry: "),
    "shared": (
        "a message went to several members of a shared subscription, or waited for a slow one",
        r"shared: |not passed over: ",
    ),
    "properties": ("a message arrived with other properties", r"properties of "),
    "rights": ("a message was sent to who may not receive it any more", r"not allowed: "),
    "kept": ("a retained message was not there for who came later", r"not retained: "),
    "state": (
        "what must hold in a session after each step of its process does not (`core/invariants.py`)",
        r"the session of \w+ does not hold: ",
    ),
    "budget": (
        "more is in a queue than its budget has room for, or less was taken than fits",
        r"budget: ",
    ),
    "early": ("a message for later was published before its time", r"early: "),
    "error": (
        "a program got an exception, or logged a fault, that is nobody's doing but ours",
        r"\w+ failed: |\w+: |\w+Error: |ProcessFailed: |Livelock: ",
    ),
}


def checker_of(problem: str) -> str:
    """The name of the checker that says this; "?" when it is none of them."""
    return next((name for name, (_, pattern) in CHECKERS.items() if re.match(pattern, problem)), "?")


Change = Callable[[ExitStack], None]  # made now, and undone when the stack ends


def _in_the_source() -> None:
    """Bugs are planted in what is interpreted; a test that plants one is left out where that is compiled."""
    if COMPILED:
        pytest.skip("for the source alone: a bug is planted in it")


def value(owner: Any, name: str, other: Any) -> Change:
    """Another value for an attribute of a class or module."""

    def change(stack: ExitStack) -> None:
        _in_the_source()
        before = vars(owner).get(name, change)
        setattr(owner, name, other)
        if before is change:
            stack.callback(delattr, owner, name)
        else:
            stack.callback(setattr, owner, name, before)

    return change


def around(owner: Any, name: str, wrap: Callable[[Any], Any]) -> Change:
    """`wrap(original)` in the place of a function or method."""
    return lambda stack: value(owner, name, wrap(getattr(owner, name)))(stack)


def row(table: dict[int, int], key: int, other: int | None) -> Change:
    """Another value for a row of a table; None: there is no such row."""

    def change(stack: ExitStack) -> None:
        before = table.pop(key)
        if other is not None:
            table[key] = other
        stack.callback(table.__setitem__, key, before)

    return change


def text(function: Any, other: dict[str, str]) -> Change:
    """Other pieces of source in a function, by those that stand there now, once each. Whoever has the function by
    another name has the bug, too.
    """

    def change(stack: ExitStack) -> None:
        _in_the_source()
        stack.callback(setattr, function, "__code__", function.__code__)
        function.__code__ = _compiled(function, other)

    return change


def _compiled(function: Any, other: dict[str, str]) -> CodeType:
    source = changed = inspect.getsource(function)
    for old, new in other.items():
        if changed.count(old) != 1:
            raise LookupError(f"{function.__qualname__} has {changed.count(old)} times, and not once: {old}")
        changed = changed.replace(old, new)
    file = inspect.getfile(function)
    module = Path(file).read_text(encoding="utf-8").replace(source, changed, 1)
    codes = [compile(module, file, "exec", dont_inherit=True)]
    for code in codes:  # which grows
        if code.co_qualname == function.__qualname__:
            return code
        codes += [part for part in code.co_consts if isinstance(part, CodeType)]
    raise LookupError(f"{file} has no {function.__qualname__}")


def all_of(*changes: Change) -> Change:
    """All of them, as one."""

    def change(stack: ExitStack) -> None:
        for each in changes:
            each(stack)

    return change


class Given(NamedTuple):
    """A bug that shows only where something is so: `setting`, which the code has with the bug and without it."""

    setting: Change
    bug: Change


class Bug(NamedTuple):
    """A row of the page, and the `change` that it is. `breaks`: what is wrong, in a sentence. `checker`: which of
    CHECKERS must catch it. `small`: in which world it shows; `faults`, `seed`: under which faults it did last.
    """

    name: str
    breaks: str
    checker: str
    small: AnyWorld
    faults: tuple[Fault, ...]
    seed: int
    change: Change | Given

    @contextmanager
    def planted(self, bug: bool = True) -> Iterator[None]:
        """While this lasts, the code has the bug; or only the setting."""
        change = self.change
        with ExitStack() as stack:
            if isinstance(change, Given):
                change.setting(stack)
                change = change.bug
            if bug:
                change(stack)
            yield

    def schedules(self) -> Iterator[Schedule]:
        """What reveals it, nearest to the hint first."""
        seeds = dict.fromkeys((self.seed, *range(SEED, SEED + SEEDS))) if self.faults else [self.seed]
        return (Schedule(self.small, faults, seed) for seed in seeds for faults in near(self.faults))

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


def near(faults: tuple[Fault, ...]) -> Iterator[tuple[Fault, ...]]:
    """These faults, then the same at other steps, nearest first; of two, each is moved."""
    apart = APART if len(faults) < 2 else APART_PAIR
    moves = sorted(product(range(-apart, apart + 1), repeat=len(faults)), key=lambda move: sum(map(abs, move)))
    for move in moves:
        numbers = [fault.number + by for fault, by in zip(faults, move, strict=True)]
        if all(number > 0 for number in numbers):
            yield tuple(fault._replace(number=number) for fault, number in zip(faults, numbers, strict=True))
