"""A run of the model, and what it measured. The same fleet and seed give the same result."""

from dataclasses import dataclass

from . import costs
from .fleet import YEAR_DAYS, Fleet, rate_of
from .flow import Flow
from .parts import Group, Latencies, Stream

DAY_S = 86_400


@dataclass
class LineUse:
    """All lines of a group: bytes, frames, MQTT bytes by direction; frames that are repeats, and that were repaired."""

    up_bytes: int = 0
    down_bytes: int = 0
    up_frames: int = 0
    down_frames: int = 0
    repeats: int = 0
    repaired: int = 0
    up_mqtt: int = 0
    down_mqtt: int = 0


@dataclass
class StreamUse:
    """One kind of message of a group. `latency`: from due at the device (an answer: from its command) to handled."""

    name: str
    qos: int
    packet_bytes: int
    offered: int
    finished: int
    latency: Latencies


@dataclass
class GroupUse:
    """What was measured of a group. `mean_held`: messages of one device that are not confirmed, on average."""

    name: str
    count: int
    streams: list[StreamUse]
    line: LineUse
    deepest: int
    mean_held: float
    syncs: int
    erases: float
    erases_per_day: float  # of one device
    flash_years: float  # infinite without a store


@dataclass
class Outage:
    """Gateway and broker were off for `seconds`, all devices went on."""

    seconds: float
    waiting: int  # messages due and not handled, at most
    device_waiting: int  # of one device
    late: int  # messages that took longer than without it
    longest_s: float
    recovered_s: float  # after power was back; infinite: not within the time that was simulated


@dataclass
class Result:
    """What was measured. `busy`: share of the time by resource; of lines and devices the busiest one's."""

    simulated_s: float
    groups: list[GroupUse]
    busy: dict[str, float]
    latency: Latencies  # of all messages at QoS 1 and 2, or at QoS 0 if there are no others
    offered: int
    finished: int
    deepest_backlog: int
    deepest_inbox: int
    deepest_queue: int
    broker_syncs: int
    device_syncs: int
    consumer_syncs: int
    broker_held: float  # messages at the broker that the consumer has not handled, on average
    radio_bytes: int

    @property
    def rate(self) -> float:
        """Messages handled in a second."""
        return self.finished / self.simulated_s


def simulated_ms(fleet: Fleet) -> float:
    """How much is simulated one by one: the whole time, or as long as the number of messages allows."""
    return min(fleet.run.hours * 3_600_000, fleet.run.detail / fleet.rate * 1000)


def simulate(fleet: Fleet, *, speed: float = 1.0, until_ms: float | None = None, seed: int | None = None) -> Result:
    """Run the fleet with all rates times `speed`."""
    span = simulated_ms(fleet) if until_ms is None else until_ms
    flow = Flow(fleet, fleet.run.seed if seed is None else seed, speed)
    flow.run(span)
    return measured(flow, span)


def measured(flow: Flow, span: float) -> Result:
    """What a flow has come to after `span` ms."""
    fleet = flow.fleet
    groups = [_group(fleet, group, span) for group in flow.groups]
    all_streams = [stream for group in flow.groups for stream in group.streams]
    latency = Latencies()
    for stream in [one for one in all_streams if one.qos] or all_streams:
        latency.join(stream.latency)
    return Result(
        simulated_s=span / 1000,
        groups=groups,
        busy=_busy(flow, span),
        latency=latency,
        offered=sum(stream.offered for stream in all_streams),
        finished=sum(stream.finished for stream in all_streams),
        deepest_backlog=flow.deepest_backlog,
        deepest_inbox=flow.deepest_inbox,
        deepest_queue=flow.deepest_queue,
        broker_syncs=flow.commits,
        device_syncs=sum(group.syncs for group in flow.groups),
        consumer_syncs=flow.consumer_syncs,
        broker_held=flow.broker_held_ms / span,
        radio_bytes=flow.radio.bytes,
    )


def _stream(stream: Stream) -> StreamUse:
    return StreamUse(stream.name, stream.qos, stream.size, stream.offered, stream.finished, stream.latency)


def _group(fleet: Fleet, group: Group, span: float) -> GroupUse:
    use = LineUse()
    for device in group.devices:
        if device.line:
            up, down = device.line.up, device.line.down
            up.finish(span)
            down.finish(span)
            use.up_bytes += up.bytes
            use.down_bytes += down.bytes
            use.up_frames += up.frames
            use.down_frames += down.frames
            use.repeats += up.repeats + down.repeats
            use.repaired += up.repaired + down.repaired
            use.up_mqtt += up.mqtt
            use.down_mqtt += down.mqtt
    count = len(group.devices)
    # By the plan's rates, not by how many came by chance.
    offered = sum(stream.offered for stream in group.streams)
    per_day = group.erases / max(1, offered) * rate_of(group.config) * DAY_S
    blocks = fleet.flash.size_kb * 1024 // costs.FLASH_BLOCK
    return GroupUse(
        name=group.config.name,
        count=count,
        streams=[_stream(stream) for stream in group.streams],
        line=use,
        deepest=group.deepest,
        mean_held=group.held_ms / span / count,
        syncs=group.syncs,
        erases=group.erases,
        erases_per_day=per_day,
        flash_years=blocks * fleet.flash.endurance / per_day / YEAR_DAYS if per_day else float("inf"),
    )


def _busy(flow: Flow, span: float) -> dict[str, float]:
    """Shares of the time. The disk is no limit of its own: a busy one makes commits that more messages share."""
    busy = {}
    for group in flow.groups:
        name = group.config.name
        busy[f"{name}: device"] = max(device.busy_ms for device in group.devices) / span
        lines = [device.line for device in group.devices if device.line]
        if lines:
            busy[f"{name}: line up"] = max(line.up.busy_ms for line in lines) / span
            busy[f"{name}: line down"] = max(line.down.busy_ms for line in lines) / span
    if flow.radio.frames:
        busy["Wi-Fi channel"] = flow.radio.busy_ms / span
    busy["gateway processor"] = flow.gateway_busy_ms / span
    busy["broker processor"] = flow.broker_busy_ms / span
    if flow.commits:
        busy["broker disk"] = flow.disk_busy_ms / span
    busy["consumer"] = flow.consumer_busy_ms / span
    return busy


def outage(fleet: Fleet) -> Outage | None:
    """One power cut of gateway and broker: what gathers, and how long it takes until all of it is handled."""
    seconds = fleet.gateway.outage_s
    if not fleet.gateway.cuts_per_year or not seconds:
        return None
    begin = min(30_000.0, 1_000.0 * fleet.run.detail / fleet.rate)
    end = begin + seconds * 1000
    flow = Flow(fleet, fleet.run.seed, outage=(begin, end))
    flow.run(begin)
    before = flow.backlog
    usual = max(stream.latency.longest for group in flow.groups for stream in group.streams)
    flow.run(end)
    waiting = flow.backlog
    device_waiting = max(group.deepest for group in flow.groups)
    limit = end + max(60_000.0, 2 * seconds * 1000)
    at = end
    while flow.backlog > 2 * before + 5 and at < limit:
        at += 100.0
        flow.run(at)
    recovered = (at - end) / 1000 if flow.backlog <= 2 * before + 5 else float("inf")
    late = longest = 0.0
    for group in flow.groups:
        for stream in group.streams:
            late += stream.latency.above(max(2 * usual, 1000.0))
            longest = max(longest, stream.latency.longest)
    return Outage(seconds, waiting, device_waiting, int(late), longest / 1000, recovered)
