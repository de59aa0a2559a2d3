"""The peer has lost a session in which something was unfinished, or it is to be dropped: none of its state may be used
here, either [MQTT-3.1.2-6]. Loaded only then. Both runtimes.

LOST_OUTBOUND goes on where session.OUTBOUND ends. Inbound, every state is FREE afterwards.
"""

from . import const
from .records import ACCEPTED, LOST
from .session import FINISH, FREE, IN_DOUBT, NOTHING, RELEASED, SENT1, SENT2

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .session import Session

# Inputs
PEER_LOST = const(1)  # the peer has lost the session
PEER_LOST_KEYED = const(3)  # the same, and the message's key travels with it: a second sending does no harm

# fmt: off
LOST_OUTBOUND = {
    SENT1    << 8 | PEER_LOST:       SENT1 << 8 | NOTHING,  # sent again, as new
    SENT1    << 8 | PEER_LOST_KEYED: SENT1 << 8 | NOTHING,
    SENT2    << 8 | PEER_LOST:       SENT2 << 8 | NOTHING,
    SENT2    << 8 | PEER_LOST_KEYED: SENT2 << 8 | NOTHING,
    RELEASED << 8 | PEER_LOST:       FREE  << 8 | FINISH,   # in doubt: nobody knows whether it has arrived
    RELEASED << 8 | PEER_LOST_KEYED: SENT2 << 8 | NOTHING,
}
# fmt: on


def lost_by_peer(session: "Session") -> None:
    """What is unacknowledged will be sent as new; what was released is finished *in doubt*, unless its key makes a
    second sending harmless.
    """
    if session.inbound:
        session.inbound.clear()
        session._record(LOST, 0)
    for seq in sorted(session.messages):
        head, payload, key = session.messages[seq]
        state = head[0] & 6
        row = LOST_OUTBOUND[state << 8 | (PEER_LOST_KEYED if key and key[0] & 1 else PEER_LOST)]
        after = row >> 8
        if row & 0xFF == FINISH:
            session._finish(seq, IN_DOUBT)
        elif after != state:
            head = bytes((head[0] & ~6 | after,)) + head[1:]
            session.messages[seq] = (head, payload, key)
            session._record(ACCEPTED, seq, head, payload, key)
