"""Functions that are called for each message of a topic filter: `@client.on("room/+/state")`, `client.handle`. Host
only.
"""

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from ...core.errors import ClosedError
from ...core.shown import shown
from ..arguments.checks import check_function, check_number, check_seconds
from .distribution import log

if TYPE_CHECKING:
    from ..comfort import ComfortableClient
    from ..messages import Message

Function = Callable[["Message"], Any]

STOP_S = 10.0  # how long a handler may take over the message that it is at when the client is closed in good order


def name_of(function: Callable[..., Any]) -> str:
    """What people call a function."""
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)


class Caller:
    """Calls a function: a coroutine function in the event loop, any other in a thread of its own, one call after the
    other.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        from .threads import HandlerThread

        self.function = function
        self._thread = None if _is_async(function) else HandlerThread("mqttlite handler")

    async def call(self, *args: Any) -> Any:
        """What the function returns; what it raises."""
        if self._thread is None:
            return await self.function(*args)
        result = await self._thread.call(self.function, *args)
        if inspect.isawaitable(result):  # a lambda around a coroutine function
            return await result
        return result

    def close(self) -> None:
        """End the thread, when the call has ended."""
        if self._thread:
            self._thread.close()


def _is_async(function: Callable[..., Any]) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _check_takes_message(function: Function) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # of a function in C, which says nothing of its arguments
        return
    try:
        signature.bind(None)
    except TypeError:
        said = f"handler {name_of(function)}{signature}"
        raise TypeError(f"{said:.200} cannot be called with the message alone: write def function(message)") from None


class Handler:
    """A function and the subscription whose messages it gets. `is_ready`: the broker has granted it, or has not, or it
    has ended.
    """

    task: "asyncio.Task[None] | None" = None  # of one that the client runs

    def __init__(
        self,
        client: "ComfortableClient",
        function: Function,
        topic_filter: str,
        make: "Callable[[], AbstractAsyncContextManager[AsyncIterator[Message]]]",
        on_error: str,
        tries: int,
        pause_s: float,
    ) -> None:
        check_function("handler", function)
        _check_takes_message(function)
        if on_error not in ("raise", "log"):
            raise ValueError(f'on_error is "raise" or "log", not {on_error!r:.60}')
        check_number("tries", tries, 1)
        check_seconds("pause_s", pause_s, True)
        make()  # its arguments are checked here, where they stand
        self._client = client
        self._function = function
        self._filter = topic_filter
        self._make = make
        self._raises = on_error == "raise"
        self._tries = tries
        self._pause_s = pause_s
        self._messages: AsyncIterator[Message] | None = None
        self.is_ready = asyncio.Event()

    async def run(self) -> None:
        """Until the client is closed, or the function raises and that is to end it."""
        caller = Caller(self._function)
        try:
            async with self._make() as messages:
                self._messages = messages
                self.is_ready.set()
                async for message in messages:
                    await self._handle(caller, message)
        except ClosedError:
            return
        finally:
            self.is_ready.set()
            caller.close()

    async def _handle(self, caller: Caller, message: "Message") -> None:
        left = self._tries
        pause_s = self._pause_s
        while True:
            try:
                await caller.call(message)
                return
            except Exception as error:
                left -= 1
                where = (
                    f"handler {name_of(self._function)} of '{shown(self._filter, 200)}', at a message of "
                    f"'{shown(message.topic, 200)}'"
                )
                if not left and self._raises:
                    error.add_note(f"in {where}")
                    raise
                end = "it is tried again" if left else "it is given up, and acknowledged"
                log.error("%s: %s: %r; %s", shown(self._client.client_id), where, error, end, exc_info=not left)
                if not left:
                    self._client._dropped["handler_failed"] += 1
                    return
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 30)

    def stop(self) -> None:
        """No further message."""
        from .subscription import Subscription

        if isinstance(self._messages, Subscription):
            self._messages.stop()


class Handlers:
    """Those that a client runs by itself."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.all: list[Handler] = []
        self.error: BaseException | None = None  # of the first that has ended with one
        self._wake = wake

    def begin(self, handler: Handler) -> None:
        """Run a handler in a task of its own."""
        handler.task = asyncio.create_task(handler.run(), name=f"mqttlite {handler._filter}")
        handler.task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error and not self.error:
            self.error = error
            log.error("%s: %r", task.get_name(), error)
            self._wake()

    async def ready(self) -> None:
        """Return when all that run have their subscription; raise what has kept one from it."""
        for handler in self.all:
            await handler.is_ready.wait()
            task = handler.task
            if task and task.done() and not task.cancelled() and (error := task.exception()):
                raise error

    async def stop(self, at_once: bool) -> None:
        """No handler is called any more; those that are at a message end it first, unless it has to be `at_once`."""
        tasks = {handler.task for handler in self.all if handler.task and not handler.task.done()}
        tasks.discard(asyncio.current_task())
        for handler in self.all:
            handler.stop()
            if at_once and handler.task in tasks:
                handler.task.cancel()
        if tasks and (await asyncio.wait(tasks, timeout=None if at_once else STOP_S))[1]:
            await self.stop(True)
