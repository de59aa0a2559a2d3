"""One network connection as the engine sees it: the core's server end, and what the shell has to do with it.

The shell looks at every peer in `Engine.dirty`: writes and empties `out`, reads or not as `waits_for` says, and closes
the connection when `closed_because` is set. Imports core.server.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core.server import ServerConnection

if TYPE_CHECKING:
    from .sessions import ClientSession


# Why CONNECT is refused, for logs (3.2.2.3)
REFUSALS = (
    "",
    "its protocol level is not 4 (MQTT 3.1.1)",
    "its client identifier is missing or too long",
    "the broker has no room for it now",
    "bad user name or password",
    "its will topic is the broker's own",
)


def _nothing_unwritten() -> int:
    return 0


class Peer(ServerConnection):
    """`address`: for logs. `handle` and `unwritten` (bytes in the write buffer) belong to the shell."""

    def __init__(self, owner: Any, address: str, now: int, size_max: int) -> None:
        ServerConnection.__init__(self, owner, now, size_max)
        self.address = address
        self.handle: Any = None
        self.unwritten: Callable[[], int] = _nothing_unwritten
        self.client: ClientSession | None = None  # from CONNACK 0 until the end
        self.writable = True  # false while the write buffer is above its limit
        self.waits_for: dict[ClientSession, None] = {}  # not read while one of these has not caught up
        self.refused_because = ""  # if CONNECT was answered with another code than 0
        self.closed_because = ""  # why the engine is done with it; the shell writes `out` and closes

    def refuse(self, code: int) -> None:
        """As in the core, which refuses by itself what it does not understand."""
        self.refused_because = f"CONNACK {code}, {REFUSALS[code]}"
        ServerConnection.refuse(self, code)

    def __str__(self) -> str:
        return str(self.client) if self.client else self.address
