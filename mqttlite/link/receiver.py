"""The receiving half of selective repeat: order, duplicates, when to acknowledge, and the credit to give back.

Both runtimes. No clock: `now` is an argument, in milliseconds.
"""

from mqttlite.core import const

from .frames import MAX_WINDOW

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .stats import Stats


class Receiver:
    """One per link; `reset` begins a session.

    Whatever the peer sends, the owner holds at most `window` bytes and this object at most 16 frames.
    """

    def __init__(self, stats: "Stats", window: int, ack_delay_ms: int) -> None:
        self._stats = stats
        self.window = window
        self._ack_delay_ms = ack_delay_ms
        self.reset()

    def reset(self) -> None:
        """Forgets everything: the peer counts from 0 again."""
        self.expected = self._unacknowledged = self._delivered = self._consumed = self._told = 0
        self.ack_at: "int | None" = None
        self.damaged = False
        self._early: "dict[int, tuple[int, bytes]]" = {}

    def accept(self, seq: int, channel: int, payload: memoryview, now: int) -> bool:
        """True: this frame is the expected one; deliver it, then what `next_early` gives. All else is dealt with."""
        ahead = (seq - self.expected) & 255
        if ahead > MAX_WINDOW or seq in self._early:
            self._stats.duplicates += 1
        elif ahead:
            self._early[seq] = (channel, bytes(payload))
        elif len(payload) <= self.window - (self._delivered - self._consumed):
            self._unacknowledged += 1
            if self.ack_at is None:
                self.ack_at = now + self._ack_delay_ms
            if self._unacknowledged > 1 or self._early:
                self.ack_at = now
            self._advance(len(payload))
            return True
        self.ack_at = now  # a gap or a repeat: the peer is waiting for word
        return False

    def next_early(self) -> "tuple[int, bytes] | None":
        """The next frame that arrived early and is now in order."""
        found = self._early.pop(self.expected, None)
        if found:
            self._advance(len(found[1]))
        return found

    def note_damage(self, now: int) -> None:
        """Something arrived damaged: say at once what is missing."""
        self.damaged = True
        self.ack_at = now

    def consume(self, size: int, now: int) -> None:
        """The owner is done with `size` bytes; what was never delivered does not count."""
        self._consumed = min(self._consumed + size, self._delivered)
        if self.credit_due():
            self.ack_at = now

    def credit_due(self) -> bool:
        """The peer knows so little of what was consumed that it should hear of it without other news."""
        return (self._consumed - self._told) * 4 >= self.window

    def credit(self) -> int:
        """Bytes consumed, modulo 65,536, for a frame that leaves now."""
        self._told = self._consumed
        return self._told & 0xFFFF

    def gaps(self) -> int:
        """Bit i: frame expected + 1 + i is here."""
        bits = 0
        for seq in self._early:
            bits |= 1 << ((seq - self.expected - 1) & 255)
        return bits

    def note_acknowledged(self) -> None:
        """A frame with the acknowledgement leaves."""
        self.ack_at = None
        self.damaged = False
        self._unacknowledged = 0

    def _advance(self, size: int) -> None:
        self.expected = (self.expected + 1) & 255
        self._delivered += size
