"""SIGHUP: the file and all files that it names are read again, and hold from then on, all of it or nothing.

What cannot change while the gateway runs is told apart before anything does: `RESTART`. Lines, upstreams and clients of
the broker inside that are as they were are left alone.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mqttlite.broker.operating.systemd import reloading

from .config import Config, ConfigError

log = logging.getLogger("mqttlite.gateway")

RESTART = ("mode", "console", "provision", "page")
BESIDE = ("mdns", "home_assistant")  # whoever is about these looks at the configuration now and then
OF_BROKER = ("store", "ledger", "server_reference", "metrics", "control", "log")  # above the first table, and tables


class Reloading:
    """`read`: the configuration as it is now, from file and options. `take`: has it hold; how many things changed."""

    def __init__(self, read: Callable[[], Config], take: Callable[[Config, str], Awaitable[int]]) -> None:
        self._read = read
        self._take = take
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
                log.info("SIGHUP: %s", await self.reload("SIGHUP"))
            except ValueError:  # it is in the log
                pass
            except Exception:
                log.exception("SIGHUP: unexpected error")
            if not self._again:
                return

    async def reload(self, by: str) -> str:
        """Read all of it again, for `by`; what has come of it, in words. ValueError: why nothing is changed."""
        try:
            async with self._turn:
                with reloading():
                    config = await asyncio.to_thread(self._read)
                    count = await self._take(config, by)
        except (OSError, ValueError) as error:
            for line in error.lines if isinstance(error, ConfigError) else [str(error)]:
                log.error("%s: nothing is changed: %s", by, line)
            raise ValueError(f"nothing is changed: {error}") from None
        what = f"{count} change{'s' if count != 1 else ''}" if count else "nothing has changed"
        return f"all files are read again: {what}"


def check_same(before: Config, after: Config) -> None:
    """ConfigError for what needs a restart."""
    for name in RESTART:
        if getattr(before, name) != getattr(after, name):
            raise ConfigError(f"{after.where(name)}{name} is another one, which needs a restart of the gateway")
    for name in OF_BROKER:
        if getattr(before.broker, name) != getattr(after.broker, name):
            raise ConfigError(f"{after.where(name)}{name} is another one, which needs a restart of the gateway")
    if before.broker.limits.get("store_bytes") != after.broker.limits.get("store_bytes"):
        where = after.where("limits", "store_bytes")
        raise ConfigError(f"{where}store_bytes is another one, which needs a restart of the gateway")
