"""The peer has lost a session in which something was unfinished, or it is to be dropped: none of its state may be used
here, either [MQTT-3.1.2-6]. Loaded only then. Both runtimes.
"""

from . import const
from .session import IN_DOUBT, RELEASED

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .session import Session

# As in core/records.
_ACCEPTED = const(1)
_LOST = const(7)


def lost_by_peer(session: "Session") -> None:
    """What is unacknowledged will be sent as new; what was released is finished *in doubt*, unless its key makes a
    second sending harmless.
    """
    if session.inbound:
        session.inbound.clear()
        session._record(_LOST, 0)
    messages = session.messages
    for seq in sorted([seq for seq in messages if messages[seq][0][0] & 6 == RELEASED]):
        head, payload, key = messages[seq]
        if key and key[0] & 1:
            messages[seq] = message = (bytes((head[0] & 0xFD,)) + head[1:], payload, key)
            session._record(_ACCEPTED, seq, message[0], payload, key)
        else:
            session._finish(seq, IN_DOUBT)
