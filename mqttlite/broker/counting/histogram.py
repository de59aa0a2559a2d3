"""How long something took, counted by bounds as Prometheus has it. Imports nothing of the broker."""

from bisect import bisect_left

# Seconds: from a disk that hardly needs to sync to an SD card that has its garbage collected.
TIMES_S = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Histogram:
    """`bounds`: upper ends in seconds, ascending; `counts`: how often it was that long, one more for what is longer."""

    def __init__(self, bounds: tuple[float, ...] = TIMES_S) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum_s = 0.0
        self.longest_s = 0.0

    def add(self, seconds: float) -> None:
        """Once more it took so long."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum_s += seconds
        if seconds > self.longest_s:
            self.longest_s = seconds

    @property
    def count(self) -> int:
        """How often."""
        return sum(self.counts)

    def quantile(self, share: float) -> float:
        """The bound below which at least this share of the times was (s); the longest one where it is above all bounds,
        0 where there was none.
        """
        left = share * self.count
        if not left:
            return 0.0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            left -= count
            if left <= 0:
                return min(bound, self.longest_s)
        return self.longest_s
