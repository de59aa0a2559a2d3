"""What a bad serial line does to bytes: bit errors, lost bytes, bursts, bytes from nowhere. Seeded, without I/O.

The same seed and the same bytes give the same damage, however the bytes are cut into portions. Both runtimes (where
floats are shorter, the damage is another one); imports math only.
"""

from math import log

# Start bit, eight data bits, stop bit.
BITS = 10

_FLIPPED = 0
_DROPPED = 1
_INSERTED = 2
_BURST = 3


class Noise:
    """A line's noise in one direction.

    bit_errors  probability for each of a byte's ten bits on the line (a wrong start bit loses the byte)
    dropped     probability for each byte to vanish, as in a full receive buffer
    inserted    probability for a random byte before each byte
    bursts      probability for each byte to begin a burst of `burst_bytes` random bytes

    `rate`: probability of any of these for each byte. Counters: `flipped`, `dropped`, `inserted`, `burst`.
    """

    def __init__(
        self,
        seed: int,
        *,
        bit_errors: float = 0.0,
        dropped: float = 0.0,
        inserted: float = 0.0,
        bursts: float = 0.0,
        burst_bytes: int = 8,
    ) -> None:
        self._rates = (1.0 - (1.0 - bit_errors) ** BITS, dropped, inserted, bursts)
        total = sum(self._rates)
        if not 0.0 <= total < 1.0:
            raise ValueError(f"noise of {total} events a byte: must be 0 or more, and less than 1")
        self.rate = total
        self._scale = log(1.0 - total) if total else 0.0
        self._burst_bytes = burst_bytes
        self._burst_left = 0
        self._state = (seed * 2654435761 + 0x9E3779B9) & 0xFFFFFFFF
        self.flipped = 0
        self.dropped = 0
        self.inserted = 0
        self.burst = 0
        self._wait = self._distance()

    def apply(self, data: "bytes | bytearray") -> bytes:
        """What arrives of `data`."""
        if not self.rate or (not self._burst_left and self._wait >= len(data)):
            self._wait -= len(data)
            return bytes(data)
        out = bytearray()
        for byte in data:
            if self._burst_left:
                self._burst_left -= 1
                self.burst += 1
                out.append(self._random(256))
            elif self._wait:
                self._wait -= 1
                out.append(byte)
            else:
                self._wait = self._distance()
                self._event(byte, out)
        return bytes(out)

    def _event(self, byte: int, out: bytearray) -> None:
        at = self._fraction() * self.rate
        event = 0
        while event < _BURST and at >= self._rates[event]:
            at -= self._rates[event]
            event += 1
        if event == _FLIPPED:
            self.flipped += 1
            bit = self._random(BITS)
            if bit < 8:
                out.append(byte ^ 1 << bit)
            elif bit == 8:  # the stop bit: the receiver takes a wrong byte; the start bit: none
                out.append(self._random(256))
        elif event == _DROPPED:
            self.dropped += 1
        elif event == _INSERTED:
            self.inserted += 1
            out.append(self._random(256))
            out.append(byte)
        else:
            self._burst_left = self._burst_bytes - 1
            self.burst += 1
            out.append(self._random(256))

    def _distance(self) -> int:
        """How many bytes pass unharmed before the next event."""
        return int(log(1.0 - self._fraction()) / self._scale) if self.rate else 0

    def _fraction(self) -> float:
        return self._random(1 << 20) / (1 << 20)

    def _random(self, below: int) -> int:
        """The upper bits of a linear congruential generator: the same on every runtime."""
        self._state = (self._state * 1664525 + 1013904223) & 0xFFFFFFFF
        return (self._state >> 11) % below
