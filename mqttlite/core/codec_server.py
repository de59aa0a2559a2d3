"""What only a server sends (CONNACK, SUBACK), and how it reads what clients send. Both runtimes, pure functions.

The mirror image of codec_client; nothing here is loaded on a board that is only a client.
"""

from .codec import decode_packet_id, packet
from .errors import ProtocolError
from .packet_types import CONNACK, SUBACK
from .text import check_topic_filter, check_topic_name, check_utf8

# CONNACK return codes (3.2.2.3)
BAD_PROTOCOL_LEVEL = 1
IDENTIFIER_REJECTED = 2
SERVER_UNAVAILABLE = 3
BAD_CREDENTIALS = 4
NOT_AUTHORISED = 5


class Connect:
    """The fields of a CONNECT packet (3.1). `will`: topic name, payload, QoS, retain; or None."""

    def __init__(
        self,
        client_id: bytes,
        clean_session: bool,
        keep_alive_s: int,
        username: "bytes | None",
        password: "bytes | None",
        will: "tuple[bytes, bytes, int, bool] | None",
    ) -> None:
        self.client_id = client_id
        self.clean_session = clean_session
        self.keep_alive_s = keep_alive_s
        self.username = username
        self.password = password
        self.will = will


class UnsupportedLevel(ProtocolError):
    """The protocol level is not 4: answered with CONNACK 0x01 before the connection is closed [MQTT-3.1.2-2]."""


def decode_connect(buf: bytes, start: int, end: int) -> Connect:
    """CONNECT (3.1), checked whole: what does not conform is a ProtocolError, and gets no CONNACK [MQTT-3.1.4-1]."""
    if decode_field(buf, start, end, "protocol name") != b"MQTT":
        raise ProtocolError("MQTT-3.1.2-1", "the protocol name is not MQTT")
    at = start + 6
    if at + 4 > end:
        raise ProtocolError("3.1.2", "CONNECT ends inside its variable header")
    if buf[at] != 4:
        raise UnsupportedLevel(
            "MQTT-3.1.2-2", "protocol level " + str(buf[at]) + "; only 4 (MQTT 3.1.1) is spoken here"
        )
    flags = buf[at + 1]
    keep_alive_s = buf[at + 2] << 8 | buf[at + 3]
    at += 4
    _check_connect_flags(flags)

    client_id = decode_field(buf, at, end, "client identifier")  # [MQTT-3.1.3-3]
    check_utf8(client_id, "client identifier")  # [MQTT-3.1.3-4]
    at += 2 + len(client_id)
    will = username = password = None
    if flags & 4:  # [MQTT-3.1.2-9]
        topic = decode_field(buf, at, end, "will topic")
        check_topic_name(topic)  # [MQTT-3.1.3-10]
        at += 2 + len(topic)
        payload = decode_field(buf, at, end, "will message")
        at += 2 + len(payload)
        will = (topic, payload, flags >> 3 & 3, flags & 32 != 0)
    if flags & 128:  # [MQTT-3.1.2-19]
        username = decode_field(buf, at, end, "user name")
        check_utf8(username, "user name")  # [MQTT-3.1.3-11]
        at += 2 + len(username)
    if flags & 64:  # [MQTT-3.1.2-21]
        password = decode_field(buf, at, end, "password")
        at += 2 + len(password)
    if at != end:  # [MQTT-3.1.2-11] [MQTT-3.1.2-18] [MQTT-3.1.2-20]: nothing but what the flags announce
        raise ProtocolError("MQTT-3.1.4-1", "CONNECT has " + str(end - at) + " bytes behind its last field")
    return Connect(client_id, flags & 2 != 0, keep_alive_s, username, password, will)


def _check_connect_flags(flags: int) -> None:
    if flags & 1:
        raise ProtocolError("MQTT-3.1.2-3", "reserved flag set in CONNECT")
    if flags & 0x18 == 0x18:
        raise ProtocolError("MQTT-3.1.2-14", "will QoS 3")
    if not flags & 4:
        if flags & 0x18:
            raise ProtocolError("MQTT-3.1.2-13", "will QoS without will flag")
        if flags & 0x20:
            raise ProtocolError("MQTT-3.1.2-15", "will retain without will flag")
    if flags & 0xC0 == 0x40:
        raise ProtocolError("MQTT-3.1.2-22", "password without user name")


def decode_subscribe(buf: bytes, start: int, end: int) -> "tuple[int, list[tuple[bytes, int]]]":
    """SUBSCRIBE (3.8): packet identifier, topic filters with their requested QoS, at least one [MQTT-3.8.3-3]."""
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
    return packet_id, subscriptions


def decode_unsubscribe(buf: bytes, start: int, end: int) -> "tuple[int, list[bytes]]":
    """UNSUBSCRIBE (3.10): packet identifier, topic filters [MQTT-3.10.3-1], at least one [MQTT-3.10.3-2]."""
    packet_id = decode_packet_id(buf, start, end)
    at = start + 2
    if at == end:
        raise ProtocolError("MQTT-3.10.3-2", "UNSUBSCRIBE without topic filter")
    topic_filters = []
    while at < end:
        topic_filter = decode_field(buf, at, end, "topic filter")
        check_topic_filter(topic_filter)
        topic_filters.append(topic_filter)
        at += 2 + len(topic_filter)
    return packet_id, topic_filters


def encode_connack(session_present: bool, code: int) -> bytes:
    """CONNACK (3.2); a refusal never says session present [MQTT-3.2.2-4]."""
    return bytes((CONNACK, 2, 1 if session_present and not code else 0, code))


def encode_suback(packet_id: int, codes: bytes) -> bytes:
    """SUBACK (3.9): the identifier of its SUBSCRIBE [MQTT-3.8.4-2], a code for each filter in order [MQTT-3.9.3-1]."""
    return packet(SUBACK, packet_id.to_bytes(2, "big"), codes)


def decode_field(buf: bytes, at: int, end: int, what: str) -> bytes:
    """The length-prefixed field at `at` (1.5.3); the next one starts `2 + len` further on."""
    if at + 2 > end:
        raise ProtocolError("1.5.3", "packet ends before its " + what)
    stop = at + 2 + (buf[at] << 8 | buf[at + 1])
    if stop > end:
        raise ProtocolError("1.5.3", what + " is longer than its packet")
    return buf[at + 2 : stop]
