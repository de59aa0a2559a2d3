"""Files are read again, at SIGHUP and when an operator asks: all of it holds from then on, or nothing does."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ...core.errors import MQTTError
from .systemd import reloading


class Rereading:
    """`take(by)`: reads all of it, and has it hold; how many things have changed. What it raises (ValueError, OSError,
    MQTTError) says why nothing has; an error may have `lines`, one for each mistake. What comes of it goes to `log`.
    """

    def __init__(self, take: Callable[[str], Awaitable[int]], log: logging.Logger) -> None:
        self._take = take
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._again = False
        self._turn = asyncio.Lock()  # one after the other, whoever wants it

    def hang_up(self) -> None:
        """SIGHUP has come."""
        if self._task and not self._task.done():
            self._again = True  # what was written meanwhile may not have been read
            return
        self._task = asyncio.create_task(self._reload(), name="reload at SIGHUP")

    async def _reload(self) -> None:
        while True:
            self._again = False
            try:
                self._log.info("SIGHUP: %s", await self.reload("SIGHUP"))
            except ValueError:  # it is in the log
                pass
            except Exception:
                self._log.exception("SIGHUP: unexpected error")
            if not self._again:
                return

    async def reload(self, by: str) -> str:
        """Read all of it again, for `by`; what has come of it, in words. ValueError: why nothing is changed."""
        try:
            async with self._turn:
                with reloading():
                    count = await self._take(by)
        except (MQTTError, OSError, ValueError) as error:
            for line in getattr(error, "lines", None) or [str(error)]:
                self._log.error("%s: nothing is changed: %s", by, line)
            raise ValueError(f"nothing is changed: {error}") from None
        what = f"{count} change{'s' if count != 1 else ''}" if count else "nothing has changed"
        return f"all files are read again: {what}"
