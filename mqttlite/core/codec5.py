"""Packets of MQTT 5.0 as a client writes and reads them, where they differ from 3.1.1's. Both runtimes, pure functions.

The difference is the *properties*: a block behind its length. Inside mqttlite a 5.0 message stays `(head, payload)`
with the packet identifier between; its payload begins with its properties (`with_properties`, `split`). A block that
comes in is checked whole in one pass, and handed on as bytes: who wants a user property looks for it there
(`user_property`), and who wants none pays nothing.

Loaded only by who speaks 5.0. Section and statement numbers in this file are those of 5.0.
"""

from . import const
from .codec import decode_packet_id, packet, prefixed, remaining_length
from .errors import ProtocolError
from .text import check_topic_name, check_utf8

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .events import Will

# As in packet_types.
_CONNECT = const(0x10)
_SUBSCRIBE = const(0x82)
_UNSUBSCRIBE = const(0xA2)
_DISCONNECT = const(0xE0)

# Property identifiers (table 2-4), those that are used by name
_MESSAGE_EXPIRY = const(0x02)
_RESPONSE_TOPIC = const(0x08)
_SUBSCRIPTION_IDENTIFIER = const(0x0B)
SESSION_EXPIRY = const(0x11)
ASSIGNED_IDENTIFIER = const(0x12)
SERVER_KEEP_ALIVE = const(0x13)
SERVER_REFERENCE = const(0x1C)
REASON_STRING = const(0x1F)
RECEIVE_MAXIMUM = const(0x21)
MAXIMUM_QOS = const(0x24)
RETAIN_AVAILABLE = const(0x25)
_USER = const(0x26)
MAXIMUM_PACKET_SIZE = const(0x27)

# The form of each property, by identifier (table 2-4): F a flag, 0 or 1; 2 and 4 a number of so many bytes; n and N
# such a number but not 0; v a variable byte integer but not 0; B binary data; S a string; P two strings.
_FORMS = b".F4S....SB.v.....4S2.SBF4FS.S..S.n2nFFPNFFF"
_SIZES = {b"F"[0]: 1, b"2"[0]: 2, b"n"[0]: 2, b"4"[0]: 4, b"N"[0]: 4}
_BINARY = const(66)  # B
_NOT_ZERO_4 = const(78)  # N
_PAIR = const(80)  # P
_STRING = const(83)  # S
_FLAG = const(70)  # F
_NOT_ZERO_2 = const(110)  # n

# The properties that each packet from a server may have; any other makes it malformed (2.2.2.2).
IN_CONNACK = b"\x11\x12\x13\x1a\x1c\x1f\x21\x22\x24\x25\x26\x27\x28\x29\x2a"  # no authentication [MQTT-4.12.0-6]
IN_PUBLISH = b"\x01\x02\x03\x08\x09\x0b\x26"  # no topic alias, for we announce none [MQTT-3.1.2-27]
IN_ANSWER = b"\x1f\x26"  # PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK
IN_DISCONNECT = b"\x1c\x1f\x26"  # no session expiry interval [MQTT-3.14.2-2]

EXPIRY_NEVER = 0xFFFFFFFF  # as Session Expiry Interval (3.1.2.11.2): the session does not expire


# -- properties


def _varint(buf: bytes, at: int, stop: int) -> "tuple[int, int]":
    """The variable byte integer at `at` (1.5.5), and where it ends."""
    value = shift = 0
    while at < stop and shift < 28:
        byte = buf[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if not byte and shift:
                raise ProtocolError("MQTT-1.5.5-1", "a length in more bytes than it needs")
            return value, at
        shift += 7
    raise ProtocolError("1.5.5", "a length that does not end")


def _field_end(buf: bytes, at: int, stop: int) -> int:
    """Where the field behind a length of two bytes ends (1.5.4, 1.5.6)."""
    end = stop + 1 if at + 2 > stop else at + 2 + (buf[at] << 8 | buf[at + 1])
    if end > stop:
        raise ProtocolError("2.2.2.2", "a property is longer than its packet")
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
            raise ProtocolError("2.2.2.2", "a property is longer than its packet")
        value = int.from_bytes(buf[at:end], "big")
        if value > 1 and form == _FLAG:
            raise ProtocolError("2.2.2.2", "a property that is 0 or 1 is " + str(value))
        if value or (form != _NOT_ZERO_2 and form != _NOT_ZERO_4):
            return value, end
    else:
        value, end = _varint(buf, at, stop)
        if value:
            return value, end
    raise ProtocolError("2.2.2.2", "a property that may not be 0 is 0")


def check_properties(
    buf: bytes, at: int, end: int, allowed: bytes, found: "dict[int, int | bytes] | None" = None
) -> "tuple[int, int]":
    """Check the properties whose length is at `at`: start and end of the block.

    `allowed`: the identifiers that may stand here, each once but for user properties and subscription identifiers
    (2.2.2.2). `found` is filled with their values by identifier; of user properties, with nothing.
    """
    if at >= end:
        raise ProtocolError("2.2.2.1", "packet ends before its properties")
    size, at = _varint(buf, at, end)
    start = at
    stop = at + size
    if stop > end:
        raise ProtocolError("2.2.2.1", "properties are longer than their packet")
    had = 0
    while at < stop:
        identifier = buf[at]
        if identifier not in allowed:
            raise ProtocolError("2.2.2.2", "property " + str(identifier) + " may not stand in this packet")
        if identifier != _USER and identifier != _SUBSCRIPTION_IDENTIFIER:
            if had >> identifier & 1:
                raise ProtocolError("2.2.2.2", "property " + str(identifier) + " stands twice in a packet")
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
    at = 0 if _MESSAGE_EXPIRY in block else len(block)
    while at < len(block):
        _, end = _value(block, at + 1, len(block), _FORMS[block[at]])
        if block[at] == _MESSAGE_EXPIRY:
            return block[:at] + block[end:]
        at = end
    return block


def user_properties(block: bytes) -> "list[tuple[bytes, bytes]]":
    """The user properties of a block that has been checked: (name, value), in order."""
    pairs = []
    at = 0
    while at < len(block):
        _, end = _value(block, at + 1, len(block), _FORMS[block[at]])
        if block[at] == _USER:
            middle = _field_end(block, at + 1, end)
            pairs.append((block[at + 3 : middle], block[middle + 2 : end]))
        at = end
    return pairs


def user_property(block: bytes, name: bytes) -> "bytes | None":
    """The value of the first user property called `name` in a block that has been checked."""
    if name in block:  # almost always there is none
        for other, value in user_properties(block):
            if other == name:
                return value
    return None


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
    size, at = _varint(payload, 0, len(payload))
    return payload[at : at + size], payload[at + size :]


# -- what a client sends


def encode_connect(
    client_id: bytes,
    clean_start: bool,
    keep_alive_s: int,
    username: "bytes | None" = None,
    password: "bytes | None" = None,
    will: "Will | None" = None,
    session_expiry_s: int = 0,
    receive_maximum: int = 65535,
    packet_size_max: int = 0,
) -> bytes:
    """CONNECT (3.1). As codec_client.encode_connect, but a password needs no user name, and no session an identifier.

    `session_expiry_s`: 0 to EXPIRY_NEVER; `receive_maximum`: 1 to 65535; `packet_size_max`: in bytes, 0 for no limit.
    Properties with their default value are left out. We announce no topic aliases.
    """
    if not 0 <= keep_alive_s <= 65535:
        raise ProtocolError("3.1.2.10", "keep alive must be 0 to 65535 seconds")
    if not 0 <= session_expiry_s <= EXPIRY_NEVER:
        raise ProtocolError("3.1.2.11.2", "session expiry interval must be 0 to 4294967295 seconds")
    if not 0 < receive_maximum <= 65535:
        raise ProtocolError("3.1.2.11.3", "receive maximum must be 1 to 65535 messages")
    block = b""
    if session_expiry_s:
        block += bytes((SESSION_EXPIRY,)) + session_expiry_s.to_bytes(4, "big")
    if receive_maximum < 65535:
        block += bytes((RECEIVE_MAXIMUM,)) + receive_maximum.to_bytes(2, "big")
    if packet_size_max:
        block += bytes((MAXIMUM_PACKET_SIZE,)) + packet_size_max.to_bytes(4, "big")
    flags = 2 if clean_start else 0
    fields = prefixed(client_id)  # [MQTT-3.1.3-1] [MQTT-3.1.3-3]
    if will:
        flags |= 4 | will[2] << 3 | (32 if will[3] else 0)
        fields += b"\0" + prefixed(will[0]) + prefixed(will[1])  # [MQTT-3.1.2-9]
    if username is not None:
        flags |= 128
        fields += prefixed(username)  # [MQTT-3.1.2-17]
    if password is not None:
        flags |= 64
        fields += prefixed(password)  # [MQTT-3.1.2-19]
    start = b"\0\4MQTT\5" + bytes((flags, keep_alive_s >> 8, keep_alive_s & 255))  # [MQTT-3.1.2-1]
    return packet(_CONNECT, start, with_properties(block, fields))


def encode_subscribe(packet_id: int, subscriptions: "list[tuple[bytes, int]]") -> bytes:
    """SUBSCRIBE (3.8) for topic filters with their maximum QoS, at least one [MQTT-3.8.3-2]; the other options as 3.1.1
    has them (all 0).
    """
    if not subscriptions:
        raise ProtocolError("MQTT-3.8.3-2", "SUBSCRIBE without topic filter")
    body = packet_id.to_bytes(2, "big") + b"\0"
    for topic_filter, qos in subscriptions:
        body += prefixed(topic_filter) + bytes((qos,))
    return packet(_SUBSCRIBE, body)


def encode_unsubscribe(packet_id: int, topic_filters: "list[bytes]") -> bytes:
    """UNSUBSCRIBE (3.10) for at least one topic filter [MQTT-3.10.3-2]."""
    if not topic_filters:
        raise ProtocolError("MQTT-3.10.3-2", "UNSUBSCRIBE without topic filter")
    body = packet_id.to_bytes(2, "big") + b"\0"
    for topic_filter in topic_filters:
        body += prefixed(topic_filter)
    return packet(_UNSUBSCRIBE, body)


def encode_disconnect(reason: int) -> bytes:
    """DISCONNECT (3.14) with a reason code."""
    return bytes((_DISCONNECT, 1, reason)) if reason else bytes((_DISCONNECT, 0))


# -- what a client reads


def decode_connack(buf: bytes, start: int, end: int) -> "tuple[bool, int, dict[int, int | bytes]]":
    """CONNACK (3.2): session present, reason code (0, or 0x80 up), values of the properties by identifier.

    The two bytes with which a server of 3.1.1 refuses this version are read as reason code 0x84.
    """
    found: "dict[int, int | bytes]" = {}
    if end - start < 2:
        raise ProtocolError("3.2.2", "CONNACK of " + str(end - start) + " bytes")
    code = buf[start + 1]
    if end - start == 2 and code == 1:
        return False, 0x84, found
    if buf[start] > 1:
        raise ProtocolError("MQTT-3.2.2-1", "reserved bit set in CONNACK")
    if 0 < code < 0x80:
        raise ProtocolError("MQTT-3.2.2-8", "reserved reason code " + str(code) + " in CONNACK")
    if buf[start] and code:
        raise ProtocolError("MQTT-3.2.2-6", "session present in a refusal")
    _, at = check_properties(buf, start + 2, end, IN_CONNACK, found)
    if at != end:
        raise ProtocolError("3.2.3", "CONNACK has " + str(end - at) + " bytes behind its properties")
    return buf[start] == 1, code, found


def decode_acknowledgement(buf: bytes, start: int, end: int) -> "tuple[int, int]":
    """PUBACK, PUBREC, PUBREL, PUBCOMP (3.4 to 3.7): packet identifier and reason code, which may be absent for 0, as
    may the properties be.
    """
    packet_id = decode_packet_id(buf, start, end)
    size = end - start
    if size > 3 and check_properties(buf, start + 3, end, IN_ANSWER)[1] != end:
        raise ProtocolError("3.4.3", "acknowledgement with a payload")
    return packet_id, buf[start + 2] if size > 2 else 0


def decode_answer(buf: bytes, start: int, end: int) -> "tuple[int, bytes]":
    """SUBACK (3.9) and UNSUBACK (3.11): packet identifier, and a reason code for each topic filter in order
    [MQTT-3.9.3-1] [MQTT-3.11.3-1].
    """
    packet_id = decode_packet_id(buf, start, end)
    codes = buf[check_properties(buf, start + 2, end, IN_ANSWER)[1] : end]
    return packet_id, codes


def decode_disconnect(buf: bytes, start: int, end: int) -> "tuple[int, dict[int, int | bytes]]":
    """DISCONNECT (3.14): reason code, values of the properties by identifier. Both may be absent."""
    found: "dict[int, int | bytes]" = {}
    if start == end:
        return 0, found
    if end - start > 1 and check_properties(buf, start + 1, end, IN_DISCONNECT, found)[1] != end:
        raise ProtocolError("3.14.3", "DISCONNECT with a payload")
    return buf[start], found
