"""For bugs that are functions, until they are rows."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from mqttlite.sim.small.small import Small

from .planting import Bug, Change, around, row, value

BUGS: dict[str, list[Bug]] = {}  # by module


class Patch:
    """What a bug changes things with; all of it is undone when the stack ends."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def all(self, change: Change) -> None:
        change(self._stack)

    def set(self, owner: Any, name: str, other: Any) -> None:
        value(owner, name, other)(self._stack)

    def around(self, owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
        around(owner, name, wrap)(self._stack)

    def row(self, table: dict[int, int], key: int, other: int | None) -> None:
        row(table, key, other)(self._stack)


def mutation(
    name: str, breaks: str, checker: str, small: Small, *faults: str, setting: Change | None = None
) -> Callable[[Callable[[Patch], None]], None]:
    """Enter a function that plants a bug into BUGS."""

    def enter(plant: Callable[[Patch], None]) -> None:
        bug = Bug(name, breaks, checker, (small, faults), lambda stack: plant(Patch(stack)), setting=setting)
        BUGS.setdefault(plant.__module__.rpartition(".")[2], []).append(bug)

    return enter
