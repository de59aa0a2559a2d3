"""Serial lines and Wi-Fi as servers: given when bytes are ready to leave, when they are there. Times in ms.

A line follows mqttlite/link: frames of the same sizes, acknowledgements of their own only where no data goes back in
time, damaged frames named by a NAK and sent again (by a time-out where that is lost, too), delivery in order, a window
of frames. Simpler than it: a repeated frame takes its time on the line at once; credits never run out; whether the
frame is damaged is drawn for all of it.
"""

import math
from random import Random

from ..link.sender import MAX_RTO_MS
from . import costs, sizes
from .fleet import Serial, Wifi

KEEPALIVE_MS = 1000.0
TOLD_LATENCY_MS = 4.0  # each way, what the link believes of every line
JOIN_MS = 1.0  # what comes within the link's resolution of time shares a frame, as it does in one turn of an event loop


class Way:
    """One direction of a serial line. Counters: `bytes`, `frames`, of them `repeats`; `repaired`, frames that
    were repeated; `mqtt` bytes, `busy_ms`."""

    back: "Way"

    def __init__(self, serial: Serial, baud: int, random: Random) -> None:
        self.byte_ms = 10_000 / baud
        self._latency_ms = serial.latency_ms
        self._payload_max = serial.frame_bytes - 14
        self._ack_delay_ms = serial.frame_bytes * 10_000 // baud + 1
        self._rto_ms = 3 * self._ack_delay_ms + 2 * TOLD_LATENCY_MS + 5
        clean = (1 - serial.bit_errors) ** 10 * (1 - serial.dropped)
        self._log_clean = math.log(clean) if clean < 1 else 0.0
        self._random = random.random
        self._window = serial.window
        self._acks = [0.0] * serial.window  # when the last frames will be acknowledged: a ring
        self._count = 0
        self.free = 0.0  # when the line will be
        self._begins = -1.0  # when the last frame begins; until then it takes more
        self._room = 0
        self._arrived = 0.0
        self._begun = 0.0
        self._gap_ms = float(MAX_RTO_MS)  # usual time from frame to frame
        self.ack_due = math.inf  # when this direction must acknowledge what the other one brought
        self._unacknowledged = 0
        self.bytes = self.frames = self.repeats = self.repaired = self.mqtt = 0
        self.busy_ms = 0.0

    def send(self, now: float, size: int) -> float:
        """When the last of `size` bytes, ready at `now`, is delivered at the other end."""
        self.mqtt += size
        if self._begins > now - JOIN_MS and self._room:
            joined = min(self._room, size)
            self._room -= joined
            size -= joined
            self._occupy(joined)
            if not size:
                self._arrived = max(self._arrived, self.free + self._latency_ms)
                return self._arrived
        while size:
            payload = min(size, self._payload_max)
            size -= payload
            begins = max(now, self.free, self._acks[self._count % self._window])
            self._flush(begins)
            idle = begins > self.free
            self.free = begins = max(begins, self.free)
            length = sizes.FRAME + payload + idle
            self._occupy(length)
            self.frames += 1
            self._begins = begins
            self._room = self._payload_max - payload
            self.ack_due = math.inf
            self._unacknowledged = 0
            arrival = self.free + self._latency_ms
            if self._log_clean:
                self._gap_ms += (begins - self._begun - self._gap_ms) / 8
                self._begun = begins
                arrival = self._repaired(begins, length, arrival)
            self._acks[self._count % self._window] = self.back.owe(arrival) + self._latency_ms
            self._count += 1
            self._arrived = max(self._arrived, arrival)
        return self._arrived

    def _occupy(self, length: int) -> None:
        self.bytes += length
        self.busy_ms += length * self.byte_ms
        self.free += length * self.byte_ms

    def _repaired(self, begun: float, length: int, arrival: float) -> float:
        """When a frame that has `begun` and would arrive at `arrival` is really there: later, if it is damaged.

        A NAK that comes back sooner than the link believes possible is taken to be about something earlier: then the
        time-out repairs, as where the NAK is lost; or the acknowledgement of a later frame, which proves the loss: when
        that comes is guessed from the usual time between frames.
        """
        rto = self._rto_ms
        proof_ms = self._gap_ms + length * self.byte_ms + 2 * self._latency_ms + sizes.CONTROL_FRAME * self.byte_ms
        before = self.repeats
        while self._random() > math.exp(self._log_clean * length):
            told = self.back.control(arrival)  # the NAK
            if told is None or told - begun < length * self.byte_ms + 2 * TOLD_LATENCY_MS:
                told = begun + min(rto, proof_ms)
                rto = min(2 * rto, MAX_RTO_MS)
            self.frames += 1
            self.repeats += 1
            self._occupy(length)
            begun = told
            arrival = told + length * self.byte_ms + self._latency_ms
        self.repaired += self.repeats > before
        return arrival

    def owe(self, arrival: float) -> float:
        """The other direction has brought a frame: when it will be acknowledged at the latest."""
        self._flush(arrival)
        self._unacknowledged += 1
        if self._unacknowledged > 1:
            self.ack_due = arrival
            self._flush(arrival + 1e-9)
            return arrival
        self.ack_due = arrival + self._ack_delay_ms
        return self.ack_due

    def _flush(self, now: float) -> None:
        """Send the acknowledgement that was due before `now` and had no data to go with."""
        due = self.ack_due
        if due < now:
            self.ack_due = math.inf
            self._unacknowledged = 0
            if due >= self.free or now > self.free:
                self.control(due)

    def control(self, now: float) -> float | None:
        """A frame without data; when it arrives, None if it is damaged."""
        length = sizes.CONTROL_FRAME + (now > self.free)
        self.free = max(self.free, now)
        self._occupy(length)
        self.frames += 1
        if self._log_clean and self._random() > math.exp(self._log_clean * length):
            return None
        return self.free + self._latency_ms

    def finish(self, now: float) -> None:
        """The run ends: what is owed is sent."""
        self._flush(max(now, self.ack_due + 1) if self.ack_due < math.inf else now)


def signs_of_life(pause_ms: float) -> int:
    """Frames each way in such a pause."""
    return 2 * int(pause_ms / (KEEPALIVE_MS + 10)) - 1 if pause_ms > KEEPALIVE_MS + 10 else 0


class Line:
    """Both directions of a serial line."""

    def __init__(self, serial: Serial, baud: int, random: Random) -> None:
        self.up, self.down = Way(serial, baud, random), Way(serial, baud, random)
        self.up.back, self.down.back = self.down, self.up
        self.signs = 0  # frames that were signs of life

    def heartbeats(self, now: float) -> None:
        """Something is about to be sent after a pause: each end has asked the other for a sign of life every second,
        and answered; the first time one of them was enough for both.
        """
        last = max(self.up.free, self.down.free)
        pause = now - last
        count = signs_of_life(pause)
        if count:
            length = sizes.CONTROL_FRAME + 1
            self.signs += 2 * count
            for way in (self.up, self.down):
                way.bytes += count * length
                way.frames += count
                way.busy_ms += count * length * way.byte_ms


class Radio:
    """The channel of one access point, shared by all devices on it. What TCP, IP and the radio add counts."""

    HEADERS = 40 + 36  # TCP and IP; 802.11 with LLC and check sum

    def __init__(self, wifi: Wifi, random: Random) -> None:
        self._wifi = wifi
        self._random = random.random
        self.free = 0.0
        self.frames = 0
        self.busy_ms = 0.0

    def send(self, now: float, size: int) -> float:
        """When `size` bytes, ready at `now`, are there."""
        wifi = self._wifi
        air_ms = wifi.overhead_ms + (size + self.HEADERS) * 8 / (wifi.mbit_s * 1000)
        start = self.free = max(self.free, now)
        late_ms = 0.0
        tries = 1
        while self._random() < wifi.loss:
            if tries % costs.RADIO_TRIES == 0:
                late_ms += costs.TCP_RETRY_MS
            tries += 1
        self.frames += tries
        self.busy_ms += tries * air_ms
        self.free = start + tries * air_ms
        return self.free + late_ms + wifi.latency_ms
