"""SIGHUP of `mqttlite broker`: its file, and all files that it names, are read again; all of it holds, or nothing.

What cannot change while it runs is told apart before anything does: `RESTART`.
"""

import asyncio
import logging
import signal
from collections.abc import Callable

from ..broker import Broker
from ..broker.config import Mistakes, Settings
from ..broker.config.make_access import doubts, make_access
from ..broker.operating.systemd import reloading
from ..core.errors import MQTTError

log = logging.getLogger("mqttlite.broker")

RESTART = ("store", "server_reference", "ledger", "metrics", "control", "log")


class Reloader:
    """`read`: the settings as they are now, from file and options; `settings`: those that hold."""

    def __init__(self, broker: Broker, settings: Settings, read: Callable[[], Settings]) -> None:
        self._broker = broker
        self._settings = settings
        self._read = read
        self._task: asyncio.Task[None] | None = None
        self._again = False
        self._turn = asyncio.Lock()  # one after the other, whoever wants it

    def start(self, at_once: bool = False) -> None:
        """From now on, at each SIGHUP; `at_once`: one has come already."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._signalled)
        if at_once:
            self._signalled()

    def _signalled(self) -> None:
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
                    return await self._take(by)
        except (MQTTError, OSError, ValueError) as error:
            for line in error.lines if isinstance(error, Mistakes) else [str(error)]:
                log.error("%s: nothing is changed: %s", by, line)
            raise ValueError(f"nothing is changed: {error}") from None

    async def _take(self, by: str) -> str:
        settings = await asyncio.to_thread(self._read)
        for name in RESTART:
            if getattr(settings, name) != getattr(self._settings, name):
                raise ValueError(f"{settings.where(name)}{name} is another one, which needs a restart of the broker")
        if settings.limits.get("store_bytes") != self._settings.limits.get("store_bytes"):
            where = settings.where("limits", "store_bytes")
            raise ValueError(f"{where}store_bytes is another one, which needs a restart of the broker")
        access = await asyncio.to_thread(make_access, settings)
        count = await self._broker.reload(settings.make_listeners(), settings.make_limits(), access, by=by)
        self._settings = settings
        for doubt in doubts(settings, access):
            log.warning("doubtful: %s", doubt)
        what = f"{count} change{'s' if count != 1 else ''}" if count else "nothing has changed"
        return f"all files are read again: {what}"
