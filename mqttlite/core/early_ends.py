"""Messages whose handshake ends before its last packet: the peer refuses one (5.0), its owner gives it up, or the
server does not take it. Loaded only then. Both runtimes.

EARLY goes on where session.OUTBOUND ends, and NOT_TAKEN where session.INBOUND does. Statement numbers are those of 5.0.
"""

from . import const
from .errors import broken
from .packet_types import PUBACK, PUBREC
from .session import FINISH, FREE, NOTHING, RELEASED, SENT1, SENT2, STALE1, STALE2, TAKEN1, TAKEN2

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .session import Session

# Inputs
GIVEN_UP = const(1)  # whoever owns the session drops the message, or sets it aside
REFUSAL = const(1)  # added to an acknowledgement's first byte: its reason code is from 0x80 on
FAILED = const(4)  # the server could not take it: its repeat has to be delivered, not recognised
UNWANTED = const(5)  # the server does not want it, and says so

# fmt: off
EARLY = {
    SENT1    << 8 | GIVEN_UP:         FREE << 8 | FINISH,
    SENT2    << 8 | GIVEN_UP:         FREE << 8 | FINISH,  # not once it is released: the peer owns it
    SENT1    << 8 | PUBACK | REFUSAL: FREE << 8 | FINISH,  # [MQTT-4.4.0-2]
    SENT2    << 8 | PUBREC | REFUSAL: FREE << 8 | FINISH,  # [MQTT-4.3.3-4]: no PUBREL
    RELEASED << 8 | PUBREC | REFUSAL: FREE << 8 | FINISH,  # in answer to a repeat: the peer has lost it
    FREE     << 8 | PUBACK | REFUSAL: FREE << 8 | NOTHING,
    FREE     << 8 | PUBREC | REFUSAL: FREE << 8 | NOTHING,
}

NOT_TAKEN = {
    TAKEN1 << 8 | FAILED:   FREE << 8 | NOTHING,
    TAKEN2 << 8 | FAILED:   FREE << 8 | NOTHING,
    STALE1 << 8 | FAILED:   FREE << 8 | NOTHING,
    STALE2 << 8 | FAILED:   FREE << 8 | NOTHING,
    TAKEN1 << 8 | UNWANTED: FREE << 8 | PUBACK,
    TAKEN2 << 8 | UNWANTED: FREE << 8 | PUBREC,  # [MQTT-4.3.3-9]: the identifier is free, there will be no PUBREL
    STALE1 << 8 | UNWANTED: FREE << 8 | NOTHING,
    STALE2 << 8 | UNWANTED: FREE << 8 | NOTHING,
}
# fmt: on


def refused(session: "Session", first: int, packet_id: int, seq: int, reason: int) -> None:
    """PUBACK or PUBREC (`first`) came with a reason code from 0x80 on. `seq`: of the message that was sent; -1: there
    is none.
    """
    state = session.messages[seq][0][0] & 6 if seq >= 0 else FREE
    row = EARLY.get(state << 8 | first | REFUSAL, -1)
    if row < 0:
        raise broken("4.3 outbound", first >> 4, packet_id, state)
    if row & 0xFF == FINISH:
        session._finish(seq, reason)
        session._pump()


def give_up(session: "Session", seq: int, outcome: int) -> None:
    """The owner gives up a message that is not released. `outcome`: 0 or as of Session.on_finished."""
    state = session.messages[seq][0][0] & 6
    if EARLY[state << 8 | GIVEN_UP] & 0xFF == FINISH:
        session._finish(seq, outcome)


def not_taken(session: "Session", delivery: int, reason: int) -> None:
    """The message that was delivered as `delivery` is not the server's. `reason`: the code with which that is said; 0:
    it is not, for the connection ends.
    """
    packet_id = delivery & 0xFFFF
    value = session.inbound.get(packet_id, FREE)
    row = NOT_TAKEN.get((value & 15) << 8 | (UNWANTED if reason else FAILED), -1)
    if row < 0 or value >> 4 != delivery >> 16:  # stands for another message by now, or for none
        return
    del session.inbound[packet_id]
    if row & 0xFF:
        session._send(row & 0xFF, packet_id, reason)
