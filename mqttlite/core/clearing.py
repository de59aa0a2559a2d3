"""A session that has lost its state, at a peer that has not (a client with a new store). Loaded only then.

The peer may hold identifiers of QoS 2 messages that were never released, and would take new messages for their repeats.
So before the first one is sent, each identifier is released: the peer gives up what it holds, and what it owns it
passes on [MQTT-4.3.3-2]. Both runtimes.
"""

from . import const
from .codec import acknowledgement
from .session import SPAN

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .session import Session

# As in codec and store/records.
_PUBREL = const(0x62)
_CLEARING = const(14)


def clear(session: "Session", first: int) -> None:
    """Release the identifiers from `first` on, as many as are sent at once; with none left, go on with messages."""
    if first > SPAN:
        session.clearing = 0
        session._record(_CLEARING, 0)
        session._pump()
    elif session.out is not None:
        session.clearing = last = min(first + session.clear_step - 1, SPAN)
        session.out.append(b"".join([acknowledgement(_PUBREL, packet_id) for packet_id in range(first, last + 1)]))
