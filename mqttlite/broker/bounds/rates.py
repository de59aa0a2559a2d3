"""So many in a second, by key, with a store of some for bursts. Imports nothing.

For each key, one number: when its store will be full again. Whoever comes for one moves it away; when it is further
away than a full store takes, there is none left. A key whose store is full is forgotten.
"""

KEYS_MAX = 10_000  # beyond it the keys that came first are forgotten: an attacker must not choose the memory


class Rate:
    """`a_minute`: how many are given out in 60 s; 0: as many as anybody wants. `burst`: at once."""

    def __init__(self, a_minute: int, burst: int) -> None:
        self._interval = 60_000_000 // a_minute if a_minute > 0 else 0  # us
        self._burst = max(1, burst)
        self._full_at: dict[str, int] = {}  # us
        self._look_at = 64  # keys, at which it pays to look for those that can be forgotten

    def left(self, key: str, now: int) -> int:
        """How many there are. `now`: ms."""
        if not self._interval:
            return self._burst
        missing = self._full_at.get(key, 0) - now * 1000
        return self._burst - max(0, -(-missing // self._interval))

    def take(self, key: str, now: int, count: int = 1) -> bool:
        """Take `count`; False, and nothing is taken, when there is none."""
        if self.left(key, now) <= 0:
            return False
        self.owe(key, now, count)
        return True

    def owe(self, key: str, now: int, count: int) -> None:
        """Take `count`, whether they are there or not."""
        if self._interval:
            self._full_at[key] = max(self._full_at.get(key, 0), now * 1000) + count * self._interval
            if len(self._full_at) >= self._look_at:
                self._forget(now)

    def wait_ms(self, key: str, now: int) -> int:
        """In how many milliseconds there is one again; 0: there is one."""
        most = now * 1000 + (self._burst - 1) * self._interval
        return max(0, -((most - self._full_at.get(key, 0)) // 1000))

    def _forget(self, now: int) -> None:
        self._full_at = {key: at for key, at in self._full_at.items() if at > now * 1000}
        for key in list(self._full_at)[: max(0, len(self._full_at) - KEYS_MAX)]:
            del self._full_at[key]
        self._look_at = max(64, 2 * len(self._full_at))

    def __len__(self) -> int:
        return len(self._full_at)
