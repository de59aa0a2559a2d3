"""What the plots are drawn of: a bounded ring of samples for each line and each upstream. No clock, no I/O.

Each ring has two spans: the last hour in steps of 10 s, and the last day in steps of five minutes, each the mean of the
samples in it (the greatest, where a peak is what matters). A line costs 16 kB, whatever happens on it.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

STEP_S = 10
HOUR = 360  # samples
DAY_EVERY = 30  # samples become one of the day's
DAY = 288
KEYS_MAX = 500  # lines and upstreams that are remembered; beyond it the one goes that was not there for the longest

SPANS = {"hour": STEP_S, "day": STEP_S * DAY_EVERY}
NOTHING = float("nan")


@dataclass(frozen=True)
class Shape:
    """What a sample consists of. `greatest`: of these names a step has the greatest value, not the mean."""

    names: tuple[str, ...]
    greatest: frozenset[str] = frozenset()


class _Ring:
    """The last `size` rows of `width` numbers, each with the number of its step; steps without one are gaps."""

    def __init__(self, size: int, width: int) -> None:
        self._size = size
        self._width = width
        self._rows = array("f", [NOTHING]) * (size * width)
        self._last = -1

    def put(self, step: int, row: Iterable[float]) -> None:
        """The row of a step, not older than the last."""
        if step < self._last:  # the clock was set back: what was drawn would be of the future
            self._rows = array("f", [NOTHING]) * (self._size * self._width)
            self._last = -1
        for missing in range(max(self._last + 1, step - self._size + 1) if self._last >= 0 else step, step):
            self._write(missing, [NOTHING] * self._width)
        self._last = step
        self._write(step, row)

    def _write(self, step: int, row: Iterable[float]) -> None:
        begin = step % self._size * self._width
        self._rows[begin : begin + self._width] = array("f", row)

    def rows(self, step: int) -> list[list[float]]:
        """Those up to `step`, the oldest first, gaps as NaN."""
        found = []
        for each in range(step - self._size + 1, step + 1):
            begin = each % self._size * self._width
            is_there = self._last >= 0 and self._last - self._size < each <= self._last
            found.append(list(self._rows[begin : begin + self._width]) if is_there else [NOTHING] * self._width)
        return found


class Samples:
    """`put` once in STEP_S for each key; `rows` for a plot."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._hours: dict[str, _Ring] = {}
        self._days: dict[str, _Ring] = {}
        self._sums: dict[str, tuple[int, list[list[float]]]] = {}  # the day's step, and its samples

    def put(self, key: str, at_s: float, values: Sequence[float]) -> None:
        """A sample of now."""
        width = len(self.shape.names)
        step = int(at_s // STEP_S)
        if key not in self._hours and len(self._hours) >= KEYS_MAX:
            self.forget(next(iter(self._hours)))
        hour = self._hours.pop(key, None) or _Ring(HOUR, width)
        self._hours[key] = hour  # at the end: it is there
        hour.put(step, values)
        day_step = step // DAY_EVERY
        began, rows = self._sums.get(key, (day_step, []))
        if began != day_step:
            rows = []
        rows.append(list(values))
        self._sums[key] = (day_step, rows[-DAY_EVERY:])
        self._days.setdefault(key, _Ring(DAY, width)).put(day_step, self._together(rows))

    def _together(self, rows: list[list[float]]) -> Iterable[float]:
        for name, column in zip(self.shape.names, zip(*rows, strict=True), strict=True):
            known = [value for value in column if value == value]
            if not known:
                yield NOTHING
            else:
                yield max(known) if name in self.shape.greatest else sum(known) / len(known)

    def rows(self, key: str, span: str, at_s: float) -> list[list[float]]:
        """The samples of a span of SPANS up to now, the oldest first; none where the key is unknown."""
        ring = (self._hours if span == "hour" else self._days).get(key)
        return ring.rows(int(at_s // SPANS[span])) if ring else []

    def forget(self, key: str) -> None:
        """It is gone for good."""
        for kept in (self._hours, self._days, self._sums):
            kept.pop(key, None)

    def __len__(self) -> int:
        return len(self._hours)


LINE = Shape(
    ("up_bytes_s", "down_bytes_s", "repaired_s", "damaged_s", "rtt_ms"),
    frozenset(("repaired_s", "damaged_s", "rtt_ms")),
)
UPLINK = Shape(("queued", "drained_s", "in_doubt", "oldest_s"), frozenset(("queued", "in_doubt", "oldest_s")))
