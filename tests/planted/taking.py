"""Methods that take records, and do it wrongly: for mutations of the session and of the broker."""

from collections.abc import Callable
from typing import Any

from mqttlite.core.session import Session


def unless(kinds: tuple[int, ...], place: int) -> Callable[[Any], Any]:
    """A method that takes records does not take those of these kinds; `place`: of the kind in its arguments."""

    def wrap(take: Any) -> Any:
        def taken(self: Any, *args: Any, **names: Any) -> None:
            if args[place] not in kinds:
                take(self, *args, **names)

        return taken

    return wrap


def unannounced(*kinds: int) -> Callable[[Any], Any]:
    """Session._record: nothing waits until a record of these kinds is durable."""

    def wrap(record: Any) -> Any:
        def recorded(self: Session, kind: int, *args: Any) -> None:
            wanted = self.wanted
            record(self, kind, *args)
            if kind in kinds:
                self.wanted = wanted

        return recorded

    return wrap
