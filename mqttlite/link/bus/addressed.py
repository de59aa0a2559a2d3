"""The link of one device on a bus. Both runtimes.

What differs from a line of its own: a frame has an address; nothing leaves but in turns; and because the ends take
turns, each knows when it hears the other what has become of its last turn: what is not acknowledged then is lost. No
time-out is needed for that, nor is one right: the next turn is when the bus has been round.
"""

import binascii
import struct

from mqttlite.core import const

from ..frames import ACK, encode
from ..link import SILENT, Link

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from typing import Any

ADDRESS_MAX = const(127)
FRAME_MARK = const(0x80)
FROM_DEVICE = const(0x40)
TURN_END = const(0x20)
PARITY = const(0x10)
COUNT = const(0x0F)

IN_FRONT = const(3)  # bytes of a frame at most, beside the link's own
_LATENCY_MS = const(2000)  # a turn may be far away


class AddressedLink(Link):
    """The link between the master and the device at `address`, 1..127; `direction`: FROM_DEVICE at the device's end, 0
    at the master's. `options` as of Link.

    The owner feeds what has come for it into `take`; a turn begins with `first`, and goes on with `transmit`. `parity`:
    PARITY or 0, of its question.
    """

    def __init__(self, epoch: int, address: int, direction: int, **options: "Any") -> None:
        if not 0 < address <= ADDRESS_MAX:
            raise ValueError("address must be 1..127")
        Link.__init__(self, epoch, latency_ms=_LATENCY_MS, **options)
        self.address = address
        self._control = FRAME_MARK | direction
        self._seed_out = binascii.crc32(bytes((address, direction)))
        self.seed = binascii.crc32(bytes((address, direction ^ FROM_DEVICE)))
        self._begins = False
        self.parity = 0

    def take(self, data: "bytes | bytearray | memoryview", now: int) -> bool:
        """What stood between address with control and 0x00; whether it is a frame of the peer's."""
        self.now = now
        size = len(data)
        stats = self.stats
        before = stats.received
        stats.received_bytes += size
        if 1 < size <= len(self._in):
            self._in[:size] = data
            self._in_size = size
            self._chunk(now)
        else:
            stats.damaged += 1
        return stats.received > before

    def heard_all(self) -> None:
        """The peer has spoken after all that was sent so far: what it has not acknowledged by now is lost."""
        self._sender.lose()

    def first(self, now: int, bare: bool = False) -> bytearray:
        """The first frame of a turn, which is there in any case; `bare`: without data. After it, `transmit`."""
        self._begins = True
        self._syn_at = min(self._syn_at, now)
        self.check(now)
        frame = b"" if bare and self.up and not self._answer else self.transmit(now)
        return frame or self._frame(ACK, 0, b"", now)  # type: ignore[return-value]

    def between(self, now: int, begins: bool) -> "bytes | bytearray":
        """A frame with something new, outside of its turns; empty where there is none. `begins`: it is the first of
        what leaves.
        """
        if not self.up or self._answer or self._ask or not self._sender.fresh():
            return b""
        self._begins = begins
        return self.transmit(now)

    def check(self, now: int) -> None:
        """End the session when the peer has been silent for too long."""
        if self.up and now >= self.silent_at():
            self._fall(SILENT, now)

    def silent_at(self) -> int:
        """When it will have been."""
        return self._heard_at + 4 * self._keepalive_ms

    def has_more(self) -> bool:
        """There is something for another turn."""
        return self._answer or self._short or bool(self._log) or self._sender.waits()

    def _outside(self) -> bool:
        """No frame; text in it is nobody's."""
        self.stats.garbage_bytes += self._in_size
        self._in_size = 0
        return False

    def _out(
        self, first: int, tag: int, seq: int, ack: int, gaps: int, credit: int, payload: "bytes | bytearray", now: int
    ) -> bytearray:
        at = int(self._begins)
        self._begins = False
        frame = encode(first, tag, seq, ack, gaps, credit, payload, at + 2, self._seed_out)
        struct.pack_into("BB", frame, at, self.address, self._control | self.parity)
        self.stats.sent += 1
        self.stats.sent_bytes += len(frame)
        return frame


def end_turn(frame: "bytearray", count: int) -> None:
    """`frame` is the last one of a turn."""
    frame[1 if frame[0] else 2] |= TURN_END | count


def ends_turn(frame: "bytes | bytearray") -> bool:
    """Whether it is."""
    return bool(frame[1 if frame[0] else 2] & TURN_END)
