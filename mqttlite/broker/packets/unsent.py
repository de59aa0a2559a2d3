"""What never left of the output of a connection that is gone."""

from ...core.packet_types import PUBLISH
from ...core.properties import varint

DUP = 8
QOS_BITS = 6


def first_new(data: bytes) -> int:
    """The packet identifier of the first PUBLISH in `data` (whole packets) that has one and no DUP; 0: none has."""
    at, end = 0, len(data)
    while at < end:
        first = data[at]
        size, body = varint(data, at + 1, end)
        if first & 0xF0 == PUBLISH and first & QOS_BITS and not first & DUP:
            start = body + 2 + int.from_bytes(data[body : body + 2], "big")
            return int.from_bytes(data[start : start + 2], "big")
        at = body + size
    return 0
