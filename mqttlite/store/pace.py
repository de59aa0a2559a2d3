"""Where commits are made: on the loop's own thread while a sync is quick, else in another one. CPython only.

The hand-over to a thread and back costs a turn of the loop each way and the interpreter's lock, about 0.1 ms of a busy
core. A sync that takes about as long is cheaper waited for. A slow one (an SD card takes 2 to 20 ms) must not hold
everybody up, so each commit is measured, wherever it is made.

What is typical decides, since on a machine that is busy a commit may take long because another process has the
processor: then a thread would have to wait for that, too, and twice. A mean decides as well, so that a disk that is
quick but for long pauses is a slow one. Who has decided wrongly waits longer before the next try.
"""

from collections import deque

SLOW_S = 0.0006  # what is typical above this ends commits on the loop's thread ...
QUICK_S = 0.0004  # ... and below this, so many in a row begin them
PAUSES_S = 0.005  # the same for the mean
FEW_PAUSES_S = 0.003
TRIES = 8  # commits; at first
TRIES_MAX = 4096
_LAST = 8  # commits that are looked at ...
_TYPICAL = 2  # ... of which so many may have been quicker than what is typical
_WEIGHT = 16  # one part of the mean is the last commit
_CALM = 20_000  # commits on the loop's thread, after which a slow one is news


class Pace:
    """`is_quick`: whether commits are made on the loop's thread."""

    def __init__(self) -> None:
        self.is_quick = False
        self._mean_s = QUICK_S
        self._last_s = deque([SLOW_S] * _LAST, _LAST)
        self._tries = TRIES
        self._left = TRIES  # quick commits that are still wanted
        self._since = 0  # commits on the loop's thread since that began

    def took(self, seconds: float) -> None:
        """A commit took so long."""
        self._last_s.append(seconds)
        mean_s = self._mean_s = self._mean_s + (seconds - self._mean_s) / _WEIGHT
        typical_s = sorted(self._last_s)[_TYPICAL]
        if self.is_quick:
            self._since += 1
            if typical_s > SLOW_S or mean_s > PAUSES_S:
                self.is_quick = False
                self._tries = TRIES if self._since > _CALM else min(2 * self._tries, TRIES_MAX)
                self._left = self._tries
        elif typical_s > QUICK_S or mean_s > FEW_PAUSES_S:
            self._left = self._tries
        else:
            self._left -= 1
            if self._left <= 0:
                self.is_quick = True
                self._since = 0
