"""Who is asked next. Hosts. Three kinds of devices share the bus:

owed     it has something to say, or something is to be said to it: in turn, whoever was asked longest ago
idle     had nothing to say: asked now and then, in steps that double. While others are owed, idle ones have no more of
         the bus than these
silent   does not answer, or was never there: asked ever more seldom, and while others want the bus, with a
         twentieth of it; with half of it until each was asked once
"""

from collections.abc import Iterable

from .station import Station

SILENT_SHARE = 20
_FIRST_SHARE = 2


class Schedule:
    """For `stations`, which may be asked every `idle_ms` and `silent_ms` at the most seldom."""

    def __init__(self, stations: Iterable[Station]) -> None:
        self._stations = list(stations)
        self._turn = 0
        self._balance_ms = 0  # how much more the idle ones have had than those that were owed
        self._silent_at = 0  # when a silent one may be asked, though others want the bus
        self._kind = ""
        self._share = SILENT_SHARE
        self._contended = False

    def next(self, now: int) -> Station | None:
        """Whoever is asked now; None: nobody."""
        owed = idle = silent = None
        for one in self._stations:
            if not one.is_there:
                if one.due <= now and (silent is None or one.due < silent.due):
                    silent = one
            elif one.is_owed(now):
                if owed is None or one.last_asked < owed.last_asked:
                    owed = one
            elif one.due <= now and (idle is None or one.due < idle.due):
                idle = one
        self._contended = owed is not None and idle is not None
        if silent and (now >= self._silent_at or not (owed or idle)):
            chosen, self._kind = silent, "silent"
            self._share = SILENT_SHARE if silent.asked else _FIRST_SHARE
        elif owed and (idle is None or self._balance_ms > 0):
            chosen, self._kind = owed, "owed"
        elif idle:
            chosen, self._kind = idle, "idle"
        else:
            return None
        self._turn += 1
        chosen.last_asked = self._turn
        return chosen

    def took(self, now: int, cost_ms: int) -> None:
        """The turn that `next` has given has ended, and took so long."""
        if self._kind == "silent":
            self._silent_at = now + (self._share - 1) * cost_ms
        elif self._contended:
            change = cost_ms if self._kind == "idle" else -cost_ms
            self._balance_ms = max(self._balance_ms + change, -cost_ms)
        else:
            self._balance_ms = 0

    def due(self) -> int | None:
        """When the next one should be asked; None: there is nobody."""
        found = None
        for one in self._stations:
            due = one.due
            if one.is_there:
                due = 0 if one.is_busy else min(due, one.link.deadline())
            if found is None or due < found:
                found = due
        return found
