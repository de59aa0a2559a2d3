"""Many devices on one bus, in virtual time: goodput, how long a message takes, and what dead devices cost.

Each device publishes 64-byte payloads at QoS 1 (topic of 11 characters; 18 messages unconfirmed at most). A device
takes half a millisecond for each portion that it reads and two to answer, and stands still for 20 ms now and then, as
for a garbage collection; the gateway's adapter adds one. Seeded: every run prints the same.

    python -m benchmarks.bus [--seconds 40]

`full`: all have as much to say as they can, but one, which says one message a second: its time from publish to PUBACK.
`light`: each device says one message a second. `share` is payload by what the line could carry.
"""

import argparse
import random
import sys
from collections.abc import Sequence
from typing import NamedTuple

from mqttlite.link.frames import MQTT
from tests.link.bus_world import BusWorld, Device, Owner

PAYLOAD = 64
PUBLISH_BYTES = 2 + 2 + 11 + 2 + PAYLOAD
PUBACK_BYTES = 4
WINDOW = 18
EVERY_MS = 1000
PAUSE_MS, PAUSE_EVERY = 20.0, 2000
WARM_MS = 25_000  # by then all are found, and who is dead is asked as seldom as it will be


class Case(NamedTuple):
    """A row: how many devices, how many of them dead, frames of a turn, bit/s, bit errors."""

    devices: int
    dead: int
    frames: int = 4
    baud: int = 115200
    bit_errors: float = 0.0


CASES = (
    Case(27, 0),
    Case(30, 3),
    Case(30, 0),
    Case(30, 3, frames=1),
    Case(30, 3, frames=8),
    Case(30, 3, bit_errors=1e-5),
    Case(30, 3, bit_errors=1e-4),
    Case(30, 3, frames=8, baud=921600),
)


class Publisher:
    """Publishes at a device as its client would, and confirms at the gateway's end as its broker would."""

    def __init__(self, world: BusWorld, device: Device, gateway: Owner) -> None:
        self.completed = 0
        self.took_ms: list[float] = []
        self._world = world
        self._link = device.link
        self._gateway = gateway.link
        self._begun: list[float] = []
        self._rest = b""  # of a message that has begun
        self._arrived = self._acknowledged = 0
        self.wanted = 0  # messages to be published
        device.link.on_data = self._confirmed
        device.link.on_writable = device.link.on_up = lambda *_: self.pump()  # type: ignore[assignment]
        gateway.link.on_data = self._published

    def say(self, count: int) -> None:
        """So many more messages."""
        self.wanted += count
        self.pump()

    def pump(self) -> None:
        while self._link.up and (self._rest or (self.wanted and len(self._begun) < WINDOW)):
            if not self._rest:
                self.wanted -= 1
                self._begun.append(self._world.bus.now)
                self._rest = bytes(range(1, PUBLISH_BYTES + 1))
            self._rest = self._rest[self._link.send(MQTT, self._rest) :]
            if self._rest:
                return

    def _published(self, channel: int, data: bytes | memoryview) -> None:
        if channel != MQTT:
            return
        self._gateway.consumed(len(data))
        self._arrived += len(data)
        while self._arrived >= PUBLISH_BYTES:
            self._arrived -= PUBLISH_BYTES
            if self._gateway.send(MQTT, bytes(PUBACK_BYTES)) != PUBACK_BYTES:
                raise AssertionError("no room for a PUBACK")

    def _confirmed(self, channel: int, data: bytes | memoryview) -> None:
        if channel != MQTT:
            return
        self._link.consumed(len(data))
        self._acknowledged += len(data)
        while self._acknowledged >= PUBACK_BYTES:
            self._acknowledged -= PUBACK_BYTES
            self.took_ms.append(self._world.bus.now - self._begun.pop(0))
            self.completed += 1
        self.pump()


class Found(NamedTuple):
    """`rate`: messages a second; `share`: payload by line; `least`, `most`: messages of a device that has much to say;
    `typical_ms`, `worst_ms`: of the messages of those that have little; `dead`: part of the bus's time.
    """

    rate: float
    share: float
    least: int
    most: int
    typical_ms: float
    worst_ms: float
    dead: float


def measured(case: Case, seconds: float, is_full: bool) -> Found:
    """One bus."""
    there = range(1, case.devices - case.dead + 1)
    world = BusWorld(
        range(1, case.devices + 1), there, baud=case.baud, frames=case.frames, bit_errors=case.bit_errors, seed=7
    )
    chance = random.Random(7)
    publishers = []
    for address, device in world.devices.items():
        device.node.pause_ms = PAUSE_MS
        device.node.pause_every = PAUSE_EVERY + address
        publishers.append(Publisher(world, device, world.masters[address]))
    light = publishers[:1] if is_full else publishers
    world.bus.run(WARM_MS)
    for one in publishers:
        if one not in light:
            one.say(1 << 30)
    world.bus.run(WARM_MS)
    stations = [world.station(address) for address in range(case.devices - case.dead + 1, case.devices + 1)]
    spent_ms = sum(one.spent_ms for one in stations)
    before = [one.completed for one in publishers]
    begin = world.bus.now
    due = sorted((begin + chance.random() * EVERY_MS, number) for number in range(len(light)))
    while world.bus.now < begin + seconds * 1000:
        at, number = due.pop(0)
        world.bus.run(max(at - world.bus.now, 0.0))
        light[number].say(1)
        due.append((at + EVERY_MS, number))
        due.sort()
    taken_s = (world.bus.now - begin) / 1000
    done = [one.completed - was for one, was in zip(publishers, before, strict=True)]
    took = sorted(ms for one in light for ms in one.took_ms)
    busy = done[len(light) :] or done
    return Found(
        sum(done) / taken_s,
        sum(done) * PAYLOAD / (taken_s * case.baud / 10),
        min(busy),
        max(busy),
        took[len(took) // 2],
        took[-1],
        (sum(one.spent_ms for one in stations) - spent_ms) / taken_s / 1000,
    )


def main(args: Sequence[str]) -> int:
    """Command line; exit status 1 where dead devices cost the others more than one part in twenty."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bus", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=40.0, help="virtual, for each (default: %(default)s)")
    seconds = parser.parse_args(args).seconds
    print(f"{'':39}{'full: messages':>33}{'of one a second':>19}{'light':>17}")
    print(
        f"{'baud':>6}{'errors':>8}{'frames':>8}{'devices':>9}{'dead':>6}  {'a second':>10}{'share':>8}{'by device':>12}"
        f"{'typical':>11}{'worst':>8}{'typical':>11}{'worst':>8} ms{'dead took':>11}"
    )
    dear = False
    for case in CASES:
        full, light = measured(case, seconds, True), measured(case, seconds, False)
        dear |= full.dead > 0.05
        print(
            f"{case.baud:>6}{case.bit_errors or '-':>8}{case.frames:>8}{case.devices:>9}{case.dead:>6}  "
            f"{full.rate:>10.1f}{full.share:>8.3f}{f'{full.least} to {full.most}':>12}"
            f"{full.typical_ms:>11.0f}{full.worst_ms:>8.0f}{light.typical_ms:>11.0f}{light.worst_ms:>8.0f}   "
            f"{100 * full.dead:>9.2f} %",
            flush=True,
        )
    return int(dear)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
