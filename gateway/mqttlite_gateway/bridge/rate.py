"""How fast messages may go (a token bucket), and how fast they go. Without a clock: `now` in ms. Imports nothing."""

SPAN_S = 10  # over which the drain rate is taken


class Bucket:
    """`rate`: messages a second, 0: any number. A tenth of a second's may go at once."""

    def __init__(self, rate: float, now: int) -> None:
        self.rate = rate
        self._most = max(1.0, rate / 10)
        self._left = self._most
        self._at = now

    def take(self, now: int) -> bool:
        """Whether one may go now; then it has gone."""
        if not self.rate:
            return True
        self._left = min(self._most, self._left + max(0, now - self._at) * self.rate / 1000)
        self._at = max(self._at, now)
        if self._left < 1 - 1e-9:
            return False
        self._left -= 1
        return True

    def wait_ms(self) -> int:
        """After `take` has said no: how long until it says yes."""
        return max(1, int((1 - self._left) * 1000 / self.rate) + 1)


class Drained:
    """Messages that were acknowledged, by second."""

    def __init__(self) -> None:
        self._seconds: dict[int, int] = {}

    def count(self, now: int) -> None:
        """One, now."""
        second = now // 1000
        self._seconds[second] = self._seconds.get(second, 0) + 1
        if len(self._seconds) > SPAN_S + 1:
            for old in [each for each in self._seconds if each < second - SPAN_S]:
                del self._seconds[old]

    def a_second(self, now: int) -> float:
        """Over the last SPAN_S whole seconds."""
        second = now // 1000
        count = sum(number for at, number in self._seconds.items() if second - SPAN_S <= at < second)
        return round(count / SPAN_S, 1)
