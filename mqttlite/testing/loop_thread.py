"""An event loop in a thread of its own: for tests that block, and for those whose own loop has to be free."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

T = TypeVar("T")

TIMEOUT_S = 30.0  # nothing that is done here takes so long


class Closing:
    """What `with` closes at the end."""

    def close(self) -> None:
        """End it."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class LoopThread(Closing):
    """`with LoopThread() as loop: loop.run(coroutine)`. One is enough for many brokers, links and clients."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._turn, name="mqttlite.testing", daemon=True)
        self._thread.start()

    def _turn(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout_s: float = TIMEOUT_S) -> T:
        """Run it there; what it returns. Not to be called from there."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result(timeout_s)
        except TimeoutError:
            future.cancel()
            raise

    def call(self, function: Callable[[], T]) -> T:
        """Call it there; what it returns."""

        async def called() -> T:
            return function()

        return self.run(called())

    def close(self) -> None:
        """End the loop, with all that still runs in it, and the thread."""
        if self.loop.is_closed():
            return
        self.run(_end_tasks())  # all of it there: whoever calls this may have a loop that runs
        self.run(self.loop.shutdown_asyncgens())
        self.run(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class InLoopThread(Closing):
    """What runs in `loop`, or else in one of its own, which ends with it."""

    def __init__(self, loop: LoopThread | None) -> None:
        self._loop = loop or LoopThread()
        self._has_own = loop is None

    def close(self) -> None:
        """End its thread."""
        if self._has_own:
            self._loop.close()


async def _end_tasks() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for _ in range(4):  # asyncio closes sockets in the next turns
        await asyncio.sleep(0)
