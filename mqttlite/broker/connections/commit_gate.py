"""Holds output back until the store has committed what it tells of: nothing leaves before it is durable.

While something is being committed, everything that the broker wants to write waits, in order; what gathers meanwhile
shares the next commit. So a commit serves all connections, and the price of a message falls as load rises.

On a disk that is slow, those who have just been answered mostly come again at once, with what they were waiting to
send: the next commit waits for as many as there were, but no longer than a part of what a commit takes. Imports
broker_store, histogram.
"""

import asyncio
from collections.abc import Callable
from time import monotonic

from ...store.base import StoreError
from ..clients.broker_store import BrokerStore
from ..counting.histogram import Histogram

WAITING_MAX = 16 << 20  # bytes that wait; beyond it, connections are not read

SHARE = 0.25  # of a commit's time, for which the next one waits for those who were answered
SLOW_S = 0.002  # commits that take less wait for nobody
WEIGHT = 4  # one part of a commit's usual time is the last one

_Output = tuple[Callable[[bytes, bool], None], bytes, bool]  # what writes it, the bytes, whether to close then


class CommitGate:
    """`failed` is called when the store cannot commit: then nothing that waits may ever leave. `opened`: when those may
    be read again who were told that they are not (`stops_reading`).
    """

    def __init__(self, store: BrokerStore, failed: Callable[[StoreError], None], opened: Callable[[], None]) -> None:
        self._store = store
        self._failed = failed
        self._opened = opened
        self._waiting: list[_Output] = []
        self._task: asyncio.Task[None] | None = None
        self._holders: set[Callable[[bytes, bool], None]] = set()  # those in `_waiting`
        self._expected = 0  # how many there were when the last commit was over, answered or waiting
        self._took_s = 0.0  # how long one takes that others have to wait for, usually
        self._gathered: asyncio.Future[None] | None = None  # while a commit waits for them
        self._stops = False  # somebody is not read, and has to be told when that is over
        self.bytes = 0
        self.times = Histogram()  # of commits, as who waits sees them
        self.began_at = 0.0  # s, monotonic; when the commit began that is being made, 0: none is

    @property
    def is_closed(self) -> bool:
        """Whether output has to wait."""
        return self._store.wanted or self._task is not None or bool(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether so much waits, here or in the store, that nothing more should be read."""
        return self.bytes > WAITING_MAX or self._store.pending_bytes > WAITING_MAX

    def stops_reading(self) -> bool:
        """The same, asked for a connection that is not read then: `begin` has to follow soon, and `opened` will."""
        if self.is_full:
            self._stops = self._store.wanted = True
            return True
        return False

    def hold(self, write: Callable[[bytes, bool], None], data: bytes, close: bool) -> None:
        """Call `write(data, close)` once everything recorded by now is durable; `begin` has to follow soon."""
        self._waiting.append((write, data, close))
        self._holders.add(write)
        self.bytes += len(data)

    def begin(self) -> None:
        """Have committed what waits, or what the store has if somebody is not read because of that. On a disk that is
        quick, it is done when this returns.
        """
        if self._gathered is not None:
            if self._is_complete():
                self._gathers_no_more()
        elif self._task is None and self._is_wanted():
            try:
                began_at = monotonic()
                if not self._store.wanted or self._store.commit_now():
                    if self._store.wanted:
                        self._store.wanted = False
                        self.times.add(monotonic() - began_at)
                    self._write(self._taken())
                    return
            except StoreError as error:
                self._fail(error)
                return
            self._task = asyncio.get_running_loop().create_task(self._pass(), name="commits of the broker")

    def _is_wanted(self) -> bool:
        return bool(self._waiting) or self._stops

    def _taken(self) -> list[_Output]:
        """What waits, which the next commit is for."""
        waiting, self._waiting = self._waiting, []
        self._holders.clear()
        return waiting

    def _is_complete(self) -> bool:
        return len(self._holders) >= self._expected or self.is_full

    async def _gather(self) -> None:
        """Wait for those who were answered."""
        if self._took_s < SLOW_S or self._is_complete():
            return
        loop = asyncio.get_running_loop()
        self._gathered = loop.create_future()
        handle = loop.call_later(SHARE * self._took_s, self._gathers_no_more)
        try:
            await self._gathered
        finally:
            handle.cancel()
            self._gathered = None

    def _gathers_no_more(self) -> None:
        if self._gathered is not None and not self._gathered.done():
            self._gathered.set_result(None)

    def _write(self, waiting: list[_Output]) -> None:
        for write, data, close in waiting:
            self.bytes -= len(data)
            write(data, close)
        if self._stops:
            if self.is_full:
                self._store.wanted = True
            else:
                self._stops = False
                self._opened()

    async def _pass(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._is_wanted():
                if self._store.wanted:
                    await self._gather()
                holders = set(self._holders)
                waiting = self._taken()
                if self._store.wanted:
                    self._store.wanted = False
                    self.began_at = monotonic()
                    began_at = loop.time()
                    await self._store.commit()
                    self.began_at = 0.0
                    took_s = loop.time() - began_at
                    self.times.add(took_s)
                    self._took_s += (took_s - self._took_s) / WEIGHT
                    self._expected = len(holders | self._holders)
                self._write(waiting)
        except StoreError as error:
            self._fail(error)
        finally:
            self._task = None

    def _fail(self, error: StoreError) -> None:
        self._taken()
        self.bytes = 0
        self._failed(error)

    async def passed(self) -> None:
        """Wait until nothing waits any more."""
        while self._task:
            await asyncio.wait([self._task])
