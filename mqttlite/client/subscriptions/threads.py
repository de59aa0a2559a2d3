"""A thread for handlers that block, one call after the other, while the event loop goes on. Host only."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class HandlerThread:
    """One thread, begun with the first call."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, name)

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """What `function(*args)` returns or raises. Cancelled, it waits for the end of the call all the same: a thread
        cannot be stopped, and must not go on behind everybody's back.
        """
        context = contextvars.copy_context()
        job = asyncio.get_running_loop().run_in_executor(self._pool, context.run, function, *args)
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            while not job.done():
                try:
                    await asyncio.wait((job,))
                except asyncio.CancelledError:  # again
                    continue
            if not job.cancelled():
                job.exception()  # it is lost: whoever cancels does not want to know
            raise

    def close(self) -> None:
        """End the thread, when the call has ended."""
        self._pool.shutdown(wait=False)
