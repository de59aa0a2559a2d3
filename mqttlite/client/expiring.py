"""Messages that expire before they are sent (5.0): they end on time, also while there is no connection, and a store
keeps when that is. Loaded with the first one. Both runtimes.

Within one life the time is counted by the clock that nobody sets; in a store it stands as the time of day.
"""

import asyncio
import time

from ..core import const
from ..core.codec import topic_of
from ..core.errors import ExpiredError
from ..core.features import HOST
from ..serial.clock import now_ms

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from ..core.outbound5 import Outbound
    from .life import Life

SINCE_1970_S = const(946684800)  # where time begins with the year 2000, as on some boards
LATE_MS = const(20)  # so many messages as expire within this time end together
LOOK_MS = const(60000)  # how long to wait at once
LOOK_BOARD_MS = const(500)  # the same on a board, which does not look earlier for an earlier deadline


def outbound(life: "Life") -> "Outbound":
    """How the client's messages leave; it has a clock from now on."""
    protocol = life.protocol
    if protocol.wall_ms is None:
        base = time.time_ns() // 1000000 - now_ms()
        if time.gmtime(0)[0] != 1970:
            base += 1000 * SINCE_1970_S
        protocol.wall_ms = lambda: base + now_ms()
    found = protocol.get_outbound()
    found.now_ms = protocol.wall_ms
    return found


def load(life: "Life") -> None:
    """A store has been opened: what it has kept may expire."""
    if outbound(life).load():
        look(life, 0)


def look(life: "Life", deadline: int) -> None:
    """A message expires at `deadline`: somebody has to look then."""
    found = outbound(life)
    if HOST and found.watch and deadline < found.looks_at:
        found.watch.cancel()
        found.watch = None
    if not found.watch:
        if HOST:
            found.looks_at = 0
        found.watch = asyncio.create_task(_watch(life, found))


async def _watch(life: "Life", found: "Outbound") -> None:
    while not life.error:
        wait_ms = found.sweep()
        life.wake()  # who waits for room, or for the end of all, need not wait for a connection
        if wait_ms < 0:
            break
        wait_ms = min(wait_ms + LATE_MS, LOOK_MS if HOST else LOOK_BOARD_MS)
        if HOST:
            found.looks_at = found.now_ms() + wait_ms
        await asyncio.sleep(wait_ms / 1000)
    found.watch = None


def check_time(life: "Life", topic: str, deadline: int) -> None:
    """ExpiredError for a message whose time was over before there was room for it."""
    if outbound(life).now_ms() >= deadline:
        raise ExpiredError(0, "message to '" + topic + "' not accepted: it expired while it waited for room")


def expired(life: "Life", seq: int, message: "tuple[bytes, bytes, bytes] | None") -> ExpiredError:
    """What becomes of the receipt of such a message; counted."""
    life.expired += 1
    topic = str(topic_of(message[0]), "utf-8") if message else ""
    text = "message " + str(seq) + " to '" + topic + "' expired before it was confirmed; it is not sent any more"
    return ExpiredError(0, text)
