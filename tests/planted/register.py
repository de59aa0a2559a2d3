"""For bugs that are functions, until they are rows."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from .planting import Change, Given, around, row, value

CHANGES: dict[str, Change | Given] = {}


class Patch:
    """What a bug changes things with; all of it is undone when the stack ends."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def set(self, owner: Any, name: str, other: Any) -> None:
        value(owner, name, other)(self._stack)

    def around(self, owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
        around(owner, name, wrap)(self._stack)

    def row(self, table: dict[int, int], key: int, other: int | None) -> None:
        row(table, key, other)(self._stack)


def mutation(name: str, *_shown: object, setting: Change | None = None) -> Callable[[Callable[[Patch], None]], None]:
    """Enter a function that plants a bug into CHANGES."""

    def enter(plant: Callable[[Patch], None]) -> None:
        def change(stack: ExitStack) -> None:
            plant(Patch(stack))

        CHANGES[name] = Given(setting, change) if setting else change

    return enter
