"""Batches of records as bytes, as the log of an SQLite store has them: one after the other, each behind the 4 bytes of
its length (of a broker's, then the number of its session), as core/records.py has them. CPython only.

A message that goes to many sessions is there once: the records of the others say so (SAME_PAYLOAD).

Many records are encoded at once for each commit, so this does in one step what `records.encode` does for one.
"""

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..core.records import Record

    SessionRecord = tuple[int, int, int, bytes, bytes, bytes]

# Length; number of the session; kind; number (48 bits); lengths of head (24 bits) and key
_SHORT = Struct(">IBHI")
_LONG = Struct(">IBHIBHH")
_SESSION_SHORT = Struct(">IIBHI")
_SESSION_LONG = Struct(">IIBHIBHH")
_LENGTH = Struct(">I")
_BODY = Struct(">BHI")
_LENGTHS = Struct(">BHH")

_LOW = 0xFFFFFFFF
SAME_PAYLOAD = 0x80  # added to the kind of a broker's record: its payload is that of the last one that had one
SAME_MIN = 16  # bytes of a payload that are worth it


def encode(batch: "Iterable[Record]") -> bytes:
    """The records of a client."""
    short = _SHORT.pack
    long = _LONG.pack
    pieces: list[bytes] = []
    for kind, number, head, payload, key in batch:
        if head or payload or key:
            size = len(head)
            pieces += (
                long(12 + size + len(payload) + len(key), kind, number >> 32, number & _LOW, size >> 16, size & 0xFFFF,
                     len(key)),
                head,
                key,
                payload,
            )  # fmt: skip
        else:
            pieces.append(short(7, kind, number >> 32, number & _LOW))
    return b"".join(pieces)


def decode(data: bytes) -> "list[Record]":
    """What `encode` made these bytes from."""
    records: list[Record] = []
    at = 0
    end = len(data)
    while at < end:
        after = at + 4 + _LENGTH.unpack_from(data, at)[0]
        records.append(_record(data, at + 4, after))
        at = after
    return records


def outlines(data: bytes) -> "Iterator[tuple[int, int, int, bytes, int]]":
    """Of each record that `encode` made these bytes from, all of which have a head: kind, number, bytes of head,
    payload and key together; of a kind from 0x40 on, the first 12 bytes of its payload; bytes of the key.
    """
    at = 0
    end = len(data)
    unpack = _LONG.unpack_from
    while at < end:
        size, kind, high, low, high_size, low_size, key_size = unpack(data, at)
        after = at + 4 + size
        payload = at + 16 + (high_size << 16 | low_size) + key_size
        yield (
            kind,
            high << 32 | low,
            size - 12,
            data[payload : min(payload + 12, after)] if kind & 0x40 else b"",
            key_size,
        )
        at = after


def encode_of_sessions(batch: "Iterable[SessionRecord]") -> bytes:
    """The records of a broker."""
    short = _SESSION_SHORT.pack
    long = _SESSION_LONG.pack
    pieces: list[bytes] = []
    last = b""
    for session, kind, number, head, payload, key in batch:
        if head or payload or key:
            size = len(head)
            if payload is last and len(payload) >= SAME_MIN:
                kind |= SAME_PAYLOAD
                payload = b""
            else:
                last = payload
            pieces += (
                long(16 + size + len(payload) + len(key), session, kind, number >> 32, number & _LOW, size >> 16,
                     size & 0xFFFF, len(key)),
                head,
                key,
                payload,
            )  # fmt: skip
        else:
            pieces.append(short(11, session, kind, number >> 32, number & _LOW))
    return b"".join(pieces)


def decode_of_sessions(data: bytes) -> "list[SessionRecord]":
    """What `encode_of_sessions` made these bytes from."""
    records: list[SessionRecord] = []
    last = b""
    at = 0
    end = len(data)
    while at < end:
        after = at + 4 + _LENGTH.unpack_from(data, at)[0]
        kind, number, head, payload, key = _record(data, at + 8, after)
        if kind & SAME_PAYLOAD:
            kind &= ~SAME_PAYLOAD
            payload = last
        elif head or payload or key:
            last = payload
        records.append((_LENGTH.unpack_from(data, at + 4)[0], kind, number, head, payload, key))
        at = after
    return records


def _record(data: bytes, at: int, end: int) -> "Record":
    kind, high, low = _BODY.unpack_from(data, at)
    if end - at < 12:
        return kind, high << 32 | low, b"", b"", b""
    high_size, low_size, key_size = _LENGTHS.unpack_from(data, at + 7)
    key = at + 12 + (high_size << 16 | low_size)
    payload = key + key_size
    return kind, high << 32 | low, data[at + 12 : key], data[payload:end], data[key:payload]
