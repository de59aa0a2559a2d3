"""The packets that both roles send: PUBLISH (3.3) and its acknowledgements (3.4 to 3.7). Both runtimes.

Pure functions between bytes and fields. A decoder is given the whole buffer and where the packet's body starts and ends
in it, so that nothing is copied before it is wanted.

A message travels inside mqttlite as `(head, payload)`: the PUBLISH packet as it goes on the wire without its packet
identifier, which belongs between the two. `head` is encoded once, however often and to however many it is sent.
"""

from .errors import ProtocolError

# First byte of each packet that has only one: type and reserved flags [MQTT-2.2.2-1].
CONNECT = 0x10
CONNACK = 0x20
PUBLISH = 0x30  # | DUP 8 | QoS << 1 | RETAIN 1
PUBACK = 0x40
PUBREC = 0x50
PUBREL = 0x62
PUBCOMP = 0x70
SUBSCRIBE = 0x82
SUBACK = 0x90
UNSUBSCRIBE = 0xA2
UNSUBACK = 0xB0
PINGREQ = 0xC0
PINGRESP = 0xD0
DISCONNECT = 0xE0

REMAINING_MAX = 268435455  # four bytes of seven bits (2.2.3)


def remaining_length(n: int) -> bytes:
    """`n` as a Remaining Length field (2.2.3); ProtocolError where it does not fit."""
    if n < 128:
        return bytes((n,))
    if n < 16384:
        return bytes((n & 127 | 128, n >> 7))
    if n > REMAINING_MAX:
        raise ProtocolError("2.2.3", "packet of " + str(n) + " bytes is longer than 268435455")
    if n < 2097152:
        return bytes((n & 127 | 128, n >> 7 & 127 | 128, n >> 14))
    return bytes((n & 127 | 128, n >> 7 & 127 | 128, n >> 14 & 127 | 128, n >> 21))


def packet(first: int, *pieces: bytes) -> bytes:
    """A whole packet from its first byte and the pieces of its body."""
    body = b"".join(pieces)
    return bytes((first,)) + remaining_length(len(body)) + body


def prefixed(data: bytes) -> bytes:
    """`data` behind its length in two bytes (1.5.3)."""
    if len(data) > 65535:
        raise ProtocolError("1.5.3", "field longer than 65535 bytes")
    return len(data).to_bytes(2, "big") + data


def publish_head(flags: int, topic: bytes, payload_size: int) -> bytes:
    """The start of a PUBLISH packet, up to where its packet identifier (QoS 1, 2) or payload (QoS 0) begins.

    `flags`: QoS << 1 | RETAIN; DUP is set when it is sent again. `topic` has been checked (text.check_topic_name).
    """
    n = len(topic)
    return (
        bytes((PUBLISH | flags,))
        + remaining_length(n + payload_size + (4 if flags & 6 else 2))  # [MQTT-2.3.1-5]: no identifier at QoS 0
        + n.to_bytes(2, "big")
        + topic
    )


def head_topic(head: bytes) -> bytes:
    """The topic name inside `head`, which publish_head made."""
    at = 1
    while head[at] & 128:
        at += 1
    return head[at + 3 :]


def repeated(head: bytes) -> bytes:
    """`head` with DUP set [MQTT-3.3.1-1]."""
    return bytes((head[0] | 8,)) + head[1:]


def acknowledgement(first: int, packet_id: int) -> bytes:
    """PUBACK, PUBREC, PUBREL, PUBCOMP or UNSUBACK: the identifier of what it answers [MQTT-2.3.1-6] [MQTT-2.3.1-7]."""
    return bytes((first, 2, packet_id >> 8, packet_id & 255))


def decode_packet_id(buf: bytes, at: int, end: int) -> int:
    """The packet identifier at `at`; it must be there and not be zero [MQTT-2.3.1-1]."""
    if at + 2 > end:
        raise ProtocolError("2.3.1", "packet ends before its packet identifier")
    packet_id = buf[at] << 8 | buf[at + 1]
    if not packet_id:
        raise ProtocolError("MQTT-2.3.1-1", "packet identifier 0")
    return packet_id


def decode_acknowledgement(buf: bytes, start: int, end: int) -> int:
    """The packet identifier of a packet whose body is nothing else."""
    if end - start != 2:
        raise ProtocolError("2.2.3", "acknowledgement of " + str(end - start) + " bytes instead of 2")
    return decode_packet_id(buf, start, end)


def decode_field(buf: bytes, at: int, end: int, what: str) -> bytes:
    """The length-prefixed field at `at` (1.5.3); the next one starts `2 + len` further on."""
    if at + 2 > end:
        raise ProtocolError("1.5.3", "packet ends before its " + what)
    stop = at + 2 + (buf[at] << 8 | buf[at + 1])
    if stop > end:
        raise ProtocolError("1.5.3", what + " is longer than its packet")
    return buf[at + 2 : stop]
