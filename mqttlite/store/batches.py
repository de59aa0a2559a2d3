"""Batches of records as bytes, as the log of an SQLite store has them: one after the other, each behind the 4 bytes of
its length (of a broker's, then the number of its session), as core/records.py has them. CPython only.

Many records are encoded at once for each commit, so this does in one step what `records.encode` does for one.
"""

from collections.abc import Iterable
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


def encode_of_sessions(batch: "Iterable[SessionRecord]") -> bytes:
    """The records of a broker."""
    short = _SESSION_SHORT.pack
    long = _SESSION_LONG.pack
    pieces: list[bytes] = []
    for session, kind, number, head, payload, key in batch:
        if head or payload or key:
            size = len(head)
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
    at = 0
    end = len(data)
    while at < end:
        after = at + 4 + _LENGTH.unpack_from(data, at)[0]
        records.append((_LENGTH.unpack_from(data, at + 4)[0], *_record(data, at + 8, after)))
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
