"""How fast counters grow: over the last half minute, whoever asks how often. No clock, no I/O."""

from collections import deque
from collections.abc import Mapping

SPAN_S = 30.0
KEYS_MAX = 500


class Rates:
    """`of(key, now_s, counters)`: each counter's growth a second, as NAME_s."""

    def __init__(self) -> None:
        self._known: dict[str, deque[tuple[float, dict[str, int]]]] = {}

    def of(self, key: str, now_s: float, counters: Mapping[str, int]) -> dict[str, float]:
        """Empty at the first time. A counter that is lower than before has begun anew."""
        known = self._known.setdefault(key, deque())
        if known and (now_s < known[-1][0] or any(counters[name] < value for name, value in known[-1][1].items())):
            known.clear()
        known.append((now_s, dict(counters)))
        while len(known) > 2 and known[1][0] <= now_s - SPAN_S:
            known.popleft()
        if len(self._known) > KEYS_MAX:
            self._known.pop(next(iter(self._known)))
        began_s, began = known[0]
        took_s = now_s - began_s
        if took_s <= 0:
            return {}
        return {f"{name}_s": (value - began[name]) / took_s for name, value in counters.items()}

    def gained(self, key: str, name: str) -> int:
        """How much a counter has grown in that time."""
        known = self._known.get(key)
        return known[-1][1][name] - known[0][1][name] if known else 0
