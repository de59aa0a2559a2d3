"""MQTT 5.0 at the server's end: what only a server sends, and how it reads what clients send. A wire
(wire.ServerWire), with the functions of wire4_server. Both runtimes, pure functions.

Loaded with the first client that speaks 5.0; section and statement numbers are those of 5.0.
"""

from .auth import DATA, METHOD
from .codec import decode_packet_id, packet
from .errors import ProtocolError
from .greeting import MQTT_5_0, Connect, check_flags, decode_field, read_payload
from .packet_types import CONNACK, SUBACK, UNSUBACK
from .properties import (
    MAXIMUM_PACKET_SIZE,
    RECEIVE_MAXIMUM,
    SESSION_EXPIRY,
    TOPIC_ALIAS_MAXIMUM,
    WILL_DELAY,
    check_properties,
    limits,
)
from .properties import with_properties as with_properties
from .reason_codes import BAD_CREDENTIALS, BAD_IDENTIFIER, NOT_AUTHORISED, UNAVAILABLE, UNSUPPORTED_VERSION
from .text import check_topic_filter
from .wire4_server import filters_to_end
from .wire5 import decode_acknowledgement as decode_acknowledgement
from .wire5 import digest as digest
from .wire5 import encode_disconnect as encode_disconnect
from .wire5 import farewell as farewell

# The properties that each packet from a client may have; any other makes it malformed (2.2.2.2).
IN_CONNECT = b"\x11\x15\x16\x17\x19\x21\x22\x26\x27"
IN_WILL = b"\x01\x02\x03\x08\x09\x18\x26"
IN_PUBLISH = b"\x01\x02\x03\x08\x09\x26"  # no topic alias, for we announce none [MQTT-3.2.2-17] [MQTT-3.3.4-6]
IN_SUBSCRIBE = b"\x0b\x26"
IN_UNSUBSCRIBE = b"\x26"
IN_DISCONNECT = b"\x11\x1f\x26"

# The reason codes with which a client may end its connection (3.14.2.1)
_OF_DISCONNECT = b"\x00\x04\x80\x81\x82\x83\x90\x93\x94\x95\x96\x97\x98\x99"

# What 3.1.1's return codes of CONNACK (greeting.py) are here
RETURN_CODES = bytes((0, UNSUPPORTED_VERSION, BAD_IDENTIFIER, UNAVAILABLE, BAD_CREDENTIALS, NOT_AUTHORISED))

has_reasons = True  # an acknowledgement can refuse


def properties_of(buf: bytes, at: int, end: int) -> "tuple[int, int]":
    """Start and end of the properties of PUBLISH, which begin at `at`, checked."""
    return check_properties(buf, at, end, IN_PUBLISH)


def decode_connect(buf: bytes, start: int, end: int) -> Connect:
    """CONNECT (3.1), whose protocol name and level have been read."""
    flags = buf[start + 7]
    check_flags(flags)
    found: "dict[int, int | bytes]" = {}
    _, at = check_properties(buf, start + 10, end, IN_CONNECT, found)
    of_will: "dict[int, int | bytes]" = {}

    def will_properties(buf: bytes, at: int, end: int) -> "tuple[int, int]":
        return check_properties(buf, at, end, IN_WILL, of_will)

    connect = read_payload(buf, at, end, flags, buf[start + 8] << 8 | buf[start + 9], will_properties)
    if DATA in found and METHOD not in found:
        raise ProtocolError("4.12", "authentication data without authentication method")
    connect.level = MQTT_5_0
    connect.properties = found
    connect.session_expiry_s = _number(found, SESSION_EXPIRY, 0)
    connect.receive_maximum = _number(found, RECEIVE_MAXIMUM, 65535)
    connect.packet_max = _number(found, MAXIMUM_PACKET_SIZE, 0)
    connect.topic_alias_max = _number(found, TOPIC_ALIAS_MAXIMUM, 0)
    connect.will_delay_s = _number(of_will, WILL_DELAY, 0)
    return connect


def _number(found: "dict[int, int | bytes]", identifier: int, default: int) -> int:
    value = found.get(identifier, default)
    assert isinstance(value, int)
    return value


def decode_subscribe(buf: bytes, start: int, end: int) -> "tuple[int, list[tuple[bytes, int]], bytes]":
    """SUBSCRIBE (3.8): packet identifier, topic filters, at least one [MQTT-3.8.3-2], each with its options (3.8.3.1:
    QoS in the lowest two bits), and the block of properties.
    """
    packet_id = decode_packet_id(buf, start, end)
    begin, at = check_properties(buf, start + 2, end, IN_SUBSCRIBE)
    block = buf[begin:at]
    if at == end:
        raise ProtocolError("MQTT-3.8.3-2", "SUBSCRIBE without topic filter")
    subscriptions = []
    while at < end:
        topic_filter = decode_field(buf, at, end, "topic filter")
        check_topic_filter(topic_filter)  # [MQTT-3.8.3-1]
        at += 2 + len(topic_filter)
        if at == end:
            raise ProtocolError("3.8.3", "SUBSCRIBE ends before its subscription options")
        options = buf[at]
        if options & 0xC0:
            raise ProtocolError("MQTT-3.8.3-5", "reserved bits set in subscription options")
        if options & 3 == 3 or options & 0x30 == 0x30:
            raise ProtocolError("3.8.3.1", "QoS 3, or retain handling 3")
        subscriptions.append((topic_filter, options))
        at += 1
    return packet_id, subscriptions, block


def decode_unsubscribe(buf: bytes, start: int, end: int) -> "tuple[int, list[bytes]]":
    """UNSUBSCRIBE (3.10): packet identifier, topic filters [MQTT-3.10.3-1], at least one [MQTT-3.10.3-2]."""
    packet_id = decode_packet_id(buf, start, end)
    _, at = check_properties(buf, start + 2, end, IN_UNSUBSCRIBE)
    return packet_id, filters_to_end(buf, at, end)


def decode_disconnect(buf: bytes, start: int, end: int, connect: Connect) -> int:
    """DISCONNECT (3.14): its reason code; `connect` gets the session expiry interval that it may bring."""
    if start == end:
        return 0
    found: "dict[int, int | bytes]" = {}
    if end - start > 1 and check_properties(buf, start + 1, end, IN_DISCONNECT, found)[1] != end:
        raise ProtocolError("3.14.3", "DISCONNECT with a payload")
    if buf[start] not in _OF_DISCONNECT:  # [MQTT-3.14.2-1]
        raise ProtocolError("3.14.2.1", "reason code " + str(buf[start]) + " in DISCONNECT")
    expiry_s = _number(found, SESSION_EXPIRY, connect.session_expiry_s)
    if expiry_s and not connect.session_expiry_s:
        raise ProtocolError("3.14.2.2.2", "DISCONNECT wants a session kept that CONNECT did not")
    connect.session_expiry_s = expiry_s
    return buf[start]


def encode_connack(
    session_present: bool, code: int, receive_maximum: int = 65535, size_max: int = 0, properties: bytes = b""
) -> bytes:
    """CONNACK (3.2). `code`: a reason code, or one of 3.1.1's return codes; a refusal never says session present
    [MQTT-3.2.2-6]. `properties`: a block, behind what is announced here: how many QoS 1 and 2 messages are taken at
    once, and the largest Remaining Length, in bytes.
    """
    if code < len(RETURN_CODES):
        code = RETURN_CODES[code]
    if not code:
        properties = limits(receive_maximum, size_max) + properties
    flags = bytes((1 if session_present and not code else 0, code))
    return packet(CONNACK, flags, with_properties(properties, b""))


def encode_suback(packet_id: int, codes: bytes) -> bytes:
    """SUBACK (3.9): the identifier of its SUBSCRIBE, a reason code for each filter in order [MQTT-3.8.4-6]."""
    return packet(SUBACK, packet_id.to_bytes(2, "big"), b"\0", codes)


def encode_unsuback(packet_id: int, codes: bytes) -> bytes:
    """UNSUBACK (3.11): the identifier of its UNSUBSCRIBE, a reason code for each filter in order [MQTT-3.11.3-1]."""
    return packet(UNSUBACK, packet_id.to_bytes(2, "big"), b"\0", codes)
