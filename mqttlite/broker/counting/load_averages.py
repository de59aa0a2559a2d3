"""How much a minute, over the last 1, 5 and 15 minutes: averages in which what is longer ago counts less, as Mosquitto
has them below $SYS/broker/load/. Imports nothing of the broker.
"""

import math

MINUTES = (1, 5, 15)


class LoadAverages:
    """Of counters that only grow, by name."""

    def __init__(self) -> None:
        self._at: int | None = None
        self._seen: dict[str, int] = {}
        self._values: dict[str, list[float]] = {}

    def update(self, counters: dict[str, int], now: int) -> list[tuple[str, float]]:
        """The averages at `now` (ms), by `NAME/1min` and so on."""
        took_min = (now - self._at) / 60_000 if self._at is not None else 0.0
        self._at = now
        found = []
        for name, count in counters.items():
            values = self._values.setdefault(name, [0.0] * len(MINUTES))
            if took_min > 0:
                rate = (count - self._seen.get(name, 0)) / took_min
                for n, minutes in enumerate(MINUTES):
                    values[n] = rate + math.exp(-took_min / minutes) * (values[n] - rate)
            self._seen[name] = count
            found += [(f"{name}/{minutes}min", value) for minutes, value in zip(MINUTES, values, strict=True)]
        return found
