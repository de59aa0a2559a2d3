"""Where commits are made: on the loop's own thread while a sync is quick, else in another one. CPython only.

The hand-over to a thread and back costs a turn of the loop each way and the interpreter's lock, about 0.1 ms of a busy
core. A sync that takes about as long is cheaper waited for. A slow one (an SD card takes 2 to 20 ms) must not hold
everybody up, so each commit is measured, wherever it is made, and a mean of the last few decides. Who has decided
wrongly waits longer before the next try: a disk that is quick but for a long pause now and then is a slow one.
"""

SLOW_S = 0.0006  # a mean above ends commits on the loop's thread ...
QUICK_S = 0.0004  # ... and so many in a row with a mean below begin them
TRIES = 8  # commits; at first
TRIES_MAX = 4096
_WEIGHT = 8  # of the mean, that the last commit is: one part
_CALM = 20_000  # commits on the loop's thread, after which a slow one is news


class Pace:
    """`is_quick`: whether commits are made on the loop's thread."""

    def __init__(self) -> None:
        self.is_quick = False
        self.mean_s = SLOW_S
        self._tries = TRIES
        self._left = TRIES  # quick commits that are still wanted
        self._since = 0  # commits on the loop's thread since that began

    def took(self, seconds: float) -> None:
        """A commit took so long."""
        mean = self.mean_s = self.mean_s + (seconds - self.mean_s) / _WEIGHT
        if self.is_quick:
            self._since += 1
            if mean > SLOW_S:
                self.is_quick = False
                self._tries = TRIES if self._since > _CALM else min(2 * self._tries, TRIES_MAX)
                self._left = self._tries
        elif mean > QUICK_S:
            self._left = self._tries
        else:
            self._left -= 1
            if self._left <= 0:
                self.is_quick = True
                self._since = 0
