"""All schedules of small worlds, one after the other: every single fault, then pairs of them, on all processors."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing import get_context
from typing import TypeVar

from mqttlite.sim.features.feature import FEATURES
from mqttlite.sim.schedule import SEED, AnyWorld, Result, Schedule, try_out
from mqttlite.sim.small.bridge import BRIDGES
from mqttlite.sim.small.faults import AT_ONCE, HOWS, PARTED_S, STALLED_S, WHERES, Extent, Fault
from mqttlite.sim.small.pieces import STREAMING
from mqttlite.sim.small.small import Small

T = TypeVar("T")
CHUNK = 40  # schedules that a processor takes at once

WORLDS: tuple[AnyWorld, ...] = (
    Small(0, 2),
    *(
        Small(qos, messages, producer, keys)
        for qos in (1, 2)
        for messages in (1, 2)
        for producer in ("sqlite", "journal")
        for keys in (False, True)
    ),
    Small(2, 1, "journal", line=True),
    Small(1, 1, "sqlite", keys=True, line=True),
    Small(2, 2, "sqlite", slow=True),
    Small(2, 3, "tight"),
    Small(2, 2, "sqlite", wrap=True),
    Small(2, 5, "journal", few=True, wrap=True),
    Small(1, 1, "memory", wrap=True),  # each life begins with the same identifiers
    Small(2, 1, "memory"),
    Small(2, 1, "memory", keys=True),
    Small(2, 1, "memory", reuse=True),
    Small(2, 1, "sqlite", few=True, lose=True),
    Small(2, 1, "journal", keys=True, few=True, lose=True),
    Small(2, 1, "journal", blackout=True),
    Small(1, 1, "sqlite", keys=True, rollback=True),
    Small(2, 1, "sqlite", rollback=True),
    Small(1, 1, "sqlite", poison=True),
    Small(2, 2, "sqlite", poison=True),
    Small(1, 2, "journal", keys=True, poison=True),
    Small(1, 1, "sqlite", large=True),
    Small(2, 2, "sqlite", large=True),
    Small(0, 2, five=True),
    Small(1, 1, "sqlite", five=True),
    Small(2, 1, "sqlite", five=True),
    Small(2, 2, "journal", keys=True, five=True),
    Small(2, 1, "journal", line=True, five=True),
    Small(2, 2, "sqlite", slow=True, five=True),
    Small(2, 1, "sqlite", few=True, lose=True, five=True),
    Small(1, 1, "sqlite", changes=True),
    Small(2, 2, "sqlite", changes=True),
    Small(2, 1, "sqlite", blackout=True, changes=True),
    Small(2, 1, "memory", changes=True),
    *FEATURES,
    *BRIDGES,
    *STREAMING,
)
LONG = (Small(1, 30, "sqlite"), Small(2, 30, "journal"))  # more than the window


def essential(extent: Extent, after: Extent, turns: Iterable[tuple[int, str]]) -> list[Fault]:
    """Of `every`, what makes a difference again and again: a process loses its power after each event in which it has
    done something, a connection ends inside each packet, a line inside each frame. `turns`: as Run.turns.
    """
    found = [Fault("power off", "event", at, who) for at, who in turns if after.events < at <= extent.events]
    found += [
        Fault("cut", "packet", number, where="inside", how="reset")
        for number in range(after.packets + 1, extent.packets + 1)
    ]
    found += [
        Fault("part", "frame", number, where="inside", how="long")
        for number in range(after.frames + 1, extent.frames + 1)
    ]
    return found


def every(extent: Extent, after: Extent | None = None) -> list[Fault]:
    """All single faults of a run, or only those at steps that come after `after`."""
    first = after or Extent(0, 0, {})
    found = []
    linked = [who for who in extent.disks if who not in ("broker", "device")]  # with a connection to the broker
    for number in range(first.events + 1, extent.events + 1):
        for who in extent.disks:
            found += [Fault("kill", "event", number, who), Fault("power off", "event", number, who)]
        for who in linked:
            found += [Fault("cut", "event", number, who, how=how) for how in HOWS]
            found += [Fault("stall", "event", number, who, how=how) for how in STALLED_S]
        if extent.lose:
            found += [Fault("lose", "event", number, who) for who, used in extent.disks.items() if used]
    for who, operations in extent.disks.items():
        for number in range(first.disks.get(who, 0) + 1, operations + 1):
            found += [
                Fault(what, "disk", number, who, where) for what in ("kill", "power off") for where in WHERES[::2]
            ]
            found += [Fault("fail", "disk", number, who), Fault("full", "disk", number, who)]
    for number in range(first.packets + 1, extent.packets + 1):
        found += [Fault("cut", "packet", number, where=where, how=how) for where in WHERES for how in HOWS]
    for number in range(first.frames + 1, extent.frames + 1):
        for where in WHERES:
            found += [Fault("unplug", "frame", number, who, where) for who in ("device", "gateway")]
            found += [Fault("part", "frame", number, where=where, how=how) for how in PARTED_S]
        found += [Fault(what, "frame", number) for what in AT_ONCE]
    return found


def baseline(small: AnyWorld, seed: int = SEED) -> Result:
    """The world without any fault. RuntimeError when even that does not go well."""
    result = try_out(Schedule(small, (), seed))
    if result.problems:
        raise RuntimeError(f"{result.schedule}: {'; '.join(result.problems)}")
    return result


def singles(small: AnyWorld, seed: int = SEED) -> list[Schedule]:
    """Every single fault at every step of a world."""
    return [Schedule(small, (fault,), seed) for fault in every(baseline(small, seed).extent)]


def pairs(firsts: Iterable[Result], count: int, seed: int) -> Iterator[Schedule]:
    """Second faults, after the first, for results of single faults: `count` for each, drawn."""
    chance = random.Random(seed)
    for first in firsts:
        if first.points:
            seconds = every(first.extent, first.began)
            for fault in chance.sample(seconds, min(count, len(seconds))):
                yield first.schedule._replace(faults=(*first.schedule.faults, fault))


def essentials(first: Result) -> Iterator[Schedule]:
    """What comes of one more fault in a run: all essential ones that come after its faults."""
    for fault in essential(first.extent, first.began, first.turns):
        yield first.schedule._replace(faults=(*first.schedule.faults, fault))


def explore(
    schedules: Sequence[Schedule], jobs: int, each: Callable[[Result], object], progress: Callable[[int], object]
) -> None:
    """Run all; `each` gets every result, in order, `progress` how many are done."""
    with get_context("fork").Pool(jobs) as pool:
        for done, result in enumerate(pool.imap(try_out, schedules, CHUNK), 1):
            each(result)
            progress(done)


def sample(items: Sequence[T], count: int, seed: int) -> list[T]:
    """`count` of the items, drawn."""
    return random.Random(seed).sample(list(items), min(count, len(items)))
