"""The numbers of one run. Imports nothing of mqttlite."""

from array import array
from dataclasses import dataclass, field

SAMPLES_MAX = 500_000  # times of a run that are kept
BEYOND = 5  # times beyond a percentile that is stated
PERCENTILES = (50.0, 90.0, 99.0, 99.9)


class Times:
    """In seconds. Beyond SAMPLES_MAX every second one is kept, then every fourth, and so on: evenly over the run."""

    def __init__(self) -> None:
        self.count = 0
        self._kept = array("d")
        self._every = 1

    def add(self, seconds: float) -> None:
        if not self.count % self._every:
            self._kept.append(seconds)
            if len(self._kept) >= SAMPLES_MAX:
                self._kept = self._kept[::2]
                self._every *= 2
        self.count += 1

    def sorted(self) -> list[float]:
        return sorted(self._kept)


def percentile(ordered: list[float], percent: float) -> float | None:
    """The least of these values that is not below `percent` of them (nearest rank). None where fewer than BEYOND lie
    beyond it, but for the middle: it would be a claim about one or two messages.
    """
    count = len(ordered)
    if not count or (percent > 50 and count * (100 - percent) < 100 * BEYOND):
        return None
    return ordered[max(-int(-count * percent // 100), 1) - 1]


@dataclass
class Figures:
    """What one run came to. Times in seconds."""

    qos: int
    window: int | None  # messages under way for each pair; 1: one at a time; None: as many as there are, at `rate`
    rate: float | None
    size: int
    seconds: float = 0.0  # measured, without warm-up
    arrived: int = 0  # in that time
    missing: int = 0  # of all that were published: had not arrived when the run ended
    repeated: int = 0  # arrived once more
    reconnections: int = 0
    own_cpu_s: float = 0.0  # processor time of this program, in the time measured
    is_whole: bool = True  # not ended before its time
    delivered: Times = field(default_factory=Times)  # from publish to the subscriber
    late: Times = field(default_factory=Times)  # at a rate: from when a message was due to its publish
    confirmed: Times = field(default_factory=Times)  # from publish to the broker's word; one at a time, QoS 1 and 2

    @property
    def name(self) -> str:
        if self.window is None:
            return f"{self.rate:g} a second"
        return "one at a time" if self.window == 1 else f"{self.window} under way"

    @property
    def per_s(self) -> float:
        return self.arrived / self.seconds if self.seconds else 0.0

    @property
    def own_us(self) -> float | None:
        """Processor time of this program for a message that arrived."""
        return self.own_cpu_s / self.arrived * 1e6 if self.arrived else None

    @property
    def busy(self) -> float:
        """The share of one processor core that this program took."""
        return self.own_cpu_s / self.seconds if self.seconds else 0.0
