"""A serial line in virtual time between two links: paced to its baud rate, with latency and noise. No I/O, no clock.

Tests, the goodput benchmark and MicroPython use it. Both runtimes.
"""

from mqttlite.sim.lines.noise import Noise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mqttlite.link.link import Link


class Way:
    """One direction: takes a frame from `source` whenever the line is free, and brings it to `sink` after the latency.

    `cut` (may be assigned): called with each frame and its number, returns what is really sent, b"" to lose it.
    """

    def __init__(self, source: "Link", sink: "Link", baud: int, latency_ms: float, noise: Noise) -> None:
        self.source = source
        self.sink = sink
        self.noise = noise
        self.byte_ms = 10000 / baud
        self.latency_ms = latency_ms
        self.frames = 0
        self.bytes = 0
        self.free_at = 0.0
        self.cut = _whole
        self._under_way: list[tuple[float, bytes]] = []

    def next_ms(self) -> float:
        """When `step` should be called again."""
        due = max(self.free_at, self.source.deadline())
        if self._under_way:
            due = min(due, self._under_way[0][0])
        return due

    def deliver(self, now: float) -> bool:
        """Brings what has arrived by now; True if that was anything."""
        any_arrived = False
        while self._under_way and self._under_way[0][0] <= now:
            self.sink.receive(self._under_way.pop(0)[1], int(now))
            any_arrived = True
        return any_arrived

    def step(self, now: float) -> None:
        """Sends the next frame if the line is free."""
        if self.free_at <= now:
            frame = self.source.transmit(int(now))
            if frame:
                self.free_at = now + len(frame) * self.byte_ms
                self.bytes += len(frame)
                arrives = self.noise.apply(self.cut(bytes(frame), self.frames))
                self.frames += 1
                if arrives:
                    self._under_way.append((self.free_at + self.latency_ms, arrives))


class VirtualLine:
    """Links `a` and `b` on a line; `run` lets time pass, `now` (ms) is the time."""

    def __init__(
        self,
        a: "Link",
        b: "Link",
        *,
        baud: int = 115200,
        latency_ms: float = 4.0,
        noise_ab: "Noise | None" = None,
        noise_ba: "Noise | None" = None,
    ) -> None:
        self.now = 0.0
        self.ab = Way(a, b, baud, latency_ms, noise_ab or Noise(0))
        self.ba = Way(b, a, baud, latency_ms, noise_ba or Noise(0))

    def step(self) -> None:
        """One moment: what has arrived is delivered, what can leave leaves, and time moves to the next moment."""
        arrived = self.ab.deliver(self.now) | self.ba.deliver(self.now)
        self.ab.step(self.now)
        self.ba.step(self.now)
        if not arrived:
            # Never the same moment twice without an event; whole milliseconds are the links' resolution.
            self.now = max(self.now + 0.01, min(self.ab.next_ms(), self.ba.next_ms()))

    def run(self, ms: float) -> None:
        """Lets `ms` pass."""
        end = self.now + ms
        while self.now < end:
            self.step()

    def replace(self, old: "Link", new: "Link") -> None:
        """The board `old` was reset: `new` is in its place. What is under way stays so."""
        for way in (self.ab, self.ba):
            if way.source is old:
                way.source = new
            else:
                way.sink = new


def _whole(frame: bytes, _number: int) -> bytes:
    return frame
