"""How late the event loop is: what somebody waits at least for whom it has something to do. Imports histogram and
broker_loop.
"""

import asyncio
from types import TracebackType
from typing import Self

from ..connections.broker_loop import poll_of
from ..counting.histogram import Histogram

EVERY_S = 0.25
LATE_S = 0.005  # after which, and later than ever, turns of the loop are measured: whose time is it that they take ...
MEASURED = 40  # ... for so many times, and at the beginning; not for good: it costs a tenth of a message's time
BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class LoopWatch:
    """Asks to be called four times a second, and counts in `lag` how much later it was.

    `async with LoopWatch(): ...`
    """

    def __init__(self) -> None:
        self.lag = Histogram(BOUNDS_S)
        self._measured = MEASURED
        self._next: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._watch_turns()
        self._ask()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._next:
            self._next.cancel()
            self._next = None
            self._measured = 0
            self._watch_turns()

    def _ask(self) -> None:
        self._due = self._loop.time() + EVERY_S
        self._next = self._loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        lag = max(0.0, self._loop.time() - self._due)
        is_worst = lag > max(LATE_S, self.lag.longest_s)
        self.lag.add(lag)
        self._measured = MEASURED if is_worst else max(0, self._measured - 1)
        self._watch_turns()
        self._ask()

    def _watch_turns(self) -> None:
        poll = poll_of(self._loop)
        if poll:
            poll.watch_turns(self, self._measured > 0)
