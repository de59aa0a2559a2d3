"""What has to be so in a world, with a bug and without it, so that the bug can show."""

from functools import partial
from typing import Any

from ...broker import server
from ...broker.limits import Limits
from ...broker.sessions import ClientSession
from ...core import session as core
from ...store.journal import Journal
from ...store.sqlite_file import SqliteFile
from .. import small as small_worlds
from .planting import Patch


def few_identifiers(patch: Patch) -> None:
    """Packet identifiers are used again soon."""
    patch.set(core, "SPAN", 5)


def small_journal(patch: Patch) -> None:
    """The producer's journal is full after a few messages."""
    patch.set(small_worlds, "Journal", lambda area, size: Journal(area, 600))


def short_log(patch: Patch) -> None:
    """Every batch that SQLite gets is carried over to the tables at once."""

    def wrap(init: Any) -> Any:
        def initialise(self: SqliteFile, *args: Any) -> None:
            init(self, *args)
            self._log_max = 0

        return initialise

    patch.around(SqliteFile, "__init__", wrap)


def short_queue(patch: Patch) -> None:
    """The broker's queues are full after a few messages, and a consumer gets two at a time."""
    patch.set(server, "Limits", partial(Limits, queue_messages=4))
    window_at_broker(patch, 2)


def window_at_broker(patch: Patch, window: int) -> None:
    def wrap(init: Any) -> Any:
        def initialise(self: ClientSession, *args: Any) -> None:
            init(self, *args)
            self.state.window = window

        return initialise

    patch.around(ClientSession, "__init__", wrap)
