"""Who has opened a connection to a side door of the broker (the control socket, the metrics): a task for each, so many
at once, all ended with it. Imports nothing of ours.
"""

import asyncio
from collections.abc import Awaitable, Callable

TURNS = 4  # of the loop, until asyncio has let in, and closed, who came in the instant in which a server ends

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Callers:
    """`callers.accept` is what `asyncio.start_server` calls; `serve`: what is done for each; `most`: at once, beyond
    which the newest is closed.
    """

    def __init__(self, serve: Serve, most: int) -> None:
        self._serve = serve
        self._most = most
        self._tasks: set[asyncio.Future[None]] = set()
        self._is_open = True

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One more."""
        if len(self._tasks) >= self._most or not self._is_open:
            writer.transport.abort()
            return
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._gone(task, writer))

    def _gone(self, task: "asyncio.Future[None]", writer: asyncio.StreamWriter) -> None:
        self._tasks.discard(task)
        writer.close()

    async def end(self) -> None:
        """All of them, and nobody comes any more."""
        self._is_open = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _ in range(TURNS):
            await asyncio.sleep(0)
