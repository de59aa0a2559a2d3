"""The rate at which the fleet no longer gets its messages through, and what stands in the way there.

All rates are multiplied by a factor. A factor is too much when the messages of a group take longer and longer: late in
a stretch of many messages than early in it, by more than GROWTH of the time between, or when too few get through at
all. Factors are doubled until one is too much, then halved in between. The bottleneck is found by asking what would
help: at a rate a quarter above, each resource in turn is made twice as good.
"""

import dataclasses
from dataclasses import dataclass

from .fleet import Fleet
from .flow import Flow
from .model import Result
from .parts import Group

GROWTH = 0.005
SHARE = 0.9
SECONDS = 2.0  # a stretch takes at least so long, where that is no more messages than
MESSAGES_MOST = 40_000
MESSAGES = 4_000  # in a stretch, and
PERIODS = 25  # of each kind of message of each device so many, where that is no more than
MESSAGES_MAX = 5_000
FINE = 0.03
FACTOR_MAX = 1e6
FACTOR_MIN = 1e-3


@dataclass
class Step:
    """One rate that was tried. Latencies in ms."""

    factor: float
    rate: float
    handled: float
    p50: float
    p95: float
    p99: float
    stable: bool


@dataclass
class Saturation:
    """`times_the_plan`: the largest factor that works, 0 if not even a thousandth does. The names are those of the
    answer.
    """

    messages_per_s: float
    times_the_plan: float
    bottleneck: str
    first_group: str  # whose messages fail
    handled_per_s_with_twice_as_much: dict[str, float]  # a quarter above it, of each resource, best first
    sweep: list[Step]


def find(fleet: Fleet) -> Saturation:
    """Search."""
    steps: dict[float, Step] = {}
    victims: dict[float, str] = {}

    def works(factor: float) -> bool:
        if factor not in steps:
            result, victims[factor] = _stretch(fleet, factor)
            rate = result.offered / (result.simulated_ms / 1000)
            p50, p95, p99 = map(result.latency.at, (50, 95, 99))
            steps[factor] = Step(factor, rate, result.rate, p50, p95, p99, not victims[factor])
        return steps[factor].stable

    low = high = 1.0
    if works(1.0):
        while works(high) and high < FACTOR_MAX:
            low, high = high, high * 2
    else:
        while not works(low) and low > FACTOR_MIN:
            low, high = low / 2, low
        if not works(low):
            low = 0.0
    while low and high / low > 1 + FINE:
        middle = (low * high) ** 0.5
        if works(middle):
            low = middle
        else:
            high = middle
    above = high * 1.25
    works(above)
    base = steps[above].handled
    helps = [(name, _stretch(better, above)[0].rate) for name, better in twice_as_good(fleet)]
    helps.sort(key=lambda one: -one[1])
    bottleneck = helps[0][0] if helps[0][1] > 1.02 * base else "several together"
    ordered = [steps[factor] for factor in sorted(steps)]
    return Saturation(low * fleet.rate, low, bottleneck, victims[high], dict(helps), ordered)


def _stretch(fleet: Fleet, factor: float) -> tuple[Result, str]:
    """The fleet for a while at `factor` times its rates; and the group that fails, "" if none does."""
    slowest = max(kind.every_s for group in fleet.devices for kind in group.messages)
    messages = min(MESSAGES_MAX, max(MESSAGES, PERIODS * slowest * fleet.rate))
    rate = fleet.rate * factor
    span = max(messages, min(rate * SECONDS, MESSAGES_MOST)) / rate * 1000
    flow = Flow(fleet, fleet.run.seed, factor)
    quarters = []
    for quarter in range(1, 5):
        flow.run(span * quarter / 4)
        quarters.append([_so_far(group) for group in flow.groups])
    victim, worst = "", 0.0
    for group, first, half, third, end in zip(flow.groups, *quarters, strict=True):
        finished = end[1] - third[1]
        early = (half[2] - first[2]) / max(1, half[1] - first[1])
        late = (end[2] - third[2]) / max(1, finished)
        # What was due before the last quarter began must be done when it ends.
        missing = end[1] < SHARE * third[0] - 1
        growth = (late - early) / (span / 2)
        if (missing or (growth > GROWTH and late > 1.25 * early)) and growth >= worst:
            victim, worst = group.config.name, growth
        elif missing and not victim:
            victim = group.config.name
    return Result(flow, span), victim


def _so_far(group: Group) -> tuple[int, int, float]:
    """Offered, handled, and the sum of their latencies."""
    return (
        sum(stream.offered for stream in group.streams),
        sum(stream.finished for stream in group.streams),
        sum(stream.latency.sum for stream in group.streams),
    )


def twice_as_good(fleet: Fleet) -> list[tuple[str, Fleet]]:
    """The fleet with one resource twice as good, for each that it has."""
    swap = dataclasses.replace
    better: list[tuple[str, Fleet]] = []

    def devices(**changes: float) -> tuple[object, ...]:
        return tuple(
            swap(group, **{key: type(getattr(group, key))(getattr(group, key) * by) for key, by in changes.items()})
            for group in fleet.devices
        )

    links = {group.link for group in fleet.devices}
    if "serial" in links:
        # A faster line is as clean a line: errors are for each bit.
        faster = swap(fleet.serial, baud=min(2 * fleet.serial.baud, 10_000_000))
        better.append(("baud rate", swap(fleet, serial=faster, devices=devices(baud=2))))
        better.append(("gateway processor", swap(fleet, gateway=swap(fleet.gateway, slower=fleet.gateway.slower / 2))))
    if "wifi" in links:
        radio = swap(fleet.wifi, mbit_s=2 * fleet.wifi.mbit_s, overhead_ms=fleet.wifi.overhead_ms / 2)
        better.append(("Wi-Fi channel", swap(fleet, wifi=radio)))
    stores = any(group.store != "memory" for group in fleet.devices)
    flash = swap(fleet.flash, program_ms=fleet.flash.program_ms / 2, erase_ms=fleet.flash.erase_ms / 2)
    better.append(("device processor", swap(fleet, devices=devices(cpu_ms=0.5))))
    if stores:
        better.append(("device flash", swap(fleet, flash=flash)))
    better.append(("window of the devices", swap(fleet, devices=devices(window=2))))
    broker = fleet.broker
    better.append(("broker processor", swap(fleet, broker=swap(broker, slower=broker.slower / 2))))
    if broker.store != "memory":
        better.append(("broker disk", swap(fleet, broker=swap(broker, sync_ms=broker.sync_ms / 2))))
    better.append(("window of the consumer", swap(fleet, broker=swap(broker, window=2 * broker.window))))
    consumer = fleet.consumer
    faster_consumer = swap(
        consumer, slower=consumer.slower / 2, handler_ms=consumer.handler_ms / 2, sync_ms=consumer.sync_ms / 2
    )
    better.append(("consumer", swap(fleet, consumer=faster_consumer)))
    return better
