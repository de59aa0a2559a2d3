"""What only a client sends (CONNECT, SUBSCRIBE, UNSUBSCRIBE), and how it reads the answers. Both runtimes, pure
functions.
"""

from . import const
from .codec import decode_packet_id, packet, prefixed
from .errors import broken

# As in packet_types.
_CONNECT = const(0x10)
_SUBSCRIBE = const(0x82)
_UNSUBSCRIBE = const(0xA2)


def encode_connect(
    client_id: bytes,
    clean_session: bool,
    keep_alive_s: int,
    username: "bytes | None" = None,
    password: "bytes | None" = None,
    will: "tuple[bytes, bytes, int, bool] | None" = None,
) -> bytes:
    """CONNECT (3.1). Text is UTF-8, already checked; `keep_alive_s`: 0 to 65535 s; `will`: topic name, payload, QoS,
    retain.

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
    return packet(_CONNECT, b"\0\4MQTT\4", bytes((flags, keep_alive_s >> 8, keep_alive_s & 255)), fields)


def encode_subscribe(packet_id: int, subscriptions: "list[tuple[bytes, int]]") -> bytes:
    """SUBSCRIBE (3.8) for topic filters with their requested QoS, at least one [MQTT-3.8.3-3]."""
    if not subscriptions:
        raise broken("MQTT-3.8.3-3")
    body = packet_id.to_bytes(2, "big")
    for topic_filter, qos in subscriptions:
        body += prefixed(topic_filter) + bytes((qos,))
    return packet(_SUBSCRIBE, body)


def encode_unsubscribe(packet_id: int, topic_filters: "list[bytes]") -> bytes:
    """UNSUBSCRIBE (3.10) for at least one topic filter [MQTT-3.10.3-2]."""
    if not topic_filters:
        raise broken("MQTT-3.10.3-2")
    body = packet_id.to_bytes(2, "big")
    for topic_filter in topic_filters:
        body += prefixed(topic_filter)
    return packet(_UNSUBSCRIBE, body)


def decode_connack(buf: bytes, start: int, end: int) -> "tuple[bool, int]":
    """CONNACK (3.2): session present, return code."""
    if end - start != 2:
        raise broken("3.2", end - start)
    if buf[start] > 1:
        raise broken("3.2.2.1")
    if buf[start] and buf[start + 1]:
        raise broken("MQTT-3.2.2-4")
    return buf[start] == 1, buf[start + 1]


def decode_suback(buf: bytes, start: int, end: int) -> "tuple[int, bytes]":
    """SUBACK (3.9): packet identifier, and a return code for each topic filter in order [MQTT-3.9.3-1]."""
    packet_id = decode_packet_id(buf, start, end)
    codes = buf[start + 2 : end]
    for code in codes:
        if code > 2 and code != 0x80:
            raise broken("MQTT-3.9.3-2")
    return packet_id, codes
