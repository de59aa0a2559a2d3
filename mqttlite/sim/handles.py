"""What a virtual loop is made of: callbacks that wait, tasks, workers; and what ends a turn."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any


class Killed(BaseException):
    """The process that is running has just been killed: unwinds what it was doing."""


class Livelock(Exception):
    """Something goes on without any time passing."""


class Timer(asyncio.TimerHandle):
    """A callback that waits for its time, or for its turn."""

    __slots__ = ()

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        when: float,
        callback: Callable[..., object],
        args: Any,
        context: Context | None,
    ) -> None:
        # Not the constructors of the base classes: they ask the loop for its debug mode, each time.
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None
        self._when = when
        self._scheduled = False

    def cancel(self) -> None:
        if not self._cancelled:
            self._cancelled = True
            self._callback = _nothing
            self._args = ()
            if self._scheduled:
                loop: Any = self._loop
                loop._timer_handle_cancelled(self)

    def __repr__(self) -> str:
        return f"<{name_of(self._callback)}>"


class Task(asyncio.Task[Any]):
    """A task whose place in a set does not depend on where it lies in memory."""

    _number = 0

    def __hash__(self) -> int:
        return self._number


class Worker:
    """An executor's one thread: one job after the other."""

    def __init__(self) -> None:
        self.jobs: deque[tuple[asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]]] = deque()
        self.busy = False


def name_of(callback: Callable[..., object]) -> str:
    """What a callback is called, without addresses; of a task's step, what the task runs."""
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return f"a step of {getattr(owner.get_coro(), '__qualname__', 'a task')}"
    return str(getattr(callback, "__qualname__", type(callback).__name__))


def _nothing(*_: object) -> None:
    pass
