"""MQTT 5.0 at the client's end: what only a client sends, and how it reads the answers. A wire (wire.ClientWire), with
the functions of wire4. Both runtimes, pure functions.

Loaded only by who speaks 5.0. Section and statement numbers in this file are those of 5.0.
"""

from binascii import crc32

from . import const
from .codec import decode_packet_id, packet, prefixed, remaining_length
from .errors import ConnectError, MQTTError, broken
from .features import HOST, TEXTS
from .packet_types import CONNECT, DISCONNECT, SUBSCRIBE, UNSUBSCRIBE
from .properties import (
    EXPIRY_NEVER,
    REASON_STRING,
    SERVER_REFERENCE,
    SESSION_EXPIRY,
    check_properties,
    limits,
    without_expiry,
)
from .properties import with_properties as with_properties
from .reason_codes import BAD_ALIAS, MALFORMED, PROTOCOL_ERROR, RECEIVE_MAXIMUM_EXCEEDED, REFUSED, UNSUPPORTED_VERSION

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .events import Will

# The properties that each packet from a server may have; any other makes it malformed (2.2.2.2).
IN_CONNACK = b"\x11\x12\x13\x15\x16\x1a\x1c\x1f\x21\x22\x24\x25\x26\x27\x28\x29\x2a"
IN_PUBLISH = b"\x01\x02\x03\x08\x09\x0b\x23\x26" if HOST else b"\x01\x02\x03\x08\x09\x0b\x26"
IN_ANSWER = b"\x1f\x26"  # PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK
IN_DISCONNECT = b"\x1c\x1f\x26"  # no session expiry interval [MQTT-3.14.2-2]


# -- what both ends send and read


def properties_of(buf: bytes, at: int, end: int) -> "tuple[int, int]":
    """Start and end of the properties of PUBLISH, which begin at `at`, checked."""
    return check_properties(buf, at, end, IN_PUBLISH)


def digest(topic: bytes, packet_id: int, properties: bytes, payload: bytes) -> int:
    """Of the content of a QoS 2 message: all of its packet but the flags and the time that it has left."""
    head = prefixed(topic) + packet_id.to_bytes(2, "big") + remaining_length(len(properties))
    return crc32(payload, crc32(without_expiry(properties), crc32(head)))


def decode_acknowledgement(buf: bytes, start: int, end: int) -> int:
    """PUBACK, PUBREC, PUBREL, PUBCOMP (3.4 to 3.7): packet identifier, and above 16 bits the reason code, which may be
    absent for 0, as may the properties be.
    """
    packet_id = decode_packet_id(buf, start, end)
    size = end - start
    if size > 3 and check_properties(buf, start + 3, end, IN_ANSWER)[1] != end:
        raise broken("3.4.3")
    return buf[start + 2] << 16 | packet_id if size > 2 else packet_id


def encode_disconnect(reason: int = 0) -> bytes:
    """DISCONNECT (3.14) with a reason code."""
    return bytes((DISCONNECT, 1, reason)) if reason else bytes((DISCONNECT, 0))


def farewell(rule: str) -> bytes:
    """DISCONNECT for a peer that has broken a rule (4.13.1)."""
    if not HOST:  # a board's rules are numbers
        return encode_disconnect(PROTOCOL_ERROR)
    if rule == "4.3.3":
        return encode_disconnect(RECEIVE_MAXIMUM_EXCEEDED)
    if rule in ("MQTT-3.3.2-8", "3.3.2.3.4"):
        return encode_disconnect(BAD_ALIAS)
    malformed = (rule != "2.2.2" and rule[:2] in ("1.", "2.")) or rule[:7] == "MQTT-1."
    return encode_disconnect(MALFORMED if malformed else PROTOCOL_ERROR)


# -- what a client sends


def encode_connect(
    client_id: bytes,
    clean_start: bool,
    keep_alive_s: int,
    username: "bytes | None" = None,
    password: "bytes | None" = None,
    will: "Will | None" = None,
    receive_maximum: int = 65535,
    size_max: int = 0,
    session_expiry_s: int = -1,
    properties: bytes = b"",
) -> bytes:
    """CONNECT (3.1). As wire4's, but a password needs no user name, and no session an identifier.

    `receive_maximum`: 1 to 65535; `size_max`: largest Remaining Length that is accepted, in bytes, 0 for no limit;
    `session_expiry_s`: 0 to EXPIRY_NEVER; -1: never, but for a clean start, which then is as 3.1.1's clean session.
    Properties with their default value are left out. `properties`: a block of others.
    """
    if session_expiry_s < 0:
        session_expiry_s = 0 if clean_start else EXPIRY_NEVER
    if not 0 <= keep_alive_s <= 65535:
        raise broken("3.1.2.10")
    if HOST and session_expiry_s > EXPIRY_NEVER:
        raise broken("3.1.2.11.2")
    if HOST and not 0 < receive_maximum <= 65535:
        raise broken("3.1.2.11.3")
    block = limits(receive_maximum, size_max) + properties
    if session_expiry_s:
        block = bytes((SESSION_EXPIRY,)) + session_expiry_s.to_bytes(4, "big") + block
    flags = 2 if clean_start else 0
    fields = prefixed(client_id)  # [MQTT-3.1.3-1] [MQTT-3.1.3-3]
    if will:
        flags |= 4 | will[2] << 3 | (32 if will[3] else 0)
        of_will = will[4] if len(will) > 4 else b""
        fields += with_properties(of_will, prefixed(will[0])) + prefixed(will[1])  # [MQTT-3.1.2-9]
    if username is not None:
        flags |= 128
        fields += prefixed(username)  # [MQTT-3.1.2-17]
    if password is not None:
        flags |= 64
        fields += prefixed(password)  # [MQTT-3.1.2-19]
    start = b"\0\4MQTT\5" + bytes((flags, keep_alive_s >> 8, keep_alive_s & 255))  # [MQTT-3.1.2-1]
    return packet(CONNECT, start, with_properties(block, fields))


def encode_subscribe(packet_id: int, subscriptions: "list[tuple[bytes, int]]", properties: bytes = b"") -> bytes:
    """SUBSCRIBE (3.8) for topic filters, at least one [MQTT-3.8.3-2], each with its options: maximum QoS, and above it
    No Local, Retain As Published, Retain Handling (3.8.3.1). `properties`: a block.
    """
    if not subscriptions:
        raise broken("MQTT-3.8.3-2")
    body = b""
    for topic_filter, options in subscriptions:
        body += prefixed(topic_filter) + bytes((options,))  # [MQTT-3.8.3-5]
    return packet(SUBSCRIBE, packet_id.to_bytes(2, "big"), with_properties(properties, body))


def encode_unsubscribe(packet_id: int, topic_filters: "list[bytes]", properties: bytes = b"") -> bytes:
    """UNSUBSCRIBE (3.10) for at least one topic filter [MQTT-3.10.3-2]."""
    if not topic_filters:
        raise broken("MQTT-3.10.3-2")
    body = b""
    for topic_filter in topic_filters:
        body += prefixed(topic_filter)
    return packet(UNSUBSCRIBE, packet_id.to_bytes(2, "big"), with_properties(properties, body))


# -- what a client reads


def decode_connack(buf: bytes, start: int, end: int) -> "tuple[bool, int, dict[int, int | bytes]]":
    """CONNACK (3.2): session present, reason code (0, or 0x80 up), values of the properties by identifier.

    The two bytes with which a server of 3.1.1 refuses this version are read as reason code 0x84.
    """
    found: "dict[int, int | bytes]" = {}
    if end - start < 2:
        raise broken("3.2.2", end - start)
    code = buf[start + 1]
    if end - start == 2 and code == 1:
        return False, UNSUPPORTED_VERSION, found
    if buf[start] > 1:
        raise broken("MQTT-3.2.2-1 bit")
    if 0 < code < REFUSED:
        raise broken("MQTT-3.2.2-8", code)
    if buf[start] and code:
        raise broken("MQTT-3.2.2-6")
    begin, at = check_properties(buf, start + 2, end, IN_CONNACK, found)
    if HOST and 0x26 in buf[begin:at]:
        found[0] = buf[begin:at]  # for who wants user properties
    if at != end:
        raise broken("3.2.3", end - at)
    return buf[start] == 1, code, found


def refusal(code: int, found: "dict[int, int | bytes]") -> str:
    """Words for a reason code, and what the broker says besides."""
    from .reasons import words  # hardly ever needed, so not loaded before

    reason = found.get(REASON_STRING, b"")
    server = found.get(SERVER_REFERENCE, b"")
    assert isinstance(reason, bytes) and isinstance(server, bytes)
    return words(code, reason, server)


def decode_unsuback(buf: bytes, start: int, end: int) -> "tuple[int, bytes]":
    """UNSUBACK (3.11): packet identifier, and a reason code for each topic filter in order [MQTT-3.11.3-1]."""
    packet_id = decode_packet_id(buf, start, end)
    return packet_id, buf[check_properties(buf, start + 2, end, IN_ANSWER)[1] : end]


def decode_suback(buf: bytes, start: int, end: int) -> "tuple[int, bytes]":
    """SUBACK (3.9): packet identifier, and a reason code for each topic filter in order [MQTT-3.9.3-1]."""
    packet_id, codes = decode_unsuback(buf, start, end)
    for code in codes:
        if 2 < code < REFUSED:
            raise broken("MQTT-3.9.3-2 code", code)
    return packet_id, codes


def decode_disconnect(buf: bytes, start: int, end: int) -> "tuple[int, dict[int, int | bytes]]":
    """DISCONNECT (3.14): reason code, values of the properties by identifier. Both may be absent."""
    found: "dict[int, int | bytes]" = {}
    if start == end:
        return 0, found
    if end - start > 1 and check_properties(buf, start + 1, end, IN_DISCONNECT, found)[1] != end:
        raise broken("3.14.3")
    return buf[start], found


def unexpected(first: int, buf: bytes, start: int, end: int) -> MQTTError:
    """What a packet that is none of the usual means: DISCONNECT, that the connection has ended [MQTT-3.14.4-1]."""
    if first != DISCONNECT:
        return broken("4.8 broker", first >> 4)
    code, found = decode_disconnect(buf, start, end)
    error = ConnectError("the broker ended the connection: " + refusal(code, found))
    error.ended = code
    if TEXTS:
        from .telling import tell

        tell(error, code, found)
    return error
