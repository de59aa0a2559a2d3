"""A device's end of a bus: it listens to everything, and speaks when it is asked. Both runtimes.

A device that comes too late must not speak: somebody else has the bus by then. So an answer begins only when no more
than a driver's junk has arrived behind the question, and not before `turnaround_ms`, within which more would have been
read.

Has the face of a Link towards the shell (serial/line.py): receive, transmit, deadline, reset, on_work.
"""

from mqttlite.core import const

from ..frames import MAX_FRAME
from ..link import ignore
from .addressed import COUNT, FRAME_MARK, FROM_DEVICE, PARITY, TURN_END, AddressedLink, end_turn

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Callable

_FAR_MS = const(60000)
_JUNK = const(2)  # bytes that a driver leaves on the wires when it lets go of them


class BusDevice:
    """The end of `link`, an AddressedLink with FROM_DEVICE, on the bus.

    `turnaround_ms`: from the end of a question to the answer: the master's driver has let go of the wires by then.
    Attributes: `asked`: questions so far; `stale`: such as came too late to be answered.
    """

    def __init__(self, link: AddressedLink, turnaround_ms: int = 1) -> None:
        self.link = link
        self.asked = self.stale = 0
        self.on_work: "Callable[[], object]" = ignore
        self._turnaround_ms = turnaround_ms
        self._in = bytearray(MAX_FRAME)
        # Of the frame that arrives: bytes of it that are here; -1: it is for somebody else, or too long.
        self._size = 0
        self._turn_at = 0  # when the answer begins; 0: no turn
        self._behind = 0  # bytes that came after the question
        self._now = 0
        self._left = 0  # frames that it may still have
        self._next: "bytes | bytearray" = b""  # made already, since the last frame has to say that it is

    def receive(self, data: "bytes | bytearray", now: int) -> None:
        """Bytes as they came from the bus, in any portions."""
        link = self.link
        own = self._in
        self._now = now
        at = 0
        end = len(data)
        while at < end:
            if self._turn_at and not self._next:
                self._behind += end - at
                if self._behind > _JUNK:
                    self._turn_at = 0
                    self.stale += 1
            zero = data.find(b"\0", at)
            till = zero if zero >= 0 else end
            have = self._size
            if not have and till > at and data[at] != link.address:
                have = -1
            size = till - at
            if have >= 0 and size:
                if have + size > len(own):
                    have = -1
                else:
                    own[have : have + size] = memoryview(data)[at:till]
                    have += size
            at = till
            if zero >= 0:
                at += 1
                if have > 2 and own[1] & (FRAME_MARK | FROM_DEVICE) == FRAME_MARK:
                    control = own[1]
                    if link.take(memoryview(own)[2:have], now) and control & TURN_END:
                        link.heard_all()
                        link.parity = control & PARITY
                        self.asked += 1
                        self._left = max(control & COUNT, 1)
                        self._behind = 0
                        self._turn_at = now + self._turnaround_ms
                have = 0
            self._size = have

    def transmit(self, now: int) -> "bytes | bytearray":
        """The next frame of the answer; empty: not its turn."""
        link = self.link
        self._now = now
        if not self._turn_at or now < self._turn_at:
            link.check(now)
            return b""
        frame = self._next or link.first(now)
        self._left -= 1
        self._next = link.transmit(now) if self._left else b""
        if not self._next:
            self._turn_at = 0
            end_turn(frame, int(link.has_more()))  # type: ignore[arg-type]
        return frame

    def deadline(self) -> int:
        """When `transmit` should be called at the latest."""
        if self._turn_at:
            return self._turn_at
        return self.link.silent_at() if self.link.up else self._now + _FAR_MS

    def reset(self, now: int) -> None:
        """The port is gone."""
        self._size = self._turn_at = 0
        self._next = b""
        self.link.reset(now)
