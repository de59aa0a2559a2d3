"""SIGHUP of `mqttlite broker`: its file, and all files that it names, are read again; all of it holds, or nothing.

What cannot change while it runs is told apart before anything does: `RESTART`.
"""

import asyncio
import logging
import signal
from collections.abc import Callable

from ...broker import Broker
from ...broker.config import Settings
from ...broker.config.doubts import doubts
from ...broker.config.make_access import check_rules_stay, make_access
from ...broker.operating.rereading import Rereading

log = logging.getLogger("mqttlite.broker")

RESTART = ("store", "server_reference", "ledger", "metrics", "control", "log")


class Reloader:
    """`read`: the settings as they are now, from file and options; `settings`: those that hold."""

    def __init__(self, broker: Broker, settings: Settings, read: Callable[[], Settings]) -> None:
        self._broker = broker
        self._settings = settings
        self._read = read
        self._rereading = Rereading(self._take, log)
        self.reload = self._rereading.reload

    def start(self, at_once: bool = False) -> None:
        """From now on, at each SIGHUP; `at_once`: one has come already."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._rereading.hang_up)
        if at_once:
            self._rereading.hang_up()

    async def _take(self, by: str) -> int:
        settings = await asyncio.to_thread(self._read)
        for name in RESTART:
            if getattr(settings, name) != getattr(self._settings, name):
                raise ValueError(f"{settings.where(name)}{name} is another one, which needs a restart of the broker")
        if settings.limits.get("store_bytes") != self._settings.limits.get("store_bytes"):
            where = settings.where("limits", "store_bytes")
            raise ValueError(f"{where}store_bytes is another one, which needs a restart of the broker")
        check_rules_stay(self._settings, settings)
        access = await asyncio.to_thread(make_access, settings)
        count = await self._broker.reload(settings.make_listeners(), settings.make_limits(), access, by=by)
        self._settings = settings
        for doubt in doubts(settings, access):
            log.warning("doubtful: %s", doubt)
        return count
