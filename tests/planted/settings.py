"""What has to be so in a world, with a bug and without it, so that the bug can show."""

import asyncio
from functools import partial
from typing import Any

from mqttlite.broker.clients import queue
from mqttlite.broker.limits import Limits
from mqttlite.core import server as core_server
from mqttlite.core import session as core
from mqttlite.core import session_host
from mqttlite.database.inbox import Inbox
from mqttlite.sim import scene
from mqttlite.sim.check.conduct import Conduct
from mqttlite.sim.disks import disk
from mqttlite.sim.programs import make_store
from mqttlite.sim.small import run as small_worlds
from mqttlite.store.in_sqlite.sqlite_file import SqliteFile

from .planting import Change, all_of, around, text, value


def window_at_broker(window: int) -> Change:
    """So many messages are on their way to a consumer at once."""
    return value(core_server, "WINDOW", window)


def handler_takes(seconds: float) -> Change:
    """The consumer needs some time for a message. A reconnection needs more than 0.03 s, and less than 0.3 s."""

    def wrap(handle: Any) -> Any:
        async def handled(self: Inbox, handler: Any, message: Any) -> None:
            await asyncio.sleep(seconds)
            await handle(self, handler, message)

        return handled

    return around(Inbox, "_handle", wrap)


def _looks_away(find: Any) -> Any:
    def found(self: Conduct, packet: Any, client: str, what: str) -> None:
        if not what.endswith("without DUP"):
            find(self, packet, client, what)

    return found


# Packet identifiers are used again soon.
few_identifiers = all_of(value(core, "SPAN", 5), value(session_host, "SPAN", 5), value(queue, "SPAN", 5))

# Nobody sets DUP, and the checker of that looks away.
repeats_without_dup = all_of(value(core, "repeated", lambda head: head), around(Conduct, "_find", _looks_away))

# The producer's journal is full after a few messages.
small_journal = value(small_worlds, "make_store", lambda process, kind: make_store(process, kind, 600))

# A power cut tears what is not synced into pieces of 16 bytes.
small_sectors = value(disk, "SECTOR", 16)

# Every batch that SQLite gets is carried over to the tables at once.
short_log = text(SqliteFile.__init__, {"self._log_max = min(log_max, size_max // 16)": "self._log_max = 0"})

# The broker holds publishers back after a few messages, and a consumer gets two at a time.
short_queue = all_of(value(scene, "Limits", partial(Limits, hold_bytes=4 * 85)), window_at_broker(2))
