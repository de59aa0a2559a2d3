"""A session that has lost its state, at a peer that has not (a client with a new store). Loaded only then.

The peer may hold identifiers of QoS 2 messages that were never released, and would take new messages for their repeats.
So each identifier is released before it is used first: the peer gives up what it holds, and what it owns it passes on
[MQTT-4.3.3-2]. The first QoS 2 message waits for the first `clear_step` of them; the others go by beside what is sent,
all around to where it began. Until then, QoS 2 messages go one at a time: what the peer holds may count against the
number that it takes, and Mosquitto acknowledges and drops what is above it (docs/decisions/0006, 0015).

`Session.clearing` is, once it has begun, `number << 16 | left`: messages below this sequence number may be sent, and so
many identifiers from theirs on are left. That is what is durable; `Session.swept` is how far it has got. Both runtimes.
"""

from . import const
from .codec import acknowledgement
from .packet_types import PUBREL
from .records import CLEARING
from .session import SPAN

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .session import Session

WANTED = const(1)  # of `clearing`: not begun
STORED = const(4096)  # identifiers cleared that are worth a record, if none is waited for


def holds(session: "Session", seq: int) -> bool:
    """Whether the QoS 2 message `seq`, next to be sent, has to wait."""
    if session.clearing == WANTED:
        if session.unfinished:
            return True
        session.clearing = seq << 16 | SPAN
    if not session.releasing:
        _release(session)
    return session.unfinished > 0 or seq >= session.clearing >> 16


def _step(session: "Session") -> "tuple[int, int]":
    """The numbers whose identifiers are the next to be released: first and beyond the last."""
    first = session.clearing >> 16
    end = first + (session.clearing & 0xFFFF)
    first = max(first, getattr(session, "swept", 0))
    return first, min(first + session.clear_step, end)


def _release(session: "Session") -> None:
    first, end = _step(session)
    session.releasing = (end - 1) % SPAN + 1
    assert session.out is not None
    packets = bytearray()  # of a list of them, a board would have to hold all
    for seq in range(first, end):
        packets += acknowledgement(PUBREL, seq % SPAN + 1)
    session.out.append(bytes(packets))


def go_on(session: "Session") -> None:
    """The peer has given up what it was asked to."""
    session.releasing = -1  # messages go first, before the next step
    swept = session.swept = _step(session)[1]
    first = session.clearing >> 16
    left = first + (session.clearing & 0xFFFF) - swept
    if not left or session.sent >= first or swept - first >= STORED:
        session.clearing = swept << 16 | left if left else 0
        session._record(CLEARING, session.clearing)
    session._pump()
    session.releasing = 0
    if left:
        _release(session)
