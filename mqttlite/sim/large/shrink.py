"""From a large world that fails to a small one that fails in the same way: parts, messages and faults that are not
needed are left out, by halves, then quarters, … then one by one (delta debugging, Zeller 1999).

What happens after a fault that is left out is another course of chance, so a failure that needs much luck may stay
larger than it had to be; but what is printed in the end has been run, and fails.
"""

import re
import time
from collections.abc import Callable
from typing import NamedTuple

from ..scene import attempt
from .large import Large
from .selection import Selection, command, conditions_of
from .subject import parts_in

CALM_S = 1800.0  # of an attempt: what has not arrived by then never does, and hours of waiting cost minutes
_PROCESS = re.compile(r"(?:device|reader|broker|gateway|bridge)#")


class Failure(NamedTuple):
    """A world that fails. `kind`: of its first problem. `faults`: keys of those that happen, in order. `messages`: how
    many a device publishes at most.
    """

    seed: int
    size: int
    selection: Selection
    problems: list[str]
    kind: str
    faults: tuple[str, ...]
    parts: tuple[str, ...]
    messages: int

    def command(self) -> str:
        """What repeats it."""
        return command(self.seed, self.size, self.selection)


def kind_of(problem: str) -> str:
    """What a problem has in common with others of its kind: its words without names, numbers and circumstances."""
    words = re.sub(r"\d+", "#", problem)
    found = _PROCESS.match(words)
    head, colon, rest = words.partition(": ")
    if found and found.end() == len(head) and colon:  # "device3: …" says who, not what
        head = rest.partition(": ")[0]
    head = head.partition(" (")[0].partition(" [")[0]
    return _PROCESS.sub("…", re.sub(r"'[^']*'", "…", head)).strip()


def failure_of(run: Large, size: int, problems: list[str]) -> Failure:
    """What has failed in a world that has run."""
    happened = dict.fromkeys(one.key for one in run.trouble.happened)
    happened.update(dict.fromkeys(sorted(conditions_of(run.parts))))
    kind = kind_of(problems[0])
    most = max((device.messages for device in run.parts.devices), default=0)
    return Failure(run.seed, size, run.selection, problems, kind, tuple(happened), tuple(run.parts.names), most)


class Shrinking:
    """One of them. `say`: is told of progress. `budget_s`: no new attempt after so many seconds. `tries`: how many."""

    def __init__(self, failure: Failure, budget_s: float, say: Callable[[str], object]) -> None:
        self.best = failure
        self.tries = 0
        self._say = say
        self._end = time.monotonic() + budget_s
        self._seen: set[Selection] = set()

    @property
    def is_over(self) -> bool:
        """Whether the time is used up."""
        return time.monotonic() > self._end

    def run(self) -> Failure:
        """The smallest that was found."""
        best = self.best
        wanted = Selection(frozenset(best.parts), best.selection.messages, frozenset(best.faults))
        if not self._fails(wanted):
            # Faults of another course of chance are needed: what has happened says too little.
            self._say("does not fail with the faults alone that have happened")
            return self.best
        before = None
        while before != self.best.selection and not self.is_over:
            before = self.best.selection
            self._fewer_parts()
            self._fewer_messages()
            self._fewer_faults()
        return self.best

    def _fails(self, selection: Selection) -> bool:
        """Whether this fails in the same way; if so, it is the best one now."""
        if selection in self._seen or self.is_over:
            return False
        self._seen.add(selection)
        self.tries += 1
        last = self.best
        run = Large(last.seed, last.size, selection)
        run.calm_s = min(run.calm_s, CALM_S)
        problems = attempt(run)
        same = [problem for problem in problems if kind_of(problem) == last.kind]
        if not same:
            return False
        # What no more happens needs no mention.
        found = failure_of(run, last.size, same)
        self.best = found._replace(selection=selection._replace(only=frozenset(found.faults)))
        if self.best.selection != selection and self.best.selection not in self._seen:
            self._seen.add(self.best.selection)
        self._say(
            f"fails with {counted(len(found.faults), 'fault')}, {counted(len(found.parts), 'part')}"
            + (f", {counted(selection.messages, 'message')} a device" if selection.messages else "")
        )
        return True

    def _fewer_parts(self) -> None:
        named = [name for name in parts_in(self.best.problems[0]) if name in self.best.parts]
        bridges = [name for name in self.best.parts if name.startswith("bridge")]
        for guess in (named, [*named, *bridges]):
            if (
                named
                and len(guess) < len(self.best.parts)
                and self._fails(self.best.selection._replace(parts=frozenset(guess)))
            ):
                break
        self._fewer(
            list(self.best.parts), lambda parts: self._fails(self.best.selection._replace(parts=frozenset(parts)))
        )

    def _fewer_messages(self) -> None:
        most = max((int(number) for number in re.findall(r"device\d+ (\d+)", self.best.problems[0])), default=-1) + 1
        if 0 < most < self.best.messages:
            self._fails(self.best.selection._replace(messages=most))
        while (count := self.best.messages) > 1:
            if not any(self._fails(self.best.selection._replace(messages=n)) for n in (count // 2, count - 1)):
                return

    def _fewer_faults(self) -> None:
        self._fewer(
            list(self.best.faults), lambda keys: self._fails(self.best.selection._replace(only=frozenset(keys)))
        )

    def _fewer(self, items: list[str], fails: Callable[[list[str]], bool]) -> None:
        """Leave out none, all, halves, quarters, … single ones, as long as it fails."""
        if items and fails([]):
            return
        pieces = 2
        while len(items) > 1 and not self.is_over:
            size = -(-len(items) // pieces)
            for begin in range(0, len(items), size):
                rest = items[:begin] + items[begin + size :]
                if rest and fails(rest):
                    items = rest
                    pieces = max(pieces - 1, 2)
                    break
            else:
                if size == 1:
                    return
                pieces = min(2 * pieces, len(items))


def shrink(failure: Failure, budget_s: float, say: Callable[[str], object]) -> Failure:
    """The smallest world that was found in `budget_s` seconds and fails as `failure` does."""
    shrinking = Shrinking(failure, budget_s, say)
    found = shrinking.run()
    say(f"{counted(shrinking.tries, 'attempt')}" + (", then the time was over" if shrinking.is_over else ""))
    return found


def counted(number: int, noun: str) -> str:
    """ "1 fault", "2 faults"."""
    return f"{number} {noun}" + ("" if number == 1 else "s")
