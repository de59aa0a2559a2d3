"""What the engine leaves is done once in each turn of the event loop: one write for each connection, however much has
come for it meanwhile. Imports engine, commit_gate, asking.

All that the connections of one broker share stands here (connection.py).
"""

import asyncio
import time
from typing import Any

from ..engine import Engine
from .asking import Asking
from .broker_loop import poll_of
from .commit_gate import CommitGate
from .poll import Poll

READ_BYTES = 64 * 1024  # for one read; the buffer is shared, the engine gets its own copy of what is in it
FLUSH_MESSAGES = 4096  # messages in output lists after which they are written at once: bounds memory, not a tuning knob
FLUSH_BYTES = 4 << 20  # the same, bytes of QoS 0


def now_ms() -> int:
    """The machine's time as the engine is told it."""
    return int(time.monotonic() * 1000)


class Turns:
    """`changed` after each call of the engine. `commit_gate`: where output waits for the store, if there is one."""

    def __init__(self, engine: Engine, commit_gate: CommitGate | None) -> None:
        self.engine = engine
        self.commit_gate = commit_gate
        self.connections: dict[Any, None] = {}  # each a connection.Connection
        self.lingering: dict[Any, None] = {}  # of these, the closed ones whose clients have yet to close
        self.closing: dict[Any, None] = {}  # closed by the engine, and not gone yet
        self.read_buffer = memoryview(bytearray(READ_BYTES))
        self.reads_since = 0  # ms; when the first connection was read in this turn
        self.asking = Asking(engine, now_ms, self.changed)
        self.stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._poll: Poll | None = None  # of the loop, if it has one
        self._flushing = False
        self._sent_at_flush = 0
        self._working = False
        self._holding: asyncio.TimerHandle | None = None  # when somebody has been held back for long enough

    def start(self) -> None:
        """In the loop in which all of it happens."""
        self._loop = asyncio.get_running_loop()
        self._poll = poll_of(self._loop)

    def stop(self) -> None:
        """No turn begins by itself any more."""
        self.stopped = True
        if self._holding:
            self._holding.cancel()

    def changed(self) -> None:
        """The engine has been called: write what it leaves once this turn of the loop is over, or now if it is much."""
        engine = self.engine
        if engine.stats.messages_sent - self._sent_at_flush >= FLUSH_MESSAGES or engine.router.unwritten >= FLUSH_BYTES:
            self.flush()
        if not self._flushing and (engine.dirty or engine.busy or self.reads_since):  # or the turn has to end
            self._flushing = True
            if self._poll and self._poll.is_reading:
                self._poll.soon(self._flush_soon)
            else:
                assert self._loop
                self._loop.call_soon(self._flush_soon)

    def _flush_soon(self) -> None:
        self._flushing = False
        self.reads_since = 0
        self.flush()

    def flush(self) -> None:
        """Do what the engine wants of its peers. Writing can make the engine want more: until it has enough."""
        engine = self.engine
        dirty = engine.dirty
        while dirty:
            peers = list(dirty)
            dirty.clear()
            for peer in peers:
                if peer.handle is not None:
                    peer.handle.flush()
                while engine.cut_off:  # before more is written
                    cut_off = engine.cut_off.pop()
                    if cut_off.handle is not None:
                        cut_off.handle.transport.abort()
        self._sent_at_flush = engine.stats.messages_sent
        engine.router.unwritten = 0
        if engine.busy or engine.backpressure.holding or self.commit_gate or engine.pending.waiting:
            self._see_to_the_rest()

    def _see_to_the_rest(self) -> None:
        """There may be more to do, in the next turn of the loop or later."""
        engine = self.engine
        assert self._loop
        if engine.busy and not self._working:
            self._working = True
            self._loop.call_soon(self._go_on_working)
        if self.commit_gate:
            self.commit_gate.begin()
        if engine.pending.waiting and not self.stopped:
            self.asking.start()
        if engine.backpressure.holding and not self._holding and not self.stopped:
            self._holding = self._loop.call_later(self.engine.limits.hold_ms / 1000, self._end_holds)

    def _go_on_working(self) -> None:
        """What was too much for one turn: after everybody else has been read."""
        self._working = False
        now = now_ms()
        self.engine.go_on(now)
        if self.engine.busy:
            self.engine.pace.took(now_ms() - now, len(self.engine.busy))
        self.flush()

    def _end_holds(self) -> None:
        self._holding = None
        wait_ms = self.engine.end_holds(now_ms())
        if wait_ms is not None:
            assert self._loop
            self._holding = self._loop.call_later(wait_ms / 1000, self._end_holds)
        self.flush()
