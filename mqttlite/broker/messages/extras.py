"""What a message has besides topic, payload, QoS and RETAIN: when it expires, whose share it is, its properties. As
bytes, beside the message in queues and in the store; empty for almost all. Imports core.

    flags   1   DEADLINE, SHARE, SOURCE
    time    6   until when the message may be sent on (ms, as the broker's clock counts); with DEADLINE
    share   2+n the shared subscription whose member has it; with SHARE
    source  2+n who has published it (access/identity.py); with SOURCE, which only retained messages and wills have
    block       its properties of MQTT 5.0, as they came, but for the expiry interval and the topic alias; then the
                subscription identifiers of who gets it

A message is kept without its version: in 3.1.1 the same message goes out without its block. Section and statement
numbers are those of 5.0.
"""

from ...core.codec import remaining_length
from ...core.properties import MESSAGE_EXPIRY, SUBSCRIPTION_IDENTIFIER, parted, without

DEADLINE = 1
SHARE = 2
SOURCE = 4

NEVER = 1 << 62  # ms: later than anything expires

_DEADLINE_SIZE = 6  # bytes
_EXPIRY = bytes((MESSAGE_EXPIRY,))


def extra_of(block: bytes, clock: int) -> bytes:
    """The extra of a message with these properties, which have been checked. `clock`: ms, when it came."""
    if not block:
        return b""
    seconds, rest = parted(block)
    if seconds < 0:
        return b"\0" + rest if rest else b""
    return bytes((DEADLINE,)) + (clock + seconds * 1000).to_bytes(_DEADLINE_SIZE, "big") + rest


def deadline_of(extra: bytes) -> int:
    """Until when it may be sent on (ms); -1: for ever."""
    return int.from_bytes(extra[1 : 1 + _DEADLINE_SIZE], "big") if extra and extra[0] & DEADLINE else -1


def delayed_by(extra: bytes, delay_ms: int) -> bytes:
    """The same, of a message that is published so much later: its time begins then."""
    deadline = deadline_of(extra)
    if deadline < 0:
        return extra
    return extra[:1] + (deadline + delay_ms).to_bytes(_DEADLINE_SIZE, "big") + extra[1 + _DEADLINE_SIZE :]


def share_of(extra: bytes) -> bytes:
    """The shared subscription whose member has it; b"": none."""
    if not extra or not extra[0] & SHARE:
        return b""
    at = 1 + (_DEADLINE_SIZE if extra[0] & DEADLINE else 0)
    return extra[at + 2 : at + 2 + (extra[at] << 8 | extra[at + 1])]


def _source_at(extra: bytes) -> int:
    at = 1 + (_DEADLINE_SIZE if extra[0] & DEADLINE else 0)
    if extra[0] & SHARE:
        at += 2 + (extra[at] << 8 | extra[at + 1])
    return at


def _block_at(extra: bytes) -> int:
    at = _source_at(extra)
    if extra[0] & SOURCE:
        at += 2 + (extra[at] << 8 | extra[at + 1])
    return at


def properties_of(extra: bytes) -> bytes:
    """Its properties of 5.0, as they came; subscription identifiers behind them."""
    return extra[_block_at(extra) :]


def source_of(extra: bytes) -> bytes:
    """Who has published it; b"": nobody in particular."""
    if not extra or not extra[0] & SOURCE:
        return b""
    at = _source_at(extra)
    return extra[at + 2 : at + 2 + (extra[at] << 8 | extra[at + 1])]


def with_source(extra: bytes, source: bytes) -> bytes:
    """The same, published by `source`; b"": by nobody in particular."""
    if not extra:
        return bytes((SOURCE,)) + len(source).to_bytes(2, "big") + source if source else b""
    at = _source_at(extra)
    before, block = extra[1:at], extra[_block_at(extra) :]
    flags = extra[0] & ~SOURCE
    if source:
        return bytes((flags | SOURCE,)) + before + len(source).to_bytes(2, "big") + source + block
    return bytes((flags,)) + before + block if flags or block else b""


def with_share(extra: bytes, share: bytes) -> bytes:
    """The same, for a member of a shared subscription; b"": for nobody's."""
    at = 1 + (_DEADLINE_SIZE if extra and extra[0] & DEADLINE else 0)
    kept = extra[1:at]
    block = extra[_block_at(extra) :] if extra else b""  # a message on its way has no source
    flags = extra[0] & DEADLINE if extra else 0
    if share:
        return bytes((flags | SHARE,)) + kept + len(share).to_bytes(2, "big") + share + block
    return bytes((flags,)) + kept + block if flags or block else b""


def with_identifiers(extra: bytes, identifiers: "list[int]") -> bytes:
    """The same, for who has subscribed with these identifiers [MQTT-3.3.4-3] [MQTT-3.3.4-4]."""
    block = b"".join([bytes((SUBSCRIPTION_IDENTIFIER,)) + remaining_length(number) for number in identifiers])
    return (extra or b"\0") + block if block else extra


def without_identifiers(extra: bytes) -> bytes:
    """The same, as if nobody had subscribed with an identifier: a copy of one subscription has one at most."""
    at = _block_at(extra)
    return extra[:at] + without(extra[at:], SUBSCRIPTION_IDENTIFIER)


def block_of(extra: bytes, clock: int, whenever: bool = False) -> "bytes | None":
    """The properties as they go out at `clock` (ms): the time that is left, in seconds [MQTT-3.3.2-6], then the others.
    None: it has expired [MQTT-3.3.2-5], and is not to be sent `whenever` that may be.
    """
    if not extra:
        return b""
    block = extra[_block_at(extra) :]
    if extra[0] & DEADLINE:
        left = deadline_of(extra) - clock
        if left <= 0 and not whenever:
            return None
        block = _EXPIRY + (max(left + 999, 0) // 1000).to_bytes(4, "big") + block
    return block
