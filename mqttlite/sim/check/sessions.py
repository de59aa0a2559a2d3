"""Sessions after each step of the process that they are in: what must hold there between any two calls
(core/invariants.py).
"""

from collections.abc import Callable, Iterable

from ...core.session import Session
from ..machine import Machine

LOOKS = 4  # sessions that are looked at after a step; where a process has more, they take turns


class Sessions:
    """`of(name)`: the sessions in a process. What does not hold is added to `noticed`, once for each process."""

    def __init__(self, of: Callable[[str], Iterable[Session]], noticed: list[str]) -> None:
        self._of = of
        self._noticed = noticed
        self._turns: dict[str, list[Session]] = {}
        self._known: set[str] = set()

    def look(self, process: Machine) -> None:
        """A process has done something. (One that died meanwhile has no sessions any more.)"""
        name = process.name
        if not process.alive or name in self._known:
            return
        turns = self._turns.get(name)
        if not turns:
            turns = self._turns[name] = list(self._of(name))
        for session in turns[-LOOKS:]:
            try:
                session.check()
            except AssertionError as error:
                self._known.add(name)
                self._noticed.append(f"the session of {name} {error}")
        del turns[-LOOKS:]
