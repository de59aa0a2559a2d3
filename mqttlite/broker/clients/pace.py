"""How much a connection may do in a turn of the loop, so that a turn takes about as long as it may, however many want
more, and however slow the machine is. Imports limits, publishing.
"""

from ..limits import Limits
from .publishing import Publishing

TURN_MIN = 10  # packets, for one of very many that have more to do than fits in a turn


class Pace:
    """Keeps `turn_work` of the router. Times are by the shell's clock: the engine has none."""

    def __init__(self, limits: Limits, router: Publishing) -> None:
        self._router = router
        self.take_limits(limits)

    def take_limits(self, limits: Limits) -> None:
        """Others from now on."""
        self._limits = limits
        self._most = self._work = max(1, limits.turn_work)  # in a turn, by all who have more
        self._read_ms = 0  # in this turn
        self._is_late = False  # in this turn, before all who have more had theirs
        self.share(0)

    def share(self, count: int) -> None:
        """So many have work for more than a turn: all of them together have one, which begins."""
        self._read_ms = 0
        self._is_late = False
        self._set(self._work // max(1, count))

    def _set(self, work: int) -> None:
        self._router.turn_work = max(min(TURN_MIN, self._work), work)

    def took(self, ms: int, left: int) -> None:
        """Their turn has taken so long, and so many have still more to do: the next are shorter, or longer again."""
        turn_ms = self._limits.turn_ms
        if ms > turn_ms:
            self._work = max(TURN_MIN, self._work * turn_ms // (ms + 1))
        else:
            self._work = min(self._most, self._work + self._work // 4 + 1)
        self._set_for_reads(left)

    def read(self, ms: int, left: int) -> None:
        """Who was read now has more than fits in its turn; so many there are."""
        self._read_ms += ms
        self._set_for_reads(left)

    def late(self) -> None:
        """Reads of this turn have taken long, although each of them may have been little: the rest has next to nothing,
        and all of them together less when they go on.
        """
        if not self._is_late:
            self._is_late = True
            self._work = max(TURN_MIN, self._work // 4)
        self._set(0)

    def _set_for_reads(self, left: int) -> None:
        """Who is read next in this turn has the less, the more have left something: all of them two turns, about; and
        next to nothing when they have taken as long as a turn may.
        """
        count = left + 1
        self._set(0 if self._read_ms > self._limits.turn_ms else 2 * self._work // (count * (count + 1)))
