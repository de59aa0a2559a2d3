"""The sending half of selective repeat: what waits, what is in flight, what must be sent again, and when.

A UART never reorders. So when the peer has a frame that left later, an earlier one that it does not have is lost: it is
sent again at once, without waiting for a time-out. The time-out covers the tail, where nothing later follows.

Both runtimes. No clock: `now` is an argument, in milliseconds.
"""

from mqttlite.core import const

from .frames import OVERHEAD

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .stats import Stats

MAX_RTO_MS = const(2000)
# Control messages are a few bytes each and must not be refused because data fills the buffer.
_CONTROL_RESERVE = const(64)


class Flight:
    """A frame that was sent and is not yet acknowledged.

    Every sending, repeats included, has a number. `order` is that of the latest copy; `sure` that of the earliest copy
    that may still arrive, -1 if there is none. They differ after a time-out: nobody knows what became of the first.
    """

    def __init__(self, seq: int, channel: int, data: bytearray) -> None:
        self.seq = seq
        self.channel = channel
        self.data = data
        self.order = 0
        self.sure = -1
        self.sent_ms = 0
        self.again = False  # to be sent again as soon as the line is free
        self.repeated = False
        self.arrived = False


class Sender:
    """Bounded buffer, window, byte credits, retransmission timer. One per link; `reset` begins a session."""

    def __init__(
        self, stats: "Stats", buffer_size: int, window: int, frame_ms: int, baud: int, latency_ms: int
    ) -> None:
        self._stats = stats
        self._buffer_size = buffer_size
        self._window = window
        self._baud = baud
        self._turnaround_ms = 2 * latency_ms
        self._rto_floor_ms = 3 * frame_ms + 2 * latency_ms + 5
        self.reset(0, 0)

    def reset(self, max_payload: int, peer_window: int) -> None:
        """Forgets everything. `max_payload` bytes fit into a frame; the peer takes `peer_window` bytes unconsumed."""
        self._max_payload = max_payload
        self._peer_window = peer_window
        self._waiting = bytearray()
        # [channel, bytes] of what waits, in order: control messages keep their place among the data.
        self._runs: "list[list[int]]" = []
        self._flight: "list[Flight]" = []
        self._seq = self._order = self._proof = self._sent_bytes = self._credit = 0
        # The classic integer form of RFC 6298: scaled by 8 and by 4; -1: no sample yet.
        self._srtt8 = -1
        self._var4 = 0
        self.rto_ms = self._rto_floor_ms

    def put(self, channel: int, data: "bytes | bytearray | memoryview") -> int:
        """Queues as much of `data` as there is room for, and returns how many bytes that was."""
        room = self._buffer_size - len(self._waiting)
        if not channel:
            room += _CONTROL_RESERVE
        size = max(0, min(len(data), room))
        if size:
            self._waiting += memoryview(data)[:size]
            if not self._runs or self._runs[-1][0] != channel:
                self._runs.append([channel, 0])
            self._runs[-1][1] += size
        return size

    def fresh(self) -> int:
        """Payload bytes of the new frame that window and credit allow now; 0: none."""
        if not self._runs or len(self._flight) >= self._window:
            return 0
        size = min(self._runs[0][1], self._max_payload)
        # Counted as the peer's receive buffer counts them: frames in flight with their overhead.
        held = self._sent_bytes - self._credit + OVERHEAD * (len(self._flight) + 1)
        return size if size + held <= self._peer_window else 0

    def unsettled(self) -> int:
        """Bytes that wait or are in flight."""
        return len(self._waiting) + sum([len(flight.data) for flight in self._flight])

    def blocked(self) -> bool:
        """Something waits for credit with nothing in flight, so that no acknowledgement will bring it by itself."""
        return bool(self._runs) and not self._flight and not self.fresh()

    def waits(self) -> bool:
        """Something waits for its first sending, or is to be sent again."""
        if self._runs:
            return True
        return any(flight.again for flight in self._flight)

    def deadline(self) -> "int | None":
        """When the oldest frame in flight times out."""
        return self._flight[0].sent_ms + self.rto_ms if self._flight else None

    def back_off(self) -> None:
        """Doubles the time-out; any progress ends that."""
        self.rto_ms = max(self._rto_floor_ms, min(self.rto_ms * 2, MAX_RTO_MS))

    def next(self, now: int) -> "Flight | None":
        """The frame that leaves now: what is lost or suspected, then the oldest if it timed out, then a new one."""
        flight = None
        for one in self._flight:
            if one.again:
                flight = one
                break
        else:
            if self._flight and now - self._flight[0].sent_ms >= self.rto_ms:
                flight = self._flight[0]
                self._stats.timeouts += 1
                self.back_off()
        if flight is None:
            size = self.fresh()
            if not size:
                return None
            run = self._runs[0]
            flight = Flight(self._seq, run[0], self._waiting[:size])
            self._waiting[:size] = b""
            run[1] -= size
            if not run[1]:
                self._runs.pop(0)
            self._seq = (self._seq + 1) & 255
            self._sent_bytes += size
            self._flight.append(flight)
        else:
            flight.repeated = True
            self._stats.resent += 1
        self._order += 1
        flight.order = self._order
        if flight.sure < 0:
            flight.sure = self._order
        flight.again = False
        flight.sent_ms = now
        return flight

    def acknowledge(self, ack: int, gaps: int, now: int) -> None:
        """Takes an acknowledgement. One that cannot be is ignored."""
        flights = self._flight
        if not flights:
            return
        done = (ack - flights[0].seq) & 255
        if done > len(flights):
            return
        newest = None
        for i in range(len(flights)):
            flight = flights[i]
            if not flight.arrived and (i < done or (i > done and gaps >> (i - done - 1) & 1)):
                flight.arrived = True
                flight.again = False
                flight.data = bytearray()
                if flight.repeated:
                    self._stats.repaired += 1
                if newest is None or flight.sure > newest.sure:
                    newest = flight
        if newest is None:
            return
        del flights[:done]
        self._proof = max(self._proof, newest.sure)
        for flight in flights:
            if not flight.arrived and flight.order < self._proof:
                flight.again = True
                flight.sure = -1
        if newest.sure == newest.order:  # Karn: only where it is certain which copy was acknowledged
            self._measure(now - newest.sent_ms)
        self._progress()

    def lose(self) -> None:
        """What is in flight and not acknowledged has not arrived: known where the peer has spoken after all of it."""
        for flight in self._flight:
            if not flight.arrived:
                flight.again = True
                flight.sure = -1

    def suspect(self, now: int) -> None:
        """The peer received something damaged: the oldest frame, if by now it should have arrived and been answered.

        A guess, unlike what an acknowledgement proves: a copy may be under way.
        """
        if self._flight:
            flight = self._flight[0]
            if now - flight.sent_ms >= len(flight.data) * 10000 // self._baud + self._turnaround_ms:
                flight.again = True

    def grant(self, consumed: int) -> None:
        """The peer has consumed so many bytes since the session began, modulo 65,536."""
        credit = self._credit + ((consumed - self._credit) & 0xFFFF)
        if self._credit < credit <= self._sent_bytes:
            self._credit = credit
            if not self._flight:
                self._progress()

    def _measure(self, rtt_ms: int) -> None:
        if self._srtt8 < 0:
            self._srtt8 = rtt_ms << 3
            self._var4 = rtt_ms << 1
        else:
            error = rtt_ms - (self._srtt8 >> 3)
            self._srtt8 += error
            self._var4 += abs(error) - (self._var4 >> 2)
        self._stats.srtt_ms = self._srtt8 >> 3

    def _progress(self) -> None:
        self.rto_ms = max(self._rto_floor_ms, (self._srtt8 >> 3) + self._var4)
