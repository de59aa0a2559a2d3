"""What the pipeline is made of: kinds of messages, devices, groups, messages under way; and how latencies are kept."""

import math
from collections import deque

from . import sizes
from .fleet import Commands, Devices, Messages
from .links import Line, signs_of_life


class Latencies:
    """How long things took, ms: a histogram with buckets of 2 %, and the longest exactly."""

    _FINE = 50.0
    _LEAST = 0.01

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.count = 0
        self.sum = 0.0
        self.longest = 0.0

    def add(self, ms: float) -> None:
        bucket = int(math.log(ms if ms > self._LEAST else self._LEAST) * self._FINE)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1
        self.count += 1
        self.sum += ms
        if ms > self.longest:
            self.longest = ms

    def join(self, other: "Latencies") -> None:
        """Add all of another's."""
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count
        self.count += other.count
        self.sum += other.sum
        self.longest = max(self.longest, other.longest)

    def above(self, ms: float) -> int:
        """How many took longer."""
        limit = math.log(max(ms, self._LEAST)) * self._FINE
        return sum(count for bucket, count in self.buckets.items() if bucket >= limit)

    def at(self, percent: float) -> float:
        """So many of a hundred took no longer; 0 when there are none."""
        left = self.count * percent / 100
        for bucket in sorted(self.buckets):
            left -= self.buckets[bucket]
            if left <= 0:
                return min(self.longest, math.exp((bucket + 1) / self._FINE))
        return self.longest


class Stream:
    """One kind of message of a group. `site`: where its topic begins, if the plan does not say more."""

    def __init__(self, kind: Messages, site: str) -> None:
        topic = kind.topic or site + kind.name
        self.name = kind.name
        self.qos = kind.qos
        self.size = sizes.publish(topic, kind.payload_bytes, kind.qos)
        self.journal_bytes = sizes.journal(topic, kind.payload_bytes, kind.qos) if kind.qos else 0
        self.every_ms = kind.every_s * 1000
        self.random = kind.random
        self.burst = kind.burst
        self.latency = Latencies()
        self.offered = 0
        self.finished = 0  # handled by the consumer


class Device:
    """One device: its processor and store, its window, what waits."""

    def __init__(self, group: "Group", line: Line | None) -> None:
        self.group = group
        self.line = line
        self.free = 0.0
        self.busy_ms = 0.0
        self.inflight = 0
        self.unfinished = 0
        self.waiting: deque[tuple[float, Message]] = deque()
        self.flash_bytes = 0
        self.release_begins = -1.0
        self.release_ready = 0.0
        self.frames = 0  # of its line that the gateway has dealt with, and
        self.signs = 0  # of them signs of life


class Message:
    """One message under way."""

    __slots__ = ("device", "due", "stream")

    def __init__(self, device: Device, stream: Stream, due: float) -> None:
        self.device = device
        self.stream = stream
        self.due = due


class Group:
    """Equal devices, and what is counted of them."""

    def __init__(self, config: Devices, number_width: int) -> None:
        self.config = config
        site = f"site/{config.name}-{'0' * number_width}/"
        self.streams = [Stream(kind, site) for kind in config.messages]
        self.command: Stream | None = None
        self.answer: Stream | None = None
        if config.commands:
            of: Commands = config.commands
            kinds = [
                Messages(name, topic, payload_bytes, qos, of.every_s, random=of.random)
                for name, topic, payload_bytes, qos in (
                    ("command", of.topic, of.payload_bytes, of.qos),
                    ("answer", of.answer_topic, of.answer_bytes, of.answer_qos),
                )
            ]
            self.command, self.answer = (Stream(kind, site) for kind in kinds)
            self.streams.append(self.answer)
        self.devices: list[Device] = []
        self.deepest = 0  # unfinished messages of one device, at most
        self.held_ms = 0.0  # message times: from due to confirmed, summed up
        self.syncs = 0
        self.erases = 0.0

    def signs_per_ms(self, speed: float) -> float:
        """Signs of life on all lines together, if their devices publish and answer at even intervals: frames."""
        if self.config.link != "serial":
            return 0.0
        goes = sum(1 / kinds[0].every_ms for kinds in together(self.streams)) * speed
        return 2 * signs_of_life(1 / goes) * goes * self.config.count

    @property
    def lines(self) -> list[Line]:
        """Of devices that have one."""
        return [device.line for device in self.devices if device.line]

    def on_lines(self, counter: str, *ways: str) -> int:
        """A counter of links.Way, added up over all lines; `ways`: "up", "down"."""
        return sum(getattr(getattr(line, way), counter) for line in self.lines for way in ways)


def together(streams: list[Stream]) -> list[list[Stream]]:
    """What a device publishes in one go: kinds with the same interval, as a program's loop does; random ones alone."""
    found: dict[object, list[Stream]] = {}
    for stream in streams:
        found.setdefault(stream if stream.random else stream.every_ms, []).append(stream)
    return list(found.values())
