"""Who has to be looked at, and when: a heap, so that a look costs what is due and not what is there. Imports nothing.

A deadline that moves away costs nothing: whoever is found before its time is entered again. So nobody tells of each
packet that has put one off; only one that comes *earlier* than it was has to be told (`at`).
"""

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

STALE = 64  # entries that stand for nothing any more, beyond as many as there are others, before they are thrown out


class Deadlines(Generic[T]):
    """Each owner is in it once at most."""

    def __init__(self) -> None:
        self._due: dict[T, int] = {}  # when each has to be looked at (ms)
        self._heap: list[tuple[int, int, T]] = []  # the same, with a number in which they came
        self._count = 0

    def __len__(self) -> int:
        return len(self._due)

    def at(self, owner: T, due: int) -> None:
        """Look at `owner` at `due` at the latest."""
        known = self._due.get(owner, -1)
        if 0 <= known <= due:
            return
        self._due[owner] = due
        self._count += 1
        heappush(self._heap, (due, self._count, owner))
        if len(self._heap) > 2 * len(self._due) + STALE:
            self._heap = [entry for entry in self._heap if self._due.get(entry[2], -1) == entry[0]]
            heapify(self._heap)

    def forget(self, owner: T) -> None:
        """`owner` need not be looked at any more."""
        self._due.pop(owner, None)

    def until(self, now: int) -> list[T]:
        """Take out all whose time has come by `now`, the earliest first."""
        heap = self._heap
        found = []
        while heap and heap[0][0] <= now:
            due, _, owner = heappop(heap)
            if self._due.get(owner, -1) == due:
                del self._due[owner]
                found.append(owner)
        return found
