"""A packet identifier that the peer uses again, while it stands for a message that is not finished: the peer has lost
its memory, or has got an older one back. Loaded only then. Both runtimes.

REUSED goes on where session.INBOUND ends. What the application is still busy with under the identifier is nobody's any
more: it will not be acknowledged, and a new delivery is told from it by its digest.
"""

from . import const
from .errors import broken
from .packet_types import PUBCOMP, PUBREC, PUBREL
from .records import FREED
from .session import (
    DELIVER,
    FREE,
    HELD,
    NOTHING,
    OTHER,
    OWED1,
    PUBLISH1,
    PUBLISH1_DUP,
    PUBLISH2,
    PUBLISH2_DUP,
    STALE1,
    STALE2,
    TAKEN1,
    TAKEN2,
)

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .session import Session

NO_ROOM = const(
    3
)  # input: another identifier needs the room of this one, which has been HELD since before the connection

_NEW1 = TAKEN1 << 8 | DELIVER
_NEW2 = TAKEN2 << 8 | DELIVER

# fmt: off
REUSED = {
    # Without DUP, it is no repeat [MQTT-3.3.1-1]: at QoS 1 whatever is in it, which may be delivered twice anyway
    TAKEN1 << 8 | PUBLISH1:             _NEW1,
    STALE1 << 8 | PUBLISH1:             _NEW1,
    OWED1  << 8 | PUBLISH1:             _NEW1,
    # ... at QoS 2 when its content is another, so that who repeats without DUP does no harm
    TAKEN2 << 8 | PUBLISH2 | OTHER:     _NEW2,
    STALE2 << 8 | PUBLISH2 | OTHER:     _NEW2,
    HELD   << 8 | PUBLISH2 | OTHER:     _NEW2,
    # With DUP, it is one: answered, and not delivered until PUBREL has come [MQTT-4.3.3-2]
    TAKEN2 << 8 | PUBLISH2_DUP | OTHER: TAKEN2 << 8 | NOTHING,
    STALE2 << 8 | PUBLISH2_DUP | OTHER: TAKEN2 << 8 | NOTHING,
    HELD   << 8 | PUBLISH2_DUP | OTHER: HELD   << 8 | PUBREC,
    # Another QoS: another message, whose first PUBLISH was lost where DUP is set
    TAKEN1 << 8 | PUBLISH2:             _NEW2,
    TAKEN1 << 8 | PUBLISH2_DUP:         _NEW2,
    STALE1 << 8 | PUBLISH2:             _NEW2,
    STALE1 << 8 | PUBLISH2_DUP:         _NEW2,
    OWED1  << 8 | PUBLISH2:             _NEW2,
    OWED1  << 8 | PUBLISH2_DUP:         _NEW2,
    TAKEN2 << 8 | PUBLISH1:             _NEW1,
    TAKEN2 << 8 | PUBLISH1_DUP:         _NEW1,
    STALE2 << 8 | PUBLISH1:             _NEW1,
    STALE2 << 8 | PUBLISH1_DUP:         _NEW1,
    HELD   << 8 | PUBLISH1:             _NEW1,
    HELD   << 8 | PUBLISH1_DUP:         _NEW1,
    # A peer with an older memory finishes the message that had the identifier before: let it [MQTT-4.3.3-2]
    STALE2 << 8 | PUBREL:               STALE2 << 8 | PUBCOMP,
    # It repeats at the start of a connection what it has not forgotten itself
    HELD   << 8 | NO_ROOM:              FREE   << 8 | NOTHING,
}
# fmt: on


def reused(session: "Session", value: int, event: int, packet_id: int, digest: int) -> "tuple[int, int]":
    """The row for what INBOUND has none for, and the digest of what it delivers. ProtocolError: there is none here,
    either. `value`: of Session.inbound.
    """
    state = value & 15
    if event & 4 and not state & 2:  # QoS 2 after QoS 1, where no digest is compared
        event &= ~OTHER
    row = REUSED.get(state << 8 | event, -1)
    if row < 0:
        raise broken("4.3 inbound", event >> 4, packet_id, state)
    if event & 0xF0 == 0x30 and not event & 4:
        digest = (value >> 4) + 1 & 0x3FFF
    if session.log and (event & 4 or state & 2):
        count = session.reuses = getattr(session, "reuses", 0) + 1
        if not count & count - 1:  # the 1st, 2nd, 4th, 8th ... time; who limits lines in another way sets it to 0
            session.log(_words(event, packet_id, row & 0xFF == DELIVER, count))
    return row, digest


def make_room(session: "Session") -> None:
    """Forget the oldest identifier that was HELD before this connection: the peer repeats at its start what it has not
    forgotten itself. ProtocolError: there is none, so it has too many messages unfinished.
    """
    earlier = getattr(session, "earlier", [])
    while earlier:
        packet_id = earlier.pop(0)
        if (session.inbound.get(packet_id, FREE) & 15) << 8 | NO_ROOM in REUSED:
            del session.inbound[packet_id]
            session._record(FREED, packet_id)
            return
    raise broken("4.3.3", session.inbound_max)


def _words(event: int, packet_id: int, delivered: bool, count: int) -> str:
    name = "packet identifier " + str(packet_id)
    if event == PUBREL:
        text = "PUBREL for " + name + ", whose message is not acknowledged yet: the other side has an older memory"
    elif delivered:
        text = name + " came with another message, while the one before was not finished: delivered as new"
    else:
        text = name + " came with another message, and with DUP: taken for a repeat, so it is not delivered"
    return text + ("; " + str(count) + " such packets so far" if count > 1 else "")
