"""The event loop of `mqttlite broker`: asyncio's, whose selector reads the broker's connections (poll.py) and goes on
waiting by itself until there is something for the loop to do. Imports poll.
"""

import asyncio
import select
from asyncio import Handle, TimerHandle
from collections.abc import Callable
from contextvars import Context
from typing import TypeVarTuple

from .poll import Poll

Args = TypeVarTuple("Args")


class BrokerLoop(asyncio.SelectorEventLoop):
    """Tells its selector when somebody wants something of it: then `select` returns."""

    def __init__(self) -> None:
        self.poll = Poll()
        super().__init__(self.poll)  # type: ignore[arg-type]

    def call_soon(self, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None) -> Handle:
        self.poll.is_wanted = True
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None
    ) -> TimerHandle:
        self.poll.is_wanted = True
        return super().call_at(when, callback, *args, context=context)

    def stop(self) -> None:
        self.poll.is_wanted = True
        super().stop()


def new_loop() -> asyncio.AbstractEventLoop:
    """Such a loop, where there is epoll; else as asyncio makes it."""
    return BrokerLoop() if hasattr(select, "epoll") else asyncio.new_event_loop()


def poll_of(loop: asyncio.AbstractEventLoop) -> Poll | None:
    """The selector of a loop that `new_loop` has made."""
    return loop.poll if isinstance(loop, BrokerLoop) else None
