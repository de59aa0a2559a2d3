"""Ten million frames of the serial link over noisy lines, in virtual time: whatever arrives is what was sent.

Lines of every kind, one after the other: speeds, frame sizes, windows, bit errors, lost and inserted bytes, bursts;
both ends send as much as they can, and once the board is reset. Every twentieth is a bus of eight devices. Each byte
that a link delivers is compared with what its peer's `send` took in that session. Seeded: a fault prints its number,
and `--first NUMBER --lines 1` shows it again.

    make frames [ARGS='--frames 100000 --first 0']
"""

import argparse
import random
import sys
import time
from collections.abc import Sequence

from mqttlite.link.frames import MQTT
from mqttlite.link.link import Link
from mqttlite.sim.lines.noise import Noise
from tests.link.bus_world import BusWorld
from tests.link.virtual_line import VirtualLine

FRAMES = 10_000_000
_PER_LINE = 4000  # frames
_BUS_EVERY = 20
_RING = random.Random(1).randbytes(1 << 16)  # what is sent, from a place that is a session's own
_TWICE = _RING + _RING


class Checked:
    """One end, which sends for ever, and compares what comes."""

    def __init__(self, link: Link, chance: random.Random) -> None:
        self.link = link
        self.peer: Checked
        self.next_peer: Checked | None = None  # of the next session: what is under way is still the old one's
        self.delivered = 0
        self._chance = chance
        self._begin = self._sent = self._got = 0
        link.on_up = self._up
        link.on_data = self._data
        link.on_writable = self.pump

    def pump(self) -> None:
        """As much as the link takes, in pieces of any size."""
        while True:
            at = (self._begin + self._sent) & 0xFFFF
            size = self._chance.randrange(1, 300)
            taken = self.link.send(MQTT, _TWICE[at : at + size])
            self._sent += taken
            if taken < size:
                return

    def _up(self, _: object) -> None:
        if self.next_peer:
            self.peer, self.next_peer = self.next_peer, None
        self._begin = self._chance.randrange(1 << 16)
        self._sent = self._got = 0
        self.pump()

    def _data(self, channel: int, data: bytes | memoryview) -> None:
        if channel != MQTT:
            return  # noise that reads as text
        peer = self.peer
        at = (peer._begin + self._got) & 0xFFFF
        if data != _TWICE[at : at + len(data)]:
            raise AssertionError(f"{len(data)} bytes that were not sent, after {self._got} of a session")
        self._got += len(data)
        if self._got > peer._sent:
            raise AssertionError(f"{self._got} bytes arrived of {peer._sent}")
        self.delivered += len(data)
        self.link.consumed(len(data))


def _noise(chance: random.Random) -> Noise:
    kind = chance.randrange(6)
    seed = chance.getrandbits(30)
    much = 10 ** chance.uniform(-5, -2.7)
    if kind == 0:
        return Noise(seed, bit_errors=much)
    if kind == 1:
        return Noise(seed, dropped=much)
    if kind == 2:
        return Noise(seed, inserted=much)
    if kind == 3:
        return Noise(seed, bursts=much / 4, burst_bytes=chance.choice((2, 4, 8, 40)))
    return Noise(seed, bit_errors=much / 3, dropped=much / 3, inserted=much / 3)


def _link(chance: random.Random, epoch: int, baud: int, device_id: bytes) -> Link:
    window = chance.choice((1, 4, 8, 16))
    return Link(
        epoch,
        device_id=device_id,
        baud=baud,
        frame_size=chance.choice((48, 128, 128, 255)),
        window=window,
        receive_window=chance.choice((512, 1024, 4096)),
        send_buffer=chance.choice((512, 2048)),
    )


def line(number: int) -> tuple[int, int, int]:
    """One line: frames on it, damaged ones of these, bytes delivered. Raises AssertionError."""
    chance = random.Random(number)
    baud = chance.choice((115200, 115200, 921600))
    a = Checked(_link(chance, 1000, baud, b"device"), chance)
    b = Checked(_link(chance, 2000, baud, b""), chance)
    a.peer, b.peer = b, a
    wire = VirtualLine(
        a.link, b.link, baud=baud, latency_ms=chance.choice((0.5, 4)), noise_ab=_noise(chance), noise_ba=_noise(chance)
    )
    damaged = delivered = frames = 0
    restart_at = chance.randrange(_PER_LINE)
    while (now_frames := wire.ab.frames + wire.ba.frames) < _PER_LINE and wire.now < 600_000:
        wire.step()
        if now_frames >= restart_at:  # the board was reset: a new epoch, and frames of the old one under way
            restart_at = _PER_LINE + 1
            damaged += a.link.stats.damaged
            delivered += a.delivered
            old = a
            a = Checked(_link(chance, 3000, baud, b"device"), chance)
            a.peer, b.next_peer = b, a
            wire.replace(old.link, a.link)
    frames += wire.ab.frames + wire.ba.frames
    damaged += a.link.stats.damaged + b.link.stats.damaged
    return frames, damaged, delivered + a.delivered + b.delivered


def bus(number: int) -> tuple[int, int, int]:
    """One bus; as `line`."""
    chance = random.Random(number)
    world = BusWorld(
        range(1, 9), seed=number, bit_errors=10 ** chance.uniform(-5, -3.3), frames=chance.choice((1, 4, 8))
    )
    pairs = []
    for address, device in world.devices.items():
        one, other = Checked(device.link, chance), Checked(world.masters[address].link, chance)
        one.peer, other.peer = other, one
        pairs += [one, other]
    frames = damaged = 0
    while frames < _PER_LINE and world.bus.now < 600_000:
        if chance.random() < 0.1:
            world.bus.stray(chance.randbytes(chance.randrange(1, 100)))
        world.bus.run(200)
        frames = sum(one.link.stats.sent for one in pairs)
        damaged = sum(one.link.stats.damaged for one in pairs)
    return frames, damaged, sum(one.delivered for one in pairs)


def main(args: Sequence[str]) -> int:
    """Command line; exit status 1 where something arrived that was not sent."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.link_frames",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--frames", type=int, default=FRAMES, help="(default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first line (default: %(default)s)")
    parser.add_argument("--lines", type=int, default=0, help="so many lines, instead of so many frames")
    options = parser.parse_args(args)
    number = options.first
    frames = damaged = delivered = 0
    said = begun = time.monotonic()
    while number < options.first + options.lines if options.lines else frames < options.frames:
        try:
            found = (line if (number + 1) % _BUS_EVERY else bus)(number)
        except AssertionError as error:
            print(f"line {number}: {error}")
            return 1
        frames, damaged, delivered = frames + found[0], damaged + found[1], delivered + found[2]
        number += 1
        if time.monotonic() - said > 60:
            said = time.monotonic()
            print(f"{number - options.first} lines, {frames} frames after {said - begun:.0f} s", file=sys.stderr)
    print(
        f"{number - options.first} lines, {frames:,} frames, {damaged:,} of them damaged, {delivered:,} bytes "
        "delivered: each as it was sent"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
