"""What can happen to a message at a place, and what is read of it to note that. No I/O.

accepted      it came from `peer`, and this place has taken it over (the application that publishes: from itself)
stored        it is durable here, in what is queued for `peer`
forwarded     its PUBLISH was given to the connection of `peer`; again and again where that was cut
acknowledged  `peer` has taken it over: PUBACK, or at QoS 2 PUBREC
handled       the application here is done with it: where an inbox is, committed
ended         it will not go to `peer`: dropped, expired, refused; `cause` says which
"""

from ..core.keys import PROPERTY, from_text, to_text, unwrap
from ..core.properties import user_property

Key = tuple[bytes, int, int]  # producer, epoch, sequence

STEPS = ("accepted", "stored", "forwarded", "acknowledged", "handled", "ended")
ACCEPTED, STORED, FORWARDED, ACKNOWLEDGED, HANDLED, ENDED = range(6)

ENVELOPE = b"\xfc"  # the first byte of one (core/keys.py)
TRACEPARENT = b"traceparent"  # name of the user property: W3C Trace Context
TRACE_MAX = 256  # bytes of it that are kept


def key_of(payload: bytes, block: bytes) -> Key | None:
    """The key of a message, whose properties of 5.0 are `block`; most have neither those nor an envelope."""
    if block:
        text = user_property(block, PROPERTY)
        if text:
            return from_text(text)
    if payload[:1] == ENVELOPE:
        opened = unwrap(payload)
        if opened:
            return opened[0]
    return None


def trace_of(block: bytes) -> bytes:
    """The trace context that travels with a message; b"": none."""
    return (user_property(block, TRACEPARENT) or b"")[:TRACE_MAX] if block else b""


def key_text(key: Key) -> str:
    """producer/epoch/sequence."""
    return to_text(key).decode()


def key_from(text: str) -> Key:
    """The key of such a text. ValueError: it is none."""
    key = from_text(text.encode())
    if key is None:
        raise ValueError(f"{text!r:.120} is no idempotency key: PRODUCER/EPOCH/SEQUENCE, as board-7/1764512345/42")
    return key
