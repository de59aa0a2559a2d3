"""What both ends and both versions of MQTT have alike: fields, PUBLISH (3.3), its acknowledgements (3.4 to 3.7). What
differs by version is in the wires (wire.py). Both runtimes.

Pure functions between bytes and fields. A decoder is given the whole buffer and where the packet's body starts and ends
in it, so that nothing is copied before it is wanted.

A message travels inside mqttlite as `(head, payload)`: the PUBLISH packet as it goes on the wire without its packet
identifier, which belongs between the two. `head` is encoded once, however often and to however many it is sent.
"""

from binascii import crc32

from . import const
from .errors import broken

REMAINING_MAX = const(268435455)  # four bytes of seven bits (2.2.3)


def remaining_length(n: int) -> bytes:
    """`n` as a Remaining Length field (2.2.3); ProtocolError where it does not fit."""
    if n > REMAINING_MAX:
        raise broken("2.2.3 packet", n)
    field = b""
    while n > 127:
        field += bytes((n & 127 | 128,))
        n >>= 7
    return field + bytes((n,))


def packet(first: int, *pieces: bytes) -> bytes:
    """A whole packet from its first byte and the pieces of its body."""
    body = b"".join(pieces)
    return bytes((first,)) + remaining_length(len(body)) + body


def prefixed(data: bytes) -> bytes:
    """`data` behind its length in two bytes (1.5.3)."""
    if len(data) > 65535:
        raise broken("1.5.3 field")
    return len(data).to_bytes(2, "big") + data


def publish_head(flags: int, topic: bytes, payload_size: int) -> bytes:
    """The start of a PUBLISH packet, up to where its packet identifier (QoS 1, 2) or payload (QoS 0) begins.

    `flags`: QoS << 1 | RETAIN; DUP is set when it is sent again. `topic` has been checked (text.check_topic_name).
    """
    n = len(topic)
    return (
        bytes((0x30 | flags,))
        + remaining_length(n + payload_size + (4 if flags & 6 else 2))  # [MQTT-2.3.1-5]: no identifier at QoS 0
        + n.to_bytes(2, "big")
        + topic
    )


def repeated(head: bytes) -> bytes:
    """`head` with DUP set [MQTT-3.3.1-1]."""
    return bytes((head[0] | 8,)) + head[1:]


def released(head: bytes) -> bytes:
    """`head` of a message that the peer owns (PUBREC): QoS bits 3, which no PUBLISH has. It is never sent."""
    return bytes((head[0] | 6,)) + head[1:]


def body_at(data: bytes) -> int:
    """Where the variable header of a packet begins: behind its first byte and its Remaining Length (2.2)."""
    at = 1
    while data[at] > 127:
        at += 1
    return at + 1


def topic_of(head: bytes) -> bytes:
    """The topic name in `head`."""
    return head[body_at(head) + 2 :]


def acknowledgement(first: int, packet_id: int, reason: int = 0) -> bytes:
    """PUBACK, PUBREC, PUBREL, PUBCOMP or UNSUBACK: the identifier of what it answers [MQTT-2.3.1-6] [MQTT-2.3.1-7].
    `reason`: only 5.0 has a reason code, and leaves it out when it is 0.
    """
    if reason:
        return bytes((first, 3, packet_id >> 8, packet_id & 255, reason))
    return bytes((first, 2, packet_id >> 8, packet_id & 255))


def checksum(topic: bytes, payload: bytes) -> int:
    """Of a message's content. Begun with a length: else a topic that ends where another's payload begins would look
    the same.
    """
    return crc32(payload, crc32(topic, len(topic)))


def decode_packet_id(buf: bytes, at: int, end: int) -> int:
    """The packet identifier at `at`; it must be there and not be zero [MQTT-2.3.1-1]."""
    if at + 2 > end:
        raise broken("2.3.1")
    packet_id = buf[at] << 8 | buf[at + 1]
    if not packet_id:
        raise broken("MQTT-2.3.1-1")
    return packet_id


def decode_acknowledgement(buf: bytes, start: int, end: int) -> int:
    """The packet identifier of a packet whose body is nothing else, as those of 3.1.1 are."""
    if end - start != 2:
        raise broken("2.2.3 acknowledgement", end - start)
    return decode_packet_id(buf, start, end)
