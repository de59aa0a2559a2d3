"""The faults of a large world, as chance has them: each from a generator of its own, which is made of the seed and of
the fault's key. So leaving out one of them, or a part of the world, changes none of the others. No world.
"""

from math import log, log1p
from random import Random
from typing import NamedTuple

from .parts import Parts

HOWS = ("reset", "close", "unread", "silence")


def chance_of(seed: int, *words: object) -> Random:
    """The random generator of one thing in the world of a seed."""
    return Random(" ".join(map(str, (seed, *words))))


class Moment(NamedTuple):
    """A fault that comes at a moment, `at_s` seconds after the beginning of the bad time. `kind`: of parts.KINDS, or
    "wipe". `who`: the process, or the device at the end of a line, or two hosts. `for_s`: how long it lasts.
    `how`: a connection is cut. `side`: of a line, 0 is the device. `room`: bytes that a full disk has left.
    """

    number: int
    kind: str
    at_s: float
    who: tuple[str, ...]
    for_s: float
    how: str
    side: int
    room: int

    @property
    def key(self) -> str:
        """What a selection calls it."""
        return str(self.number)


def processes_of(parts: Parts) -> list[str]:
    """All processes of a world that can die."""
    names = [*parts.brokers, *(name for name in parts.gateways if name in parts.gates)]
    names += [reader.name for reader in parts.readers] + [bridge.name for bridge in parts.bridges]
    return names + [device.name for device in parts.devices]


def neighbours_of(parts: Parts) -> list[tuple[str, str]]:
    """Pairs of hosts that talk to each other over a network."""
    pairs = [(reader.name, reader.broker) for reader in parts.readers]
    pairs += [(device.name, device.broker) for device in parts.devices if not device.line]
    pairs += [(bridge.name, end) for bridge in parts.bridges for end in (bridge.source, bridge.target)]
    return pairs + [(name, parts.gates[name]) for name in parts.gateways if name in parts.gates]


def moments(seed: int, parts: Parts) -> list[Moment]:
    """All faults of a world that come at moments, numbered from 1."""
    processes = processes_of(parts)
    pairs = neighbours_of(parts)
    lines = [device.name for device in parts.devices if device.line]
    # A gateway has no disk; a bridge's outbox is the application's, which does not lose it.
    wipeable = [(name,) for name in processes if not name.startswith(("gateway", "bridge"))]
    kinds = [kind for kind, count in parts.faults.times.items() for _ in range(count)] + ["wipe"] * parts.faults.wipes
    found = []
    for number, kind in enumerate(kinds, 1):
        chance = chance_of(seed, "fault", number)
        at_s = chance.uniform(0, parts.duration_s)
        who: tuple[str, ...]
        if kind in ("partition", "cut"):
            who = chance.choice(pairs)
        elif kind in ("unplug", "part"):
            if not lines:
                continue
            who = (chance.choice(lines),)
        else:
            who = chance.choice(wipeable) if kind == "wipe" else (chance.choice(processes),)
        for_s = chance.choice((0.1, 2.0, 10.0, min(parts.duration_s / 10, 3600.0)))
        how, side, room = chance.choice(HOWS), chance.randrange(2), chance.choice((0, 1000, 50_000))
        found.append(Moment(number, kind, at_s, who, for_s, how, side, room))
    return found


class Series:
    """Faults at steps of one kind, each step with the probability `rate`; "NAME:1", "NAME:2" are their keys. The steps
    between two of them are drawn beforehand, so that a step costs nothing but counting.
    """

    def __init__(self, seed: int, name: str, rate: float) -> None:
        self._seed = seed
        self._name = name
        self._rate = rate
        self._steps = 0
        self._number = 0
        self._draw()

    def _draw(self) -> None:
        self._number += 1
        self._chance = chance_of(self._seed, self._name, self._number)
        rest = 1.0 - self._chance.random()  # above 0
        gap = int(log(rest) / log1p(-self._rate)) if self._rate < 1.0 else 0
        self._due = self._steps + 1 + gap

    def step(self) -> tuple[str, Random] | None:
        """One more step; the key and the generator of the fault that is due at it, if there is one."""
        self._steps += 1
        if self._steps < self._due:
            return None
        found = f"{self._name}:{self._number}", self._chance
        self._draw()
        return found
