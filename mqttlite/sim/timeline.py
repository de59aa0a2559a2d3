"""Virtual time: what happens when, what chance decides, and what has happened. Knows of no process, network or disk.

Everything that happens is an event in one queue, ordered by time; where two have the same time, the one that was put in
first is first. Whatever could be otherwise (how long a packet takes, where it is cut, which sectors survive) is drawn
from `random`. So the same seed gives the same `trace`, byte for byte; `digest()` is its fingerprint.

Times inside are whole nanoseconds.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from random import Random
from typing import Any, TypeVar

from .handles import Livelock, Timer, name_of

SECOND = 1_000_000_000
INSTANT_LIMIT = 100_000  # events at one instant after which a livelock is assumed
TRACE_BATCH = 10_000  # entries that are kept at least before they only go into the digest

T = TypeVar("T")
Entry = tuple[int, str, str, str | bytes]  # time (ns), lane, kind, text


class ProcessFailed(Exception):
    """The program of a process has raised an exception; `__cause__` is that."""


class Timeline:
    """`seed`: decides everything. `keep_trace`: whether `trace` has everything that happened, or (for long runs) only
    the last of it; the digest is the same.

    `now`: the time in nanoseconds. `reached`: how often each named fault point was reached. `events`: how many there
    were.
    """

    def __init__(self, seed: int, *, keep_trace: bool = True) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.now = 0
        self.ahead = 0  # ns that what is running now has waited (for its disk): it is so much later for it
        self.reached: Counter[str] = Counter()
        self.trace: list[Entry] = []
        self.events = 0
        self._keep_trace = keep_trace
        self._hash = hashlib.sha256()
        self._hashed = 0  # entries of the trace that the hash has
        self._queue: list[tuple[int, int, Callable[..., object], tuple[Any, ...]]] = []
        self._number = 0
        self._cancelled = 0  # entries in the queue that will do nothing
        self._failure: ProcessFailed | None = None

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.run_until(_never, seconds)

    def run_until(self, condition: Callable[[], bool], limit_s: float = 3600.0) -> bool:
        """Go on until `condition()`, which is asked after each event; False when `limit_s` pass before.

        Raises ProcessFailed, and Livelock when things go on without any time passing.
        """
        end = self.now + round(limit_s * SECOND)
        queue = self._queue
        instant = 0
        while not condition():
            if not queue or queue[0][0] > end:
                self.now = end
                return False
            when, _, call, args = heappop(queue)
            self.events += 1
            if when > self.now:
                self.now = when
                instant = 0
            else:
                instant += 1
                if instant > INSTANT_LIMIT:
                    what = args[0] if args and isinstance(args[0], Timer) else name_of(call)
                    raise Livelock(f"{instant} events at {when} ns; the last one is {what!r} of {_owner(call)}")
            call(*args)
            if self._failure:
                failure, self._failure = self._failure, None
                raise failure
        return True

    def after(self, seconds: float, call: Callable[..., object], *args: Any) -> None:
        """Call something outside of all processes, in so many seconds: a fault, a check."""
        self.at(self.now + round(seconds * SECOND), call, *args)

    def reach(self, name: str) -> int:
        """A named fault point is reached; how often it was until now, this time included."""
        self.reached[name] += 1
        return self.reached[name]

    def digest(self) -> str:
        """The fingerprint of everything that has happened."""
        self._fold()
        return self._hash.hexdigest()

    # -- for what happens in it

    def at(self, when: int, call: Callable[..., object], *args: Any) -> None:
        """Call something at a time (ns)."""
        self._number += 1
        heappush(self._queue, (when, self._number, call, args))

    def note(self, lane: str, kind: str, text: str | bytes = "") -> None:
        """An entry in the trace."""
        trace = self.trace
        trace.append((self.now + self.ahead, lane, kind, text))
        if len(trace) >= 2 * TRACE_BATCH and not self._keep_trace:
            self._fold()
            del trace[:TRACE_BATCH]
            self._hashed -= TRACE_BATCH

    def draw(self, low: int, high: int) -> int:
        """A whole number from low to high, both included; small ones as likely as large ones."""
        return low + int(self.random.random() * (high - low + 1))

    def fail(self, who: str, error: BaseException) -> None:
        """A program has ended with an exception, or the scenario is at fault: whoever runs the world has to know."""
        if not self._failure:
            self._failure = ProcessFailed(f"{who} failed: {type(error).__name__}: {error}")
            self._failure.__cause__ = error

    def ask(self, hook: Callable[..., T], *args: Any) -> T | None:
        """Call a hook of the scenario from within a process. An exception is the scenario's, and no program may catch
        it; OSError is meant for the program.
        """
        try:
            return hook(*args)
        except OSError:
            raise
        except Exception as error:
            self.fail("a hook of the scenario", error)
            return None

    def forget_one(self) -> None:
        """An entry in the queue was cancelled; when they are the most, they are removed."""
        self._cancelled += 1
        if self._cancelled > 1000 and 2 * self._cancelled > len(self._queue):
            self._queue[:] = [entry for entry in self._queue if not _is_cancelled(entry[3])]
            heapify(self._queue)
            self._cancelled = 0

    def forgotten_one(self) -> None:
        """A cancelled entry has come to its turn."""
        self._cancelled -= 1

    def _fold(self) -> None:
        for entry in self.trace[self._hashed :]:
            self._hash.update(repr(entry).encode())
        self._hashed = len(self.trace)


def _is_cancelled(args: tuple[Any, ...]) -> bool:
    return bool(args) and isinstance(args[0], Timer) and args[0]._cancelled


def _owner(call: Callable[..., object]) -> str:
    owner = getattr(call, "__self__", None)
    process = getattr(owner, "_process", owner)
    return str(getattr(process, "name", process))


def _never() -> bool:
    return False
