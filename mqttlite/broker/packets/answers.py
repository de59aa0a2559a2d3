"""Acknowledgements in runs: who has been sent twenty messages answers with twenty packets of four bytes, under
identifiers that count up. Such a run is recognised by comparing it with a piece of the row of all of them, and written
as such a piece. Likewise their identifiers alone. Imports core.
"""

import sys
from array import array
from functools import cache
from struct import unpack

from ...core.packet_types import PUBACK, PUBCOMP, PUBREC, PUBREL
from ...core.session import SPAN

SIZE = 4  # bytes of an acknowledgement without reason code (3.4 to 3.7)
LONGEST = 256  # packets in a run


class _Rows(dict[int, bytes]):
    """By first byte: the acknowledgements of all packet identifiers, from 1 on."""

    def __missing__(self, first: int) -> bytes:
        assert first in (PUBACK, PUBREC, PUBREL, PUBCOMP)
        row = bytearray(SIZE * SPAN)
        row[0::4] = bytes((first,)) * SPAN
        row[1::4] = b"\2" * SPAN
        numbers = range(1, SPAN + 1)
        row[2::4] = bytes([number >> 8 for number in numbers])
        row[3::4] = bytes([number & 255 for number in numbers])
        found = self[first] = bytes(row)
        return found


_row = _Rows().__getitem__


def run(first: int, packet_id: int, count: int) -> bytes:
    """The packets with this first byte, for `count` identifiers from `packet_id` on."""
    at = SIZE * (packet_id - 1)
    return _row(first)[at : at + SIZE * count]


def are_all(first: int, data: bytes) -> bool:
    """Whether `data` is acknowledgements with this first byte, and nothing else."""
    count = len(data) // SIZE
    return data[0::SIZE] == bytes((first,)) * count and data[1::SIZE] == b"\2" * count


def length(buf: bytes, at: int, first: int, packet_id: int) -> int:
    """How many packets stand in `buf` from `at` on that acknowledge `packet_id`, `packet_id + 1` and so on; the one at
    `at` is known to.
    """
    row = _row(first)
    most = min((len(buf) - at) // SIZE, SPAN + 1 - packet_id, LONGEST)
    start = SIZE * (packet_id - 1)
    if buf[at : at + SIZE * most] == row[start : start + SIZE * most]:
        return most
    least = 1
    most -= 1
    while least < most:
        middle = (least + most + 1) // 2
        if buf[at + SIZE * least : at + SIZE * middle] == row[start + SIZE * least : start + SIZE * middle]:
            least = middle
        else:
            most = middle - 1
    return least


@cache
def _identifiers() -> bytes:
    """All packet identifiers as they are sent, from 1 on."""
    numbers = array("H", range(1, SPAN + 1))
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers.tobytes()


def identifiers(packet_id: int, count: int) -> tuple[bytes, ...]:
    """As they are sent: `count` of them from `packet_id` on, none of them above the last one."""
    if count == 1:
        return (packet_id.to_bytes(2, "big"),)
    at = 2 * packet_id - 2
    return unpack("2s" * count, _identifiers()[at : at + 2 * count])


def count_up(buf: bytes, at: int, stride: int, count: int) -> bool:
    """Whether the identifiers that stand in `buf` at `at`, and every `stride` bytes behind, count up from the first."""
    start = 2 * (buf[at] << 8 | buf[at + 1]) - 2
    row = _identifiers()[start : start + 2 * count] if start >= 0 else b""
    last = at + stride * (count - 1) + 2
    return buf[at + 1 : last : stride] == row[1::2] and buf[at:last:stride] == row[0::2]
