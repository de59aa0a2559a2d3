"""Properties, which MQTT 5.0 has and 3.1.1 has not (2.2.2): a block of them behind its length. Both runtimes, pure
functions.

Inside mqttlite a 5.0 message stays `(head, payload)` with the packet identifier between; its payload begins with its
properties (`with_properties`, `split`). A block that comes in is checked whole in one pass, and handed on as bytes: who
wants a user property looks for it there (`user_property`), and who wants none pays nothing.

Loaded only by who speaks 5.0. Section and statement numbers in this file are those of 5.0.
"""

from . import const
from .codec import prefixed, remaining_length
from .errors import ProtocolError, broken
from .text import check_topic_name, check_utf8

# Property identifiers (table 2-4), those that are used by name
MESSAGE_EXPIRY = const(0x02)
_RESPONSE_TOPIC = const(0x08)
SUBSCRIPTION_IDENTIFIER = const(0x0B)
SESSION_EXPIRY = const(0x11)
WILL_DELAY = const(0x18)
REQUEST_RESPONSE = const(0x19)
RESPONSE_INFORMATION = const(0x1A)
ASSIGNED_IDENTIFIER = const(0x12)
SERVER_KEEP_ALIVE = const(0x13)
SERVER_REFERENCE = const(0x1C)
REASON_STRING = const(0x1F)
RECEIVE_MAXIMUM = const(0x21)
TOPIC_ALIAS_MAXIMUM = const(0x22)
TOPIC_ALIAS = const(0x23)
MAXIMUM_QOS = const(0x24)
RETAIN_AVAILABLE = const(0x25)
_USER = const(0x26)
MAXIMUM_PACKET_SIZE = const(0x27)
WILDCARD_AVAILABLE = const(0x28)
IDENTIFIERS_AVAILABLE = const(0x29)
SHARED_AVAILABLE = const(0x2A)

# The form of each property, by identifier (table 2-4): F a flag, 0 or 1; 2 and 4 a number of so many bytes; n and N
# such a number but not 0; v a variable byte integer but not 0; B binary data; S a string; P two strings.
_FORMS = b".F4S....SB.v.....4S2.SBF4FS.S..S.n22FFPNFFF"
_SIZES = {b"F"[0]: 1, b"2"[0]: 2, b"n"[0]: 2, b"4"[0]: 4, b"N"[0]: 4}
_BINARY = const(66)  # B
_NOT_ZERO_4 = const(78)  # N
_PAIR = const(80)  # P
_STRING = const(83)  # S
_FLAG = const(70)  # F
_NOT_ZERO_2 = const(110)  # n

EXPIRY_NEVER = 0xFFFFFFFF  # as Session Expiry Interval (3.1.2.11.2): the session does not expire
SIZE_MAX = const(268435460)  # bytes; no packet is larger (2.1.4)


def varint(buf: bytes, at: int, stop: int) -> "tuple[int, int]":
    """The variable byte integer at `at` (1.5.5), and where it ends."""
    value = shift = 0
    while at < stop and shift < 28:
        byte = buf[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if not byte and shift:
                raise broken("MQTT-1.5.5-1")
            return value, at
        shift += 7
    raise broken("1.5.5")


def _field_end(buf: bytes, at: int, stop: int) -> int:
    """Where the field behind a length of two bytes ends (1.5.4, 1.5.6)."""
    end = stop + 1 if at + 2 > stop else at + 2 + (buf[at] << 8 | buf[at + 1])
    if end > stop:
        raise broken("2.2.2.2")
    return end


def _string_end(buf: bytes, at: int, stop: int) -> int:
    end = _field_end(buf, at, stop)
    check_utf8(buf[at + 2 : end], "property")  # [MQTT-1.5.4-1] [MQTT-1.5.4-2]
    return end


def _value(buf: bytes, at: int, stop: int, form: int) -> "tuple[int | None, int]":
    """The value at `at`, if it is a number, and where it ends."""
    if form == _STRING:
        return None, _string_end(buf, at, stop)
    if form == _PAIR:
        return None, _string_end(buf, _string_end(buf, at, stop), stop)  # [MQTT-1.5.7-1]
    if form == _BINARY:
        return None, _field_end(buf, at, stop)
    size = _SIZES.get(form, 0)
    if size:
        end = at + size
        if end > stop:
            raise broken("2.2.2.2")
        value = int.from_bytes(buf[at:end], "big")
        if value > 1 and form == _FLAG:
            raise broken("2.2.2 flag", value)
        if value or (form != _NOT_ZERO_2 and form != _NOT_ZERO_4):
            return value, end
    else:
        value, end = varint(buf, at, stop)
        if value:
            return value, end
    raise broken("2.2.2 zero")


def check_properties(
    buf: bytes, at: int, end: int, allowed: bytes, found: "dict[int, int | bytes] | None" = None
) -> "tuple[int, int]":
    """Check the properties whose length is at `at`: start and end of the block.

    `allowed`: the identifiers that may stand here, each once but for user properties and subscription identifiers
    (2.2.2.2). `found` is filled with their values by identifier; of user properties, with nothing.
    """
    if at >= end:
        raise broken("2.2.2.1 end")
    size, at = varint(buf, at, end)
    start = at
    stop = at + size
    if stop > end:
        raise broken("2.2.2.1")
    had = 0
    while at < stop:
        identifier = buf[at]
        if identifier not in allowed:
            raise broken("2.2.2.2 place", identifier)
        if identifier != _USER and identifier != SUBSCRIPTION_IDENTIFIER:
            if had >> identifier & 1:
                raise broken("2.2.2 twice", identifier)
            had |= 1 << identifier
        value, after = _value(buf, at + 1, stop, _FORMS[identifier])
        if identifier == _RESPONSE_TOPIC:
            check_topic_name(buf[at + 3 : after])  # [MQTT-3.3.2-13] [MQTT-3.3.2-14]
        if found is not None and identifier != _USER:
            found[identifier] = buf[at + 3 : after] if value is None else value
        at = after
    return start, stop


def without_expiry(block: bytes) -> bytes:
    """A block that has been checked, without the time that its message has left, which counts down [MQTT-3.3.2-6]."""
    return parted(block)[1]


def parted(block: bytes) -> "tuple[int, bytes]":
    """The time that the message of a block that has been checked has left (s; -1: it does not expire), and the rest of
    its properties.
    """
    at = 0 if MESSAGE_EXPIRY in block else len(block)
    while at < len(block):
        value, end = _value(block, at + 1, len(block), _FORMS[block[at]])
        if block[at] == MESSAGE_EXPIRY and value is not None:
            return value, block[:at] + block[end:]
        at = end
    return -1, block


def identifier_of(block: bytes) -> int:
    """The subscription identifier of a SUBSCRIBE whose block has been checked; 0: there is none. ProtocolError: several
    (3.8.2.1.2).
    """
    found = at = 0
    while at < len(block):
        value, end = _value(block, at + 1, len(block), _FORMS[block[at]])
        if block[at] == SUBSCRIPTION_IDENTIFIER and value is not None:
            if found:
                raise ProtocolError("3.8.2.1.2", "two subscription identifiers")
            found = value
        at = end
    return found


def without(block: bytes, identifier: int) -> bytes:
    """A block that has been checked, without the property of which there is one at most."""
    at = 0
    while at < len(block):
        _, end = _value(block, at + 1, len(block), _FORMS[block[at]])
        if block[at] == identifier:
            return block[:at] + block[end:]
        at = end
    return block


def each(block: bytes) -> "list[tuple[int, int | None, int, int]]":
    """The properties of a block that has been checked, in order: identifier, value if it is a number, and where the
    value starts and ends.
    """
    found = []
    at = 0
    while at < len(block):
        value, end = _value(block, at + 1, len(block), _FORMS[block[at]])
        found.append((block[at], value, at + 1, end))
        at = end
    return found


def user_properties(block: bytes) -> "list[tuple[bytes, bytes]]":
    """The user properties of a block that has been checked: (name, value), in order."""
    pairs = []
    for identifier, _, start, end in each(block):
        if identifier == _USER:
            middle = _field_end(block, start, end)
            pairs.append((block[start + 2 : middle], block[middle + 2 : end]))
    return pairs


def user_property(block: bytes, name: bytes) -> "bytes | None":
    """The value of the first user property called `name` in a block that has been checked."""
    if name in block:  # almost always there is none
        for other, value in user_properties(block):
            if other == name:
                return value
    return None


def without_user(block: bytes, name: bytes) -> bytes:
    """A block that has been checked, without the user properties called `name`."""
    left = b""
    for identifier, _, start, end in each(block):
        if identifier != _USER or block[start + 2 : _field_end(block, start, end)] != name:
            left += block[start - 1 : end]
    return left


def encode_user_properties(pairs: "list[tuple[bytes, bytes]]") -> bytes:
    """A block of user properties, (name, value) each; ProtocolError for what is no UTF-8 string [MQTT-1.5.7-1]."""
    block = b""
    for name, value in pairs:
        check_utf8(name, "name of a user property")
        check_utf8(value, "user property")
        block += bytes((_USER,)) + prefixed(name) + prefixed(value)
    return block


def with_properties(block: bytes, payload: bytes) -> bytes:
    """What follows the packet identifier (or, at QoS 0, the topic name) in PUBLISH [MQTT-2.2.2-1]."""
    return remaining_length(len(block)) + block + payload


def split(payload: bytes) -> "tuple[bytes, bytes]":
    """Block of properties and application message of what `with_properties` made."""
    size, at = varint(payload, 0, len(payload))
    return payload[at : at + size], payload[at + size :]


def limits(receive_maximum: int, size_max: int) -> bytes:
    """The properties with which either end says what it takes: how many QoS 1 and 2 messages at once, and a largest
    packet that is too large exactly when its Remaining Length is above `size_max` (0: any is taken).
    """
    block = b""
    if receive_maximum < 65535:
        block += bytes((RECEIVE_MAXIMUM,)) + receive_maximum.to_bytes(2, "big")
    if size_max:
        size_max += 1 + len(remaining_length(min(size_max, SIZE_MAX - 5)))
        if size_max < SIZE_MAX:
            block += bytes((MAXIMUM_PACKET_SIZE,)) + size_max.to_bytes(4, "big")
    return block
