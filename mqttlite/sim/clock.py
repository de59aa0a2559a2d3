"""A process's clocks: they start anywhere and run apart. Times in nanoseconds; imports nothing."""

MILLION = 1_000_000
# 2026-01-01 00:00 UTC: a clock that is set, unless a scenario says otherwise
WALL = 1_767_225_600 * 1_000_000_000


class Clock:
    """The monotonic and the wall clock of one machine.

    `offset`: what the monotonic clock shows at the world's time `begin`; `wall`: what the wall clock shows then.
    `ppm`: how much faster than the world both run, in millionths; -999999 to 1000000. `kept`: whether the wall clock
    goes on without power; else it begins again, as on a Pi, which has no battery for it.
    """

    def __init__(self, *, begin: int = 0, offset: int = 0, wall: int = WALL, ppm: int = 0, kept: bool = True) -> None:
        if not -MILLION < ppm <= MILLION:
            raise ValueError(f"a clock that runs {ppm} millionths fast: must be more than -1000000, at most 1000000")
        self.begin = begin
        self.offset = offset
        self.wall = wall
        self.ppm = ppm
        self.kept = kept
        self._first = wall

    def monotonic(self, now: int) -> int:
        """What the monotonic clock shows at the world's time `now`."""
        passed = now - self.begin
        return self.offset + passed + passed * self.ppm // MILLION

    def time(self, now: int) -> int:
        """What the wall clock shows at the world's time `now`, in nanoseconds since 1970."""
        passed = now - self.begin
        return self.wall + passed + passed * self.ppm // MILLION

    def when(self, shown: int) -> int:
        """The world's time when the monotonic clock shows `shown` or more for the first time."""
        passed = shown - self.offset
        if not self.ppm:
            return self.begin + passed
        when = self.begin + passed * MILLION // (MILLION + self.ppm)
        while self.monotonic(when) < shown:
            when += 1
        return when

    def reboot(self, now: int) -> None:
        """The machine has lost power: the monotonic clock begins again, the wall clock went on if it is `kept`."""
        self.wall = self.time(now) if self.kept else self._first
        self.offset = 0
        self.begin = now
