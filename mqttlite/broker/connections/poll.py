"""A selector that reads the broker's connections by itself, for asyncio's own loop (broker_loop.py).

asyncio makes a handle for each socket that can be read, runs it in a context, and looks at all sockets once more before
it writes. Here a callback is called while `select` runs, and what it leaves for the end (`soon`) is done then, too:
reading, routing and writing of one turn are one call. While that leaves nothing for asyncio, `select` waits on, and the
loop does not turn at all. All else in the loop is as everywhere.

Linux alone, whose epoll it uses; elsewhere, and in a loop that somebody else has made, connections are read by asyncio
(protocol.py). Imports nothing.
"""

import contextlib
import logging
import select
import selectors
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

log = logging.getLogger("mqttlite.broker")

EVENTS_MAX = 512  # in one turn
LONG_S = 0.0  # a turn after which it is looked at who has worked

Callback = Callable[[int], None]


def _fileno(fileobj: Any) -> int:
    return fileobj if isinstance(fileobj, int) else int(fileobj.fileno())


class _ByFile(Mapping[Any, selectors.SelectorKey]):
    """Keys by descriptor, or by a file that has it: a program may give asyncio either."""

    def __init__(self, keys: dict[int, selectors.SelectorKey]) -> None:
        self._keys = keys

    def __getitem__(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys[_fileno(fileobj)]

    def __iter__(self) -> Iterator[int]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class Poll:
    """A selector for asyncio (as selectors.BaseSelector describes them), with `watch` beside it.

    `longest_turn_s`: of the loop's turns, from the end of one wait to the next, the longest one. `longest_work_s`: how
    much of one the processor worked for it, at most; what a turn is longer than that, the machine did something else.
    They are measured while anybody wants it (`watch_turns`), which has a price.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._keys: dict[int, selectors.SelectorKey] = {}  # of asyncio
        self._map = _ByFile(self._keys)
        self._callbacks: dict[int, Callback] = {}  # ours
        self._at_end: list[Callable[[], None]] = []
        self.is_reading = False  # callbacks are being called
        self.is_wanted = False  # the loop has something to do: `select` returns, whatever it would wait for
        self.longest_turn_s = self.longest_work_s = 0.0
        self._watchers: set[object] = set()  # who want turns to be measured
        self._turn_at = 0.0  # when this turn began; 0: not known ...
        self._work_at = 0.0  # ... and what the processor had done for this thread until then

    # -- for the broker

    def watch(self, fd: int, events: int, callback: Callback) -> None:
        """Call `callback` with what has happened while it is one of `events` (select.EPOLLIN, EPOLLOUT); 0: never."""
        known = fd in self._callbacks
        if not events:
            if known:
                del self._callbacks[fd]
                self._epoll.unregister(fd)
            return
        self._callbacks[fd] = callback
        if known:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)

    def soon(self, callback: Callable[[], None]) -> None:
        """Call it once all others have been called; only while `is_reading`."""
        self._at_end.append(callback)

    # -- for asyncio

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = selectors.SelectorKey(fileobj, _fileno(fileobj), events, data)
        if key.fd in self._keys:
            raise KeyError(f"{fileobj!r} is registered")
        self._epoll.register(key.fd, _mask(events))
        self._keys[key.fd] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        key = self._keys.pop(_fileno(fileobj))
        with contextlib.suppress(OSError):  # it is closed already
            self._epoll.unregister(key.fd)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        fd = _fileno(fileobj)
        old = self._keys[fd]
        if old.events != events:
            self._epoll.modify(fd, _mask(events))
        key = self._keys[fd] = old._replace(events=events, data=data)
        return key

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._map

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys[_fileno(fileobj)]

    def close(self) -> None:
        self._epoll.close()
        self._keys.clear()
        self._callbacks.clear()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What asyncio waits for, as soon as there is any, or once `is_wanted`; [] when the time is over."""
        wait = -1.0 if timeout is None else max(timeout, 0.0)
        until = time.monotonic() + wait if wait > 0 else 0.0
        self.is_wanted = not wait
        poll = self._epoll.poll
        while True:
            if self._watchers:
                self._turn_ends()
            try:
                events = poll(wait, EVENTS_MAX)  # which counts in milliseconds, and rounds them up
            except InterruptedError:
                return []
            if self._watchers:
                self._turn_at, self._work_at = time.monotonic(), time.thread_time()
            ready = self._turn(events)
            if ready or self.is_wanted or not events:
                return ready
            if until:
                wait = until - time.monotonic()
                if wait <= 0:
                    return []

    def watch_turns(self, who: object, is_wanted: bool) -> None:
        """Whether `who` wants turns to be measured; others may want it, too."""
        if is_wanted:
            self._watchers.add(who)
        else:
            self._watchers.discard(who)
        if not self._watchers:
            self._turn_at = 0.0

    def _turn_ends(self) -> None:
        if self._turn_at:
            self.longest_turn_s = max(self.longest_turn_s, time.monotonic() - self._turn_at)
            self.longest_work_s = max(self.longest_work_s, time.thread_time() - self._work_at)

    def _turn(self, events: list[tuple[int, int]]) -> list[tuple[selectors.SelectorKey, int]]:
        """Call who waits for these events, then what they have left for the end; those of asyncio are returned."""
        ready = []
        callbacks = self._callbacks
        self.is_reading = True
        for fd, event in events:
            callback = callbacks.get(fd)
            if callback is not None:
                try:
                    callback(event)
                except Exception:  # a fault of ours: it ends nothing but this
                    log.exception("unexpected error while a connection was read")
            elif key := self._keys.get(fd):
                ready.append((key, _events(event) & key.events))
        while self._at_end:
            callback_, self._at_end = self._at_end, []
            for at_end in callback_:
                try:
                    at_end()
                except Exception:
                    log.exception("unexpected error at the end of a turn")
        self.is_reading = False
        return ready


def _mask(events: int) -> int:
    return (select.EPOLLIN if events & selectors.EVENT_READ else 0) | (
        select.EPOLLOUT if events & selectors.EVENT_WRITE else 0
    )


def _events(event: int) -> int:
    return (selectors.EVENT_WRITE if event & ~select.EPOLLIN else 0) | (
        selectors.EVENT_READ if event & ~select.EPOLLOUT else 0
    )
