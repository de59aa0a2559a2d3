"""Who has opened a connection to a side door of the broker (the control socket, the metrics): a task for each, so many
at once, all ended with it. Imports nothing of ours.
"""

import asyncio
from collections.abc import Awaitable, Callable

TURNS = 4  # of the loop, until asyncio has let in, and closed, who came in the instant in which a server ends

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Callers:
    """`callers.accept` is what `asyncio.start_server` calls; `serve`: what is done for each; `most`: at once, beyond
    which the one is closed that has asked for nothing for longest (`waits`), or else the newest.
    """

    def __init__(self, serve: Serve, most: int) -> None:
        self._serve = serve
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[asyncio.Task[None], None] = {}  # for a request; the longest first
        self._is_open = True

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One more."""
        if len(self._tasks) >= self._most:
            oldest = next(iter(self._waiting), None)
            if oldest is not None:
                self._forget(oldest)
                oldest.cancel()
        if len(self._tasks) >= self._most or not self._is_open:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serving(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._gone(task, writer))

    async def _serving(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._serve(reader, writer)

    def waits(self, is_waiting: bool) -> None:
        """Whoever is served in this task has nothing to be done from now on, or has."""
        task = asyncio.current_task()
        self._waiting.pop(task, None)  # type: ignore[arg-type]
        if is_waiting and task in self._tasks:
            self._waiting[task] = None

    def _forget(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._waiting.pop(task, None)

    def _gone(self, task: "asyncio.Task[None]", writer: asyncio.StreamWriter) -> None:
        self._forget(task)
        writer.close()

    async def end(self) -> None:
        """All of them, and nobody comes any more."""
        self._is_open = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _ in range(TURNS):
            await asyncio.sleep(0)
