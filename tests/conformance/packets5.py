"""What the packets of MQTT 5.0 from a client may have: table 2-4 of the standard, and packets around a block of
properties.
"""

from typing import NamedTuple

from mqttlite.core.codec import remaining_length
from tests.broker.five import packet, prefixed

# -- table 2-4


class Property(NamedTuple):
    number: int
    good: bytes  # a value
    packets: str
    bad: tuple[bytes, ...] = ()  # values that are a protocol error
    unreadable: tuple[bytes, ...] = ()  # values that cannot be read
    many: bool = False


TEXT = prefixed(b"a")
NOT_TEXT = (prefixed(b"\xed\xa0\x80"), prefixed(b"a\0"), prefixed(b"\xff"))
FLAG = (b"\2", b"\xff")
ACKS = "PUBACK PUBREC PUBREL PUBCOMP"

TABLE = {
    "payload format indicator": Property(0x01, b"\1", "PUBLISH WILL", FLAG),
    "message expiry interval": Property(0x02, b"\0\0\0\0", "PUBLISH WILL"),
    "content type": Property(0x03, TEXT, "PUBLISH WILL", (), NOT_TEXT),
    "response topic": Property(0x08, TEXT, "PUBLISH WILL", (), (*NOT_TEXT, prefixed(b"a/#"), prefixed(b"+"))),
    "correlation data": Property(0x09, prefixed(b"\0\xff"), "PUBLISH WILL"),
    "subscription identifier": Property(
        0x0B, b"\xff\xff\xff\x7f", "SUBSCRIBE", (b"\0",), (b"\x80\0", b"\xff\xff\xff\xff\1")
    ),
    "session expiry interval": Property(0x11, b"\0\0\0\0", "CONNECT DISCONNECT"),
    "assigned client identifier": Property(0x12, TEXT, ""),
    "server keep alive": Property(0x13, b"\0\1", ""),
    "authentication method": Property(0x15, TEXT, "CONNECT AUTH", (), NOT_TEXT),
    "authentication data": Property(0x16, prefixed(b"\0\xff"), "CONNECT AUTH"),
    "request problem information": Property(0x17, b"\0", "CONNECT", FLAG),
    "will delay interval": Property(0x18, b"\0\0\0\0", "WILL"),
    "request response information": Property(0x19, b"\1", "CONNECT", FLAG),
    "response information": Property(0x1A, TEXT, ""),
    "server reference": Property(0x1C, TEXT, ""),
    "reason string": Property(0x1F, TEXT, ACKS + " DISCONNECT AUTH", (), NOT_TEXT),
    "receive maximum": Property(0x21, b"\0\1", "CONNECT", (b"\0\0",)),
    "topic alias maximum": Property(0x22, b"\0\0", "CONNECT"),
    "topic alias": Property(0x23, b"\0\1", "PUBLISH"),
    "maximum qos": Property(0x24, b"\1", ""),
    "retain available": Property(0x25, b"\1", ""),
    "user property": Property(
        0x26,
        TEXT + TEXT,
        f"CONNECT WILL PUBLISH SUBSCRIBE UNSUBSCRIBE DISCONNECT AUTH {ACKS}",
        (),
        (*(text + TEXT for text in NOT_TEXT), *(TEXT + text for text in NOT_TEXT)),
        True,
    ),
    "maximum packet size": Property(0x27, b"\0\0\1\0", "CONNECT", (b"\0\0\0\0",)),
    "wildcard subscription available": Property(0x28, b"\1", ""),
    "subscription identifier available": Property(0x29, b"\1", ""),
    "shared subscription available": Property(0x2A, b"\1", ""),
}
UNKNOWN = sorted(set(range(256)) - {each.number for each in TABLE.values()})


def block(content: bytes) -> bytes:
    return remaining_length(len(content)) + content


def with_block(kind: str, content: bytes) -> bytes:
    """A packet with these bytes for properties, and all else as it should be."""
    properties = block(content)
    if kind == "CONNECT":
        return packet(0x10, b"\0\4MQTT\5\2\0\0" + properties + prefixed(b"c"))
    if kind == "WILL":
        return packet(0x10, b"\0\4MQTT\5\6\0\0\0" + prefixed(b"c") + properties + prefixed(b"w") + prefixed(b"x"))
    if kind == "PUBLISH":
        return packet(0x32, prefixed(b"t") + b"\0\1" + properties + b"x")
    if kind == "SUBSCRIBE":
        return packet(0x82, b"\0\1" + properties + prefixed(b"t") + b"\0")
    if kind == "UNSUBSCRIBE":
        return packet(0xA2, b"\0\1" + properties + prefixed(b"t"))
    if kind == "DISCONNECT":
        return packet(0xE0, b"\0" + properties)
    first = {"PUBACK": 0x40, "PUBREC": 0x50, "PUBREL": 0x62, "PUBCOMP": 0x70}[kind]
    return packet(first, b"\0\7\0" + properties)


PACKETS = ("CONNECT", "WILL", "PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE", "DISCONNECT", *ACKS.split())  # AUTH: test_auth5
