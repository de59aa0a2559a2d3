"""What the master of a bus knows of one device. Hosts."""

from .addressed import AddressedLink

FIRST_WAIT_MS = 5  # from one question to the next, of a device that has nothing to say,
SILENT_FIRST_MS = 50  # and of one that does not answer: either doubles from turn to turn
MISSES_MAX = 3  # questions without an answer, and it counts as silent
ANSWER_FIRST_MS = 30  # how long an answer may take to begin, as long as nobody knows how long it does,
ANSWER_MAX_MS = 120  # and at most
_DOUBLED_MAX = 3
_LONGER = 8  # every so many questions to a silent device it has the longest time


class Station:
    """The device at `address`, whether it is there or not; `link`: the master's end.

    Counters: `asked`, `answered`, `missed`; `late`: answers that came when somebody else had been asked; `unasked`:
    frames without a question; `overruns`: turns that did not end; `damaged`: frames of its answers;
    `spent_ms`: time of the bus that it took, `missed_ms`: of that, waiting for nothing.
    """

    def __init__(self, address: int, link: AddressedLink) -> None:
        self.address = address
        self.link = link
        self.is_there = False  # it has answered, and not missed MISSES_MAX questions since
        self.asked = self.answered = self.missed = self.late = self.unasked = self.overruns = self.damaged = 0
        self.spent_ms = self.missed_ms = 0
        self.due = 0  # when it should be asked
        self.is_busy = False  # it has more to say, or something was damaged
        self.last_asked = -1
        self.told_at = 0  # when it was told something outside of its turns
        self.question_end = self.missed_at = 0  # when its latest question had left, and the one before
        self.misses = 0  # in a row
        self.wait_ms = FIRST_WAIT_MS
        self._doubled = 0
        self.slowest_ms = 0.0  # how long its answers took to begin: the longest, slowly forgotten

    def is_owed(self, now: int) -> bool:
        """It or the master has something to say."""
        return self.is_there and (self.is_busy or self.link.deadline() <= now)

    def patience_ms(self, usual_ms: float) -> int:
        """How long the beginning of its answer is waited for. `usual_ms`: what those take that are there, 0.0: nobody
        knows.
        """
        slowest = self.slowest_ms or usual_ms
        least = 1.25 * slowest + 5 if slowest else ANSWER_FIRST_MS
        if self.is_there:
            least *= 1 << self._doubled
        elif self.misses % _LONGER == _LONGER - 1:
            least = ANSWER_MAX_MS
        return min(max(round(least), 8), ANSWER_MAX_MS)

    def answers(self, took_ms: float) -> None:
        """The first frame of an answer has arrived, and began so long after the question."""
        self._doubled = 0
        self.slowest_ms = max(self.slowest_ms * 0.998, took_ms, 0.1)

    def is_late(self, took_ms: float) -> None:
        """An answer has come when somebody else had been asked."""
        self.late += 1
        self.slowest_ms = max(self.slowest_ms, min(took_ms, ANSWER_MAX_MS))

    def has_answered(self, now: int, is_busy: bool, idle_ms: int) -> None:
        """Its turn is over."""
        self.answered += 1
        self.misses = 0
        self.is_busy = is_busy
        if is_busy or not self.is_there:
            self.wait_ms = FIRST_WAIT_MS
        self.is_there = True
        self.due = now + self.wait_ms
        self.wait_ms = min(2 * self.wait_ms, idle_ms)

    def has_missed(self, now: int, silent_ms: int) -> None:
        """It was asked, and nothing came."""
        self.missed += 1
        self.misses += 1
        self._doubled = min(self._doubled + 1, _DOUBLED_MAX)
        if self.is_there and self.misses < MISSES_MAX:
            self.is_busy = True
            return
        self.wait_ms = min(2 * self.wait_ms, silent_ms) if not self.is_there else SILENT_FIRST_MS
        self.is_there = self.is_busy = False
        self.due = now + self.wait_ms
