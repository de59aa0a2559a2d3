"""What has to be so in a world, with a bug and without it, so that the bug can show."""

import asyncio
from functools import partial
from typing import Any

from mqttlite.broker import server
from mqttlite.broker.limits import Limits
from mqttlite.broker.sessions import ClientSession
from mqttlite.core import session as core
from mqttlite.database.inbox import Inbox
from mqttlite.sim.check.conduct import Conduct
from mqttlite.sim.disks import disk
from mqttlite.sim.programs import make_store
from mqttlite.sim.small import small as small_worlds
from mqttlite.store.sqlite_file import SqliteFile

from .planting import Patch


def few_identifiers(patch: Patch) -> None:
    """Packet identifiers are used again soon."""
    patch.set(core, "SPAN", 5)


def repeats_without_dup(patch: Patch) -> None:
    """Nobody sets DUP, and the checker of that looks away."""

    def wrap(find: Any) -> Any:
        def found(self: Conduct, packet: Any, client: str, what: str) -> None:
            if not what.endswith("without DUP"):
                find(self, packet, client, what)

        return found

    patch.set(core, "repeated", lambda head: head)
    patch.around(Conduct, "_find", wrap)


def small_journal(patch: Patch) -> None:
    """The producer's journal is full after a few messages."""
    patch.set(small_worlds, "make_store", lambda process, kind: make_store(process, kind, 600))


def small_sectors(patch: Patch) -> None:
    """A power cut tears what is not synced into pieces of 16 bytes."""
    patch.set(disk, "SECTOR", 16)


def short_log(patch: Patch) -> None:
    """Every batch that SQLite gets is carried over to the tables at once."""

    def wrap(init: Any) -> Any:
        def initialise(self: SqliteFile, *args: Any) -> None:
            init(self, *args)
            self._log_max = 0

        return initialise

    patch.around(SqliteFile, "__init__", wrap)


def short_queue(patch: Patch) -> None:
    """The broker holds publishers back after a few messages, and a consumer gets two at a time."""
    patch.set(server, "Limits", partial(Limits, hold_bytes=4 * 85))
    window_at_broker(patch, 2)


def window_at_broker(patch: Patch, window: int) -> None:
    def wrap(init: Any) -> Any:
        def initialise(self: ClientSession, *args: Any) -> None:
            init(self, *args)
            self.session.window = window

        return initialise

    patch.around(ClientSession, "__init__", wrap)


def slow_handler(patch: Patch) -> None:
    """The consumer needs longer for a message than for a reconnection."""
    _handler_takes(patch, 0.3)


def busy_handler(patch: Patch) -> None:
    """The consumer needs some time for a message, but less than for a reconnection."""
    _handler_takes(patch, 0.03)


def _handler_takes(patch: Patch, seconds: float) -> None:
    def wrap(handle: Any) -> Any:
        async def handled(self: Inbox, handler: Any, message: Any) -> None:
            await asyncio.sleep(seconds)
            await handle(self, handler, message)

        return handled

    patch.around(Inbox, "_handle", wrap)
