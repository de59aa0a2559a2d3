"""MQTT 3.1.1 at the server's end: what only a server sends, and how it reads what clients send. A wire
(wire.ServerWire). Both runtimes, pure functions.

The mirror image of wire4; nothing here is loaded on a board that is only a client. CONNECT is read from greeting.py.
"""

from .codec import acknowledgement, checksum, decode_packet_id, packet
from .codec import decode_acknowledgement as decode_acknowledgement
from .errors import ProtocolError
from .greeting import MQTT_3_1, Connect, check_flags, decode_field, read_payload
from .packet_types import CONNACK, SUBACK, UNSUBACK
from .text import check_topic_filter

properties_of = None  # 3.1.1 has no properties
with_properties = None
has_reasons = False  # an acknowledgement cannot refuse


def decode_connect(buf: bytes, start: int, end: int) -> Connect:
    """CONNECT (3.1), whose protocol name and level have been read."""
    flags = buf[start + 7]
    if buf[start + 6] == MQTT_3_1:
        flags &= ~1  # not used there, and so whatever it is
    check_flags(flags)
    if flags & 0xC0 == 0x40:
        raise ProtocolError("MQTT-3.1.2-22", "password without user name")
    return read_payload(buf, start + 10, end, flags, buf[start + 8] << 8 | buf[start + 9])


def decode_subscribe(buf: bytes, start: int, end: int) -> "tuple[int, list[tuple[bytes, int]], bytes]":
    """SUBSCRIBE (3.8): packet identifier, topic filters with their requested QoS, at least one [MQTT-3.8.3-3], and
    properties: none.
    """
    packet_id = decode_packet_id(buf, start, end)
    at = start + 2
    if at == end:
        raise ProtocolError("MQTT-3.8.3-3", "SUBSCRIBE without topic filter")
    subscriptions = []
    while at < end:
        topic_filter = decode_field(buf, at, end, "topic filter")
        check_topic_filter(topic_filter)  # [MQTT-3.8.3-1]
        at += 2 + len(topic_filter)
        if at == end:
            raise ProtocolError("3.8.3", "SUBSCRIBE ends before the requested QoS")
        if buf[at] > 2:
            raise ProtocolError("3.8.3", "requested QoS " + str(buf[at]))
        subscriptions.append((topic_filter, buf[at]))
        at += 1
    return packet_id, subscriptions, b""


def decode_unsubscribe(buf: bytes, start: int, end: int) -> "tuple[int, list[bytes]]":
    """UNSUBSCRIBE (3.10): packet identifier, topic filters [MQTT-3.10.3-1], at least one [MQTT-3.10.3-2]."""
    return decode_packet_id(buf, start, end), filters_to_end(buf, start + 2, end)


def filters_to_end(buf: bytes, at: int, end: int) -> "list[bytes]":
    """The topic filters of UNSUBSCRIBE, which begin at `at`; as in 5.0."""
    if at == end:
        raise ProtocolError("MQTT-3.10.3-2", "UNSUBSCRIBE without topic filter")
    topic_filters = []
    while at < end:
        topic_filter = decode_field(buf, at, end, "topic filter")
        check_topic_filter(topic_filter)
        topic_filters.append(topic_filter)
        at += 2 + len(topic_filter)
    return topic_filters


def decode_disconnect(buf: bytes, start: int, end: int, connect: Connect) -> int:
    """DISCONNECT (3.14): 0, for an orderly end."""
    if start != end:
        raise ProtocolError("3.14", "DISCONNECT with a body")
    return 0


def encode_connack(
    session_present: bool, code: int, receive_maximum: int = 65535, size_max: int = 0, properties: bytes = b""
) -> bytes:
    """CONNACK (3.2); a refusal never says session present [MQTT-3.2.2-4]. What is announced has no place in it."""
    return bytes((CONNACK, 2, 1 if session_present and not code else 0, code))


def encode_suback(packet_id: int, codes: bytes) -> bytes:
    """SUBACK (3.9): the identifier of its SUBSCRIBE [MQTT-3.8.4-2], a code for each filter in order [MQTT-3.9.3-1]."""
    return packet(SUBACK, packet_id.to_bytes(2, "big"), codes)


def encode_unsuback(packet_id: int, codes: bytes) -> bytes:
    """UNSUBACK (3.11): the identifier of its UNSUBSCRIBE [MQTT-3.10.4-4]; codes have no place in it."""
    return acknowledgement(UNSUBACK, packet_id)


def encode_disconnect(reason: int) -> bytes:
    """What a server sends before it closes: nothing."""
    return b""


def farewell(rule: str) -> bytes:
    """What is sent to a client that has broken a rule: nothing."""
    return b""


def digest(topic: bytes, packet_id: int, properties: bytes, payload: bytes) -> int:
    """Of the content of a QoS 2 message."""
    return checksum(topic, payload)
