"""What a task waits for on CPython, so that it goes on at once where bytes have brought it.

A task that waits for a future goes on in the next turn of the event loop, before which the loop asks for all sockets
once more: that costs more than a message does. But where the transport has called because bytes have arrived, no task
is running: then the task that has waited for them goes on right there, up to where it waits next. What it has to say
leaves in the same turn.
"""

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any


class Turn:
    """Of one client: while `is_on`, what has arrived is being processed, and who is woken meanwhile goes on when it has
    been.
    """

    def __init__(self) -> None:
        self.is_on = False
        self.woken: list[Waiter] = []

    def go_on(self) -> None:
        """Let all go on who have been woken."""
        woken, self.woken = self.woken, []
        for waiter in woken:
            waiter.go_on()


class Waiter:
    """What one task waits for, `await waiter`, time and again. To asyncio's tasks it is a future: what they ask of one
    stands here, and no more.
    """

    __slots__ = ("_asyncio_future_blocking", "_cancelled", "_context", "_loop", "_step", "_turn", "is_waited_for")

    def __init__(self, turn: Turn) -> None:
        self.is_waited_for = False
        self._turn = turn
        self._loop: asyncio.AbstractEventLoop
        self._step: Callable[[Waiter], object] | None = None  # the task's, while it waits
        self._context: Context
        self._cancelled: asyncio.CancelledError | None = None
        self._asyncio_future_blocking = False

    def __await__(self) -> "Generator[Waiter, None, None]":
        self._loop = asyncio.get_running_loop()
        self._cancelled = None
        self.is_waited_for = self._asyncio_future_blocking = True
        try:
            yield self
        finally:
            self.is_waited_for = False
            self._step = None

    def wake(self) -> None:
        """The task goes on: in this turn of the event loop, if bytes are being processed, else in the next one."""
        if self._turn.is_on:
            self._turn.woken.append(self)
        else:
            self._go_on_later()

    def go_on(self) -> None:
        """The task goes on now, unless another one is running."""
        step = self._step
        if step is None:
            return
        if asyncio.current_task(self._loop) is not None:
            self._go_on_later()
            return
        try:
            self._context.run(step, self)
        except RuntimeError:  # the context is entered already: somebody runs callbacks in the task's own
            self._go_on_later()

    def _go_on_later(self) -> None:
        step = self._step
        if step is not None:
            self._step = None
            self._loop.call_soon(step, self, context=self._context)

    # -- what a task asks

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """As of a future."""
        return self._loop

    def add_done_callback(self, step: "Callable[[Waiter], object]", *, context: Context) -> None:
        """The task waits: it will go on by `step`."""
        self._step = step
        self._context = context

    def result(self) -> None:
        """What the task gets when it goes on."""
        if self._cancelled:
            raise self._cancelled

    def cancel(self, msg: Any = None) -> bool:
        """The task is cancelled; False when it is about to go on already."""
        if self._step is None:
            return False
        self._cancelled = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        self._go_on_later()
        return True
