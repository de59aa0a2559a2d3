"""What holds in a session between any two calls: the tables say what may happen to one message, this what all of them
together are. Loaded by who looks (Session.check): tests, the fuzzer, the simulator after each of its steps.

What is asked of each message takes time for each, so in a large session only a few things are looked at.
"""

from . import const
from .session import FREE, INBOUND, OUTBOUND, SPAN, TAKEN2

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .session import Session

MANY = const(200)  # messages, or identifiers: beyond them, not each is looked at

_OUTBOUND = frozenset({state >> 8 for state in OUTBOUND} - {FREE})
_INBOUND = frozenset({row >> 8 for row in INBOUND.values()} - {FREE})


def check(session: "Session") -> None:
    """AssertionError, in words, where something does not hold."""
    s = session
    first = s.first
    sent = s.sent
    if not first <= sent <= s.next:
        raise not_so("first %d <= sent %d <= next %d", first, sent, s.next)
    if sent - first > SPAN:
        raise not_so("no identifier stands for two messages: %d to %d are under way", first, sent)
    if not 0 <= s.unfinished <= s.window:
        raise not_so("no more messages are unfinished than the window has: %d of %d", s.unfinished, s.window)
    if s.kept > s.next or s.sent_before > s.next:
        raise not_so("what is durable, %d, and what is repeated, %d, is below %d", s.kept, s.sent_before, s.next)
    if s.releasing and not s.clearing:
        raise not_so("identifiers are released where there was an earlier life")
    if s.unfinished and first not in s.messages:
        raise not_so("the first unfinished message, %d, is there", first)
    if len(s.messages) <= MANY:
        _check_outbound(s, first, sent)
    if len(s.inbound) <= MANY:
        _check_inbound(s)


def _check_outbound(s: "Session", first: int, sent: int) -> None:
    unfinished = 0
    for seq in s.messages:
        byte = s.messages[seq][0][0]
        if not first <= seq < s.next:
            raise not_so("message %d is one of %d to %d", seq, first, s.next)
        if byte & 0xF8 != 0x30 or byte & 6 not in _OUTBOUND:
            raise not_so("message %d begins like a PUBLISH, and has a state", seq)
        if byte & 6 == 6 and seq >= sent and seq >= s.sent_before:
            raise not_so("message %d is released, so it has been sent", seq)
        unfinished += seq < sent
    if unfinished != s.unfinished:
        raise not_so("%d messages are unfinished, and %d are counted", unfinished, s.unfinished)
    for seq in s.doubts or ():
        if seq in s.messages or seq >= s.next:
            raise not_so("message %d is in doubt, so it is finished", seq)


def _check_inbound(s: "Session") -> None:
    for packet_id in s.inbound:
        state = s.inbound[packet_id] & 15
        if state not in _INBOUND or not 0 < packet_id <= SPAN:
            raise not_so("packet identifier %d has a state", packet_id)
        if s.out is None and state <= TAKEN2:
            raise not_so("without a connection, packet identifier %d has none", packet_id)


def not_so(words: str, *values: int) -> AssertionError:
    """The error about what does not hold."""
    return AssertionError("does not hold: " + words % values)
