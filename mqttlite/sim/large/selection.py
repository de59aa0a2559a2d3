"""What of a seed's large world is wanted: all of it, or only some parts and some faults, as a failure was shrunk to.

Faults have keys, which mean the same whatever else is left out, because each has a random generator of its own:

    7                       the seventh of those that come at moments (drawn.py)
    device3/broker0:2       the second cut at a packet from device3 to broker0
    broker0/disk:1          the first at an operation of broker0's disk
    noise, refuse, ...      what is bad all the time: CONDITIONS

A list of them is written with ranges: `3,7-20,device3/broker0:2-4,noise`. Parts are devices, readers and bridges;
brokers and gateways are there when one of those needs them.
"""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from .parts import Parts

CONDITIONS = {  # and where BadTime has them
    "refuse": "refuse",
    "vanish": "vanish",
    "stall": "stall",
    "noise": "noise",
    "babble": "babble_s",
    "drift": "ppm",
}
RANGE_MAX = 10_000  # keys in one range
_ITEM = re.compile(r"(?:([\w-]+/[\w-]+):)?(\d+)(?:-(\d+))?")


def parse(text: str) -> frozenset[str]:
    """The keys of a list of faults. ValueError: it is none."""
    found: set[str] = set()
    for item in filter(None, (item.strip() for item in text.split(","))):
        if item in CONDITIONS:
            found.add(item)
            continue
        match = _ITEM.fullmatch(item)
        if match is None:
            raise ValueError(
                f"'{item}' is no fault of a large world; one looks like 7, 7-20, device3/broker0:2, broker0/disk:1, "
                + ", ".join(CONDITIONS)
            )
        where, first, last = match[1], int(match[2]), int(match[3] or match[2])
        if not first <= last < first + RANGE_MAX:
            raise ValueError(f"'{item}' is no range of faults")
        found.update(f"{where}:{number}" if where else str(number) for number in range(first, last + 1))
    return frozenset(found)


def written(keys: Iterable[str]) -> str:
    """The list that `parse` makes these keys of."""
    numbers: dict[str, list[int]] = {}
    items = []
    for key in keys:
        where, _, number = key.rpartition(":")
        if number.isdigit():
            numbers.setdefault(where, []).append(int(number))
        else:
            items.append(key)
    ranges = []
    for where in sorted(numbers):
        spans: list[tuple[int, int]] = []
        for one in sorted(numbers[where]):
            if spans and one == spans[-1][1] + 1:
                spans[-1] = spans[-1][0], one
            else:
                spans.append((one, one))
        texts = [str(first) if first == last else f"{first}-{last}" for first, last in spans]
        ranges += [f"{where}:{text}" if where else text for text in texts]
    return ",".join([*ranges, *sorted(items)])


class Selection(NamedTuple):
    """`parts`: names of devices, readers and bridges, None: all. `messages`: each device publishes only so many, its
    first; 0: all. `only`: keys of the faults that may happen, None: all. `without`: keys of those that must not.
    """

    parts: frozenset[str] | None = None
    messages: int = 0
    only: frozenset[str] | None = None
    without: frozenset[str] = frozenset()

    def happens(self, key: str) -> bool:
        """Whether a fault is wanted."""
        return key not in self.without and (self.only is None or key in self.only)

    def words(self) -> str:
        """The options of the command line that select this."""
        words = []
        if self.parts is not None:
            words.append(f"--only {','.join(sorted(self.parts))}")
        if self.messages:
            words.append(f"--messages {self.messages}")
        if self.only is not None:
            words.append(f"--only-faults {written(self.only)}" if self.only else "--only-faults ''")
        if self.without:
            words.append(f"--without {written(self.without)}")
        return " ".join(words)

    def of(self, parts: Parts) -> Parts:
        """What is left of a world. ValueError: a part is not in it."""
        left_out: dict[str, Any] = {field: 0 for key, field in CONDITIONS.items() if not self.happens(key)}
        devices, readers, bridges, brokers = parts.devices, parts.readers, parts.bridges, parts.brokers
        if self.messages:
            devices = tuple(one._replace(messages=min(one.messages, self.messages)) for one in devices)
        if self.parts is not None:
            unknown = self.parts - set(parts.names)
            if unknown:
                raise ValueError(
                    f"there is no {', '.join(sorted(unknown))} in this world; it has {', '.join(parts.names)}"
                )
            devices = tuple(one for one in devices if one.name in self.parts)
            readers = tuple(one for one in readers if one.name in self.parts)
            bridges = tuple(one for one in bridges if one.name in self.parts)
            needed = {one.broker for one in devices} | {one.broker for one in readers}
            needed |= {end for one in bridges for end in (one.source, one.target)}
            brokers = tuple(name for name in brokers if name in needed)
        left = parts._replace(
            brokers=brokers,
            devices=devices,
            readers=readers,
            bridges=bridges,
            faults=parts.faults._replace(**left_out),
        )
        return left._replace(gateways=tuple(name for name in parts.gateways if name in left.gates))


ALL = Selection()


def command(seed: int, size: int = 0, selection: Selection = ALL) -> str:
    """What runs a world, or what is selected of it, again."""
    words = selection.words()
    return (
        f"mqttlite simulate --scenario large --seed {seed}" + f" --size {size}" * bool(size) + f" {words}" * bool(words)
    )


def conditions_of(parts: Parts) -> set[str]:
    """Which of CONDITIONS this world has."""
    without_lines = () if parts.gates else ("noise", "babble")
    return {key for key, field in CONDITIONS.items() if getattr(parts.faults, field) and key not in without_lines}
