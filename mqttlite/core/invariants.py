"""What holds in a session between any two calls: the tables say what may happen to one message, this what all of them
together are. Loaded by who looks (Session.check): tests, the fuzzer, the simulator after each of its steps.

What is asked of every message costs time for each, so a session that is large is looked at in a few places only.
"""

from . import const
from .session import FREE, HELD, INBOUND, OUTBOUND, SPAN, TAKEN2

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .session import Session

MANY = const(200)  # messages, or identifiers: beyond them, not each is looked at

_OUTBOUND = {state >> 8 for state in OUTBOUND} - {FREE}
_INBOUND = {row >> 8 for row in INBOUND.values()} - {FREE}


def check(session: "Session") -> None:
    """AssertionError, in words, where something does not hold."""
    s = session
    _that(s.first <= s.sent <= s.next, "first %d <= sent %d <= next %d", s.first, s.sent, s.next)
    _that(s.sent - s.first <= SPAN, "no identifier stands for two messages: %d to %d are under way", s.first, s.sent)
    _that(0 <= s.unfinished <= s.window, "%d messages are unfinished, in a window of %d", s.unfinished, s.window)
    _that(s.sent_before <= s.next, "what is to be repeated has been accepted: %d of %d", s.sent_before, s.next)
    _that(s.kept <= s.next, "what is durable has been accepted: %d of %d", s.kept, s.next)
    _that(not s.releasing or s.clearing > 0, "identifiers of an earlier life are cleared where there was one")
    if s.out is None:
        _that(not s.messages or s.first <= min(s.messages), "no unfinished message is below the first, %d", s.first)
    elif s.unfinished:
        _that(s.first in s.messages, "the first unfinished message, %d, is there", s.first)
    if len(s.messages) <= MANY:
        _check_outbound(s)
    if len(s.inbound) <= MANY:
        _check_inbound(s)


def _check_outbound(s: "Session") -> None:
    under_way = 0
    for seq, (head, _, _) in s.messages.items():
        _that(s.first <= seq < s.next, "message %d is one of %d to %d", seq, s.first, s.next)
        _that(head[0] & 0xF8 == 0x30 and head[0] & 6 in _OUTBOUND, "message %d has the head of a PUBLISH", seq)
        _that(head[0] & 6 != 6 or seq < max(s.sent, s.sent_before), "message %d is released, so it has been sent", seq)
        under_way += seq < s.sent
    _that(under_way == s.unfinished, "%d messages are unfinished, and %d are counted", under_way, s.unfinished)
    for seq in s.doubts or {}:
        _that(seq not in s.messages and seq < s.next, "message %d is in doubt, so it is finished", seq)


def _check_inbound(s: "Session") -> None:
    for packet_id, value in s.inbound.items():
        state = value & 15
        _that(0 < packet_id <= SPAN, "%d is a packet identifier", packet_id)
        _that(state in _INBOUND, "packet identifier %d has a state, not %d", packet_id, state)
        _that(s.out is not None or state > TAKEN2, "no connection, and packet identifier %d has one", packet_id)
        _that(state != HELD or value >> 4 < 1 << 26, "the digest of packet identifier %d has 26 bits", packet_id)


def _that(holds: bool, words: str, *values: int) -> None:
    if not holds:
        raise AssertionError("does not hold: " + words % values)
