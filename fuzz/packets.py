"""Random packet streams, from mostly valid to mostly broken, all from one random.Random."""

import random

from mqttlite.core import packet_types, wire5
from mqttlite.core.codec import packet as framed
from mqttlite.core.codec import prefixed, publish_head
from mqttlite.core.properties import with_properties
from tests.core.packets import ACKNOWLEDGEMENTS, EMPTY, Packet, encode

TEXTS = ("a", "a/b", "$SYS/x", "é", "\ufeff", "x" * 130, "/", " ", "\U0010ffff")
FILTERS = (*TEXTS, "#", "+", "a/#", "+/+", "/+/#")
# Bytes that mean something somewhere: flags, lengths, edges of UTF-8, wildcards.
PIECES = (
    b"\0",
    b"\xff",
    b"\x80",
    b"\x7f",
    b"#",
    b"+",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\0\0",
    b"\xff\xff",
    b"MQTT",
    b"\0\4MQTT\4",
)


EITHER = ("publish", "publish", "puback", "pubrec", "pubrel", "pubcomp")
CLIENT = (*EITHER, *EITHER, "subscribe", "unsubscribe", "pingreq")
SERVER = (*EITHER, *EITHER, "suback", "unsuback", "pingresp")
ANY = ("publish", *ACKNOWLEDGEMENTS, *EMPTY, "connect", "connack", "subscribe", "suback", "unsubscribe")


def packet(r: random.Random, to_server: bool) -> bytes:
    """A valid packet, most likely one that this end may get. Packet identifiers are few, so that they meet."""
    kind = r.choice(ANY if r.random() < 0.04 else CLIENT if to_server else SERVER)
    packet_id = r.choice((1, 1, 2, 2, 3, 4, 21, 65535))
    if kind == "publish":
        qos = r.randrange(3)
        fields = {"topic": r.choice(TEXTS), "payload": r.randbytes(r.choice((0, 1, 5, 200))), "qos": qos}
        fields |= {"dup": qos > 0 and r.random() < 0.4, "retain": r.random() < 0.3, "packet_id": packet_id}
        return encode(Packet(kind, fields))
    if kind == "connect":
        return connect(r)
    if kind == "connack":
        return encode(Packet(kind, {"session_present": r.random() < 0.5, "code": r.choice((0, 0, 1, 5))}))
    if kind == "subscribe":
        wanted = [(r.choice(FILTERS), r.randrange(3)) for _ in range(r.choice((1, 1, 2, 9)))]
        return encode(Packet(kind, {"packet_id": packet_id, "subscriptions": wanted}))
    if kind == "suback":
        codes = [r.choice((0, 1, 2, 128)) for _ in range(r.choice((1, 1, 2, 9)))]
        return encode(Packet(kind, {"packet_id": packet_id, "codes": codes}))
    if kind == "unsubscribe":
        return encode(Packet(kind, {"packet_id": packet_id, "topic_filters": [r.choice(FILTERS)]}))
    return encode(Packet(kind, {"packet_id": packet_id} if kind in ACKNOWLEDGEMENTS else {}))


def connect(r: random.Random) -> bytes:
    """A valid CONNECT."""
    username = r.choice((None, "u", ""))
    will = r.choice((None, None, (r.choice(TEXTS), r.randbytes(3), r.randrange(3), True)))
    fields = {"client_id": r.choice(("c", "d", "é" * 20)), "clean_session": r.random() < 0.4, "will": will}
    fields |= {"keep_alive_s": r.choice((0, 1, 60)), "username": username}
    return encode(Packet("connect", fields | {"password": None if username is None else r.choice((None, b"\0"))}))


# Blocks of properties, by what may have them; and some that nothing may have.
BLOCKS = (b"", b"", b"\x26\0\1n\0\1v", b"\x1f\0\2no", b"\x03\0\1t\x02\0\0\0\7", b"\x0b\7", b"\x08\0\1#", b"\x23\0\1")
REASONS = (0, 0, 0x10, 0x80, 0x87, 0x92)


def packet5(r: random.Random, to_server: bool) -> bytes:
    """As `packet`, of MQTT 5.0."""
    kind = r.choice(CLIENT if to_server else SERVER)
    if r.random() < 0.05:
        kind = r.choice((*CLIENT, *SERVER, "connect", "connack", "disconnect"))
    packet_id = r.choice((1, 1, 2, 2, 3, 4, 21, 65535))
    block = with_properties(r.choice(BLOCKS) if r.random() < 0.4 else b"", b"")
    identifier = packet_id.to_bytes(2, "big")
    if kind == "publish":
        flags = r.choice((0, 2, 4, 10, 12)) | (r.random() < 0.3)
        content = block + r.randbytes(r.choice((0, 1, 5, 200)))
        return publish_head(flags, r.choice(TEXTS).encode(), len(content)) + identifier * (flags & 6 > 0) + content
    if kind == "connect":
        return connect5(r)
    if kind == "connack":
        return framed(packet_types.CONNACK, bytes((r.random() < 0.5, r.choice(REASONS))), block)
    if kind == "disconnect":
        return framed(packet_types.DISCONNECT, b"" if r.random() < 0.3 else bytes((r.choice((0, 4, 0x8B)),)) + block)
    if kind in ("subscribe", "unsubscribe"):
        body = identifier + block
        for _ in range(r.choice((1, 1, 2, 9))):
            body += prefixed(r.choice(FILTERS).encode())
            body += bytes((r.choice((0, 1, 2, 0x2E)),)) if kind == "subscribe" else b""
        return framed(packet_types.SUBSCRIBE if kind == "subscribe" else packet_types.UNSUBSCRIBE, body)
    if kind in ("suback", "unsuback"):
        codes = bytes(r.choice((0, 1, 2, 0x11, 0x80)) for _ in range(r.choice((1, 1, 2, 9))))
        return framed(packet_types.SUBACK if kind == "suback" else packet_types.UNSUBACK, identifier, block, codes)
    if kind in ACKNOWLEDGEMENTS:
        rest = r.choice((b"", bytes((r.choice(REASONS),)), bytes((r.choice(REASONS),)) + block))
        return framed(ACKNOWLEDGEMENTS[kind], identifier, rest)
    return bytes((EMPTY[kind], 0))


def connect5(r: random.Random) -> bytes:
    """A valid CONNECT of MQTT 5.0."""
    will = r.choice((None, None, (b"w", r.randbytes(3), r.randrange(3), True)))
    limits = {"receive_maximum": r.choice((1, 20, 65535)), "size_max": r.choice((0, 1000))}
    client_id = r.choice((b"c", b"d", b""))
    return wire5.encode_connect(client_id, r.random() < 0.4, 60, None, r.choice((None, b"\0")), will, **limits)


def mutated(r: random.Random, data: bytes) -> bytes:
    """`data` with one thing wrong, most likely."""
    broken = bytearray(data)
    at = r.randrange(len(broken))
    how = r.randrange(8)
    if how == 0:
        broken[at] ^= 1 << r.randrange(8)
    elif how == 1:
        broken[at] = r.randrange(256)
    elif how == 2:
        del broken[at : at + r.randrange(1, 4)]
    elif how == 3:
        broken[at:at] = r.choice(PIECES)
    elif how == 4:
        broken[at : at + 2] = r.choice(PIECES)
    elif how == 5:
        broken[1 % len(broken)] = max(0, min(127, broken[1 % len(broken)] + r.choice((-2, -1, 1, 2)))) & 127
    elif how == 6:
        broken[0] ^= r.choice((1, 2, 4, 8, 6, 16, 128))
    else:
        broken = broken[: max(1, at)]
    return bytes(broken)


def stream(r: random.Random, to_server: bool, version: int = 4) -> bytes:
    """Some packets in a row, to one end; of one stream in two, each may be broken; of one in ten, nothing is whole."""
    kind = r.random()
    if kind < 0.1:
        return r.randbytes(r.randrange(1, 40))
    damage = r.choice((0.0, 0.0, 0.1, 0.5))
    one_of = packet5 if version == 5 else packet
    packets = [one_of(r, to_server) for _ in range(r.randrange(1, 16))]
    return b"".join(mutated(r, one) if r.random() < damage else one for one in packets)


def chunks(r: random.Random, data: bytes) -> list[bytes]:
    """`data` in pieces."""
    pieces = []
    while data:
        size = r.choice((1, 2, 3, 7, 50, 1000))
        pieces.append(data[:size])
        data = data[size:]
    return pieces
