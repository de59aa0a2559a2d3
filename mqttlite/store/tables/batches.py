"""Batches of records as bytes, as the log of an SQLite store has them: one after the other, each behind the 4 bytes of
its length (of a broker's, then the number of its session), as core/records.py has them. CPython only.

A message that goes to many sessions is there once: the records of the others say so (SAME_PAYLOAD). What comes in runs
is written as such:

    kind     number                   head, payload, key
    RUN      of the first message     messages whose numbers follow each other: the head that all have; their payloads,
                                      one behind the other; how many they are (4 bytes). In memory, the payload is a
                                      list of the messages, and there is no key
    NUMBERS  the kind of all of them  records that are numbers alone: 8 bytes for each; in memory, a list of them

Many records are encoded at once for each commit, so this does in one step what `records.encode` does for one.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from struct import Struct, pack, unpack
from typing import TYPE_CHECKING

from ...core.records import ACCEPTED

if TYPE_CHECKING:
    from typing import Any

    from ...core.records import Record

    Content = tuple[bytes, bytes, bytes]  # head, payload, key
    SessionRecord = tuple[int, int, int, bytes, Any, bytes]

# Length; number of the session; kind; number (48 bits); lengths of head (24 bits) and key
_SHORT = Struct(">IBHI")
_LONG = Struct(">IBHIBHH")
_SESSION_SHORT = Struct(">IIBHI")
_SESSION_LONG = Struct(">IIBHIBHH")
_LENGTH = Struct(">I")
_BODY = Struct(">BHI")
_LENGTHS = Struct(">BHH")

_LOW = 0xFFFFFFFF
RUN = 41
NUMBERS = 42
_head_of = itemgetter(0)
_key_of = itemgetter(2)
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
    """Of each message in a block: kind, number, bytes of head, payload and key together; of a kind from 0x40 on, the
    first 12 bytes of its payload; bytes of the key.
    """
    at = 0
    end = len(data)
    unpack = _LONG.unpack_from
    while at < end:
        size, kind, high, low, high_size, low_size, key_size = unpack(data, at)
        after = at + 4 + size
        head_size = high_size << 16 | low_size
        number = high << 32 | low
        payload = at + 16 + head_size + key_size
        if kind == RUN:
            count = int.from_bytes(data[payload - 4 : payload], "big")
            each = head_size + (after - payload) // count
            for seq in range(number, number + count):
                yield ACCEPTED, seq, each, b"", 0
        else:
            yield kind, number, size - 12, data[payload : min(payload + 12, after)] if kind & 0x40 else b"", key_size
        at = after


def encode_of_sessions(batch: "Iterable[SessionRecord]") -> bytes:
    """The records of a broker."""
    short = _SESSION_SHORT.pack
    long = _SESSION_LONG.pack
    pieces: list[bytes] = []
    last = b""
    run: list[Content] = []
    joined = b""
    for session, kind, number, head, payload, key in batch:
        if head or payload or key:
            size = len(head)
            if kind == RUN:
                key = len(payload).to_bytes(4, "big")
                if payload is not run:
                    run = payload
                    joined = b"".join([message[1] for message in run])
                payload = joined
            elif kind == NUMBERS:
                payload = pack(f">{len(payload)}Q", *payload)
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
    run: list[Content] = []
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
            run = []
        if kind == RUN:
            if not run or run[0][0] != head:
                run = messages_in(head, payload, key)
            records.append((_LENGTH.unpack_from(data, at + 4)[0], RUN, number, head, run, b""))
            at = after
            continue
        if kind == NUMBERS:
            payload = list(unpack(f">{len(payload) >> 3}Q", payload))  # type: ignore[assignment]
        records.append((_LENGTH.unpack_from(data, at + 4)[0], kind, number, head, payload, key))
        at = after
    return records


def encode_block(first: int, messages: "Iterable[Content]") -> bytes:
    """Messages whose numbers follow each other, with as few records as can be; `decode_block` makes them one by one."""
    pieces: list[bytes] = []
    number = first
    for head, group in groupby(messages, _head_of):
        run = list(group)
        count = len(run)
        size = len(head)
        payloads = [message[1] for message in run]
        if count == 1 or len(set(map(len, payloads))) > 1 or any(map(_key_of, run)):
            records = [(ACCEPTED, n, *message) for n, message in enumerate(run, number)]
            pieces.append(encode(records))
        else:
            payload = b"".join(payloads)
            pieces += (
                _LONG.pack(16 + size + len(payload), RUN, number >> 32, number & _LOW, size >> 16, size & 0xFFFF, 4),
                head,
                count.to_bytes(4, "big"),
                payload,
            )
        number += count
    return b"".join(pieces)


def decode_block(data: bytes) -> "Iterator[Record]":
    """The records that `encode` or `encode_block` made these bytes from; of each message one."""
    for record in decode(data):
        if record[0] == RUN:
            _, number, head, payload, key = record
            for message in messages_in(head, payload, key):
                yield (ACCEPTED, number, *message)
                number += 1
        else:
            yield record


def messages_in(head: bytes, payload: bytes, key: bytes) -> "list[Content]":
    """Those of a RUN."""
    count = int.from_bytes(key, "big")
    size = len(payload) // count
    if not size:
        return [(head, b"", b"")] * count
    return [(head, payload[at : at + size], b"") for at in range(0, size * count, size)]


def _record(data: bytes, at: int, end: int) -> "Record":
    kind, high, low = _BODY.unpack_from(data, at)
    if end - at < 12:
        return kind, high << 32 | low, b"", b"", b""
    high_size, low_size, key_size = _LENGTHS.unpack_from(data, at + 7)
    key = at + 12 + (high_size << 16 | low_size)
    payload = key + key_size
    return kind, high << 32 | low, data[at + 12 : key], data[payload:end], data[key:payload]
