"""MQTT 3.1.1 at the client's end: what only a client sends, and how it reads the answers. A wire (wire.ClientWire).
Both runtimes, pure functions.
"""

from . import const
from .codec import checksum, decode_packet_id, packet, prefixed
from .codec import decode_acknowledgement as decode_acknowledgement
from .errors import broken
from .packet_types import CONNECT, DISCONNECT, SUBSCRIBE, UNSUBSCRIBE
from .reason_codes import REFUSED

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .errors import MQTTError
    from .events import Will

properties_of = None  # 3.1.1 has no properties
with_properties = None


def encode_connect(
    client_id: bytes,
    clean_session: bool,
    keep_alive_s: int,
    username: "bytes | None" = None,
    password: "bytes | None" = None,
    will: "Will | None" = None,
    receive_maximum: int = 65535,
    size_max: int = 0,
) -> bytes:
    """CONNECT (3.1). Text is UTF-8, already checked; `keep_alive_s`: 0 to 65535 s; `will`: topic name, payload, QoS,
    retain. The limits have no place in it.

    Raises ProtocolError for a password without user name [MQTT-3.1.2-22], an empty client identifier in a session
    that is to be kept [MQTT-3.1.3-7], or a keep alive that does not fit.
    """
    if password is not None and username is None:
        raise broken("MQTT-3.1.2-22")
    if not client_id and not clean_session:
        raise broken("MQTT-3.1.3-7")
    if not 0 <= keep_alive_s <= 65535:
        raise broken("3.1.2.10")
    flags = 2 if clean_session else 0
    fields = prefixed(client_id)  # [MQTT-3.1.3-1]: identifier, will topic, will message, user name, password
    if will:
        flags |= 4 | will[2] << 3 | (32 if will[3] else 0)
        fields += prefixed(will[0]) + prefixed(will[1])
    if username is not None:
        flags |= 128
        fields += prefixed(username)
    if password is not None:
        flags |= 64
        fields += prefixed(password)
    return packet(CONNECT, b"\0\4MQTT\4", bytes((flags, keep_alive_s >> 8, keep_alive_s & 255)), fields)


def encode_subscribe(packet_id: int, subscriptions: "list[tuple[bytes, int]]", properties: bytes = b"") -> bytes:
    """SUBSCRIBE (3.8) for topic filters with their requested QoS, at least one [MQTT-3.8.3-3]."""
    if not subscriptions:
        raise broken("MQTT-3.8.3-3")
    body = packet_id.to_bytes(2, "big")
    for topic_filter, qos in subscriptions:
        body += prefixed(topic_filter) + bytes((qos,))
    return packet(SUBSCRIBE, body)


def encode_unsubscribe(packet_id: int, topic_filters: "list[bytes]", properties: bytes = b"") -> bytes:
    """UNSUBSCRIBE (3.10) for at least one topic filter [MQTT-3.10.3-2]."""
    if not topic_filters:
        raise broken("MQTT-3.10.3-2")
    body = packet_id.to_bytes(2, "big")
    for topic_filter in topic_filters:
        body += prefixed(topic_filter)
    return packet(UNSUBSCRIBE, body)


def encode_disconnect(reason: int = 0) -> bytes:
    """DISCONNECT (3.14), which says nothing but that the end is orderly."""
    return bytes((DISCONNECT, 0))


def farewell(rule: str) -> bytes:
    """What is sent to a server that has broken a rule: nothing, and the will is published."""
    return b""


def decode_connack(buf: bytes, start: int, end: int) -> "tuple[bool, int, None]":
    """CONNACK (3.2): session present, return code, and what the server announces: nothing."""
    if end - start != 2:
        raise broken("3.2", end - start)
    if buf[start] > 1:
        raise broken("3.2.2.1")
    if buf[start] and buf[start + 1]:
        raise broken("MQTT-3.2.2-4")
    return buf[start] == 1, buf[start + 1], None


def refusal(code: int, found: object = None) -> str:
    """Words for a return code of CONNACK other than 0."""
    from .refusals import words  # hardly ever needed, so not loaded before

    return words(code)


def decode_suback(buf: bytes, start: int, end: int) -> "tuple[int, bytes]":
    """SUBACK (3.9): packet identifier, and a return code for each topic filter in order [MQTT-3.9.3-1]."""
    packet_id = decode_packet_id(buf, start, end)
    codes = buf[start + 2 : end]
    for code in codes:
        if code > 2 and code != REFUSED:
            raise broken("MQTT-3.9.3-2")
    return packet_id, codes


def decode_unsuback(buf: bytes, start: int, end: int) -> "tuple[int, None]":
    """UNSUBACK (3.11): packet identifier; there are no codes, for it is never refused."""
    return decode_acknowledgement(buf, start, end), None


def unexpected(first: int, buf: bytes, start: int, end: int) -> "MQTTError":
    """What a packet that is none of the usual means: that a server may not send it."""
    return broken("4.8 broker", first >> 4)


def digest(topic: bytes, packet_id: int, properties: bytes, payload: bytes) -> int:
    """Of the content of a QoS 2 message."""
    return checksum(topic, payload)
