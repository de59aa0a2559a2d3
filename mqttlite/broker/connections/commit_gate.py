"""Holds output back until the store has committed what it tells of: nothing leaves before it is durable.

While something is being committed, everything that the broker wants to write waits, in order; what gathers meanwhile
shares the next commit. So a commit serves all connections, and the price of a message falls as load rises. Imports
broker_store, histogram.
"""

import asyncio
from collections.abc import Callable
from time import monotonic

from ...store.base import StoreError
from ..clients.broker_store import BrokerStore
from ..counting.histogram import Histogram

WAITING_MAX = 16 << 20  # bytes that wait; beyond it, connections are not read

_Output = tuple[Callable[[bytes, bool], None], bytes, bool]  # what writes it, the bytes, whether to close then


class CommitGate:
    """`failed` is called when the store cannot commit: then nothing that waits may ever leave."""

    def __init__(self, store: BrokerStore, failed: Callable[[StoreError], None], opened: Callable[[], None]) -> None:
        self._store = store
        self._failed = failed
        self._opened = opened
        self._waiting: list[_Output] = []
        self._task: asyncio.Task[None] | None = None
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

    def hold(self, write: Callable[[bytes, bool], None], data: bytes, close: bool) -> None:
        """Call `write(data, close)` once everything recorded by now is durable; `begin` has to follow soon."""
        self._waiting.append((write, data, close))
        self.bytes += len(data)

    def begin(self) -> None:
        """Have committed what waits, or what the store has if that is much. On a disk that is quick, it is done when
        this returns.
        """
        if self._task is None and self._is_wanted():
            try:
                was_full = self.is_full
                began_at = monotonic()
                if not self._store.wanted or self._store.commit_now():
                    if self._store.wanted:
                        self._store.wanted = False
                        self.times.add(monotonic() - began_at)
                    waiting, self._waiting = self._waiting, []
                    self._write(waiting, was_full)
                    return
            except StoreError as error:
                self._fail(error)
                return
            self._task = asyncio.get_running_loop().create_task(self._pass(), name="commits of the broker")

    def _is_wanted(self) -> bool:
        return bool(self._waiting) or (self.is_full and self._store.wanted)

    def _write(self, waiting: list[_Output], was_full: bool) -> None:
        for write, data, close in waiting:
            self.bytes -= len(data)
            write(data, close)
        if was_full and not self.is_full:
            self._opened()

    async def _pass(self) -> None:
        try:
            while self._is_wanted():
                waiting, self._waiting = self._waiting, []
                was_full = self.is_full
                if self._store.wanted:
                    self._store.wanted = False
                    began_at = self.began_at = monotonic()
                    await self._store.commit()
                    self.began_at = 0.0
                    self.times.add(monotonic() - began_at)
                self._write(waiting, was_full)
        except StoreError as error:
            self._fail(error)
        finally:
            self._task = None

    def _fail(self, error: StoreError) -> None:
        self._waiting.clear()
        self.bytes = 0
        self._failed(error)

    async def passed(self) -> None:
        """Wait until nothing waits any more."""
        while self._task:
            await asyncio.wait([self._task])
