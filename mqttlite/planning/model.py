"""A run of the model, and what it measured. The same fleet and seed give the same result."""

from dataclasses import dataclass

from .fleet import Fleet
from .flow import Flow
from .parts import Latencies


class Result:
    """What a flow has come to after `simulated_ms`. Of its counters, those that are read here are sums.

    `busy`: share of the time by resource; of lines and devices the busiest one's. `latency`: of all messages at QoS 1
    and 2, or at QoS 0 if there are no others.
    """

    def __init__(self, flow: Flow, simulated_ms: float) -> None:
        self.flow = flow
        self.simulated_ms = simulated_ms
        self.groups = flow.groups
        for group in flow.groups:
            for line in group.lines:
                line.up.finish(simulated_ms)
                line.down.finish(simulated_ms)
        streams = flow.streams
        self.offered = sum(stream.offered for stream in streams)
        self.finished = sum(stream.finished for stream in streams)
        self.rate = self.finished / (simulated_ms / 1000)  # messages handled in a second
        self.latency = Latencies()
        for stream in [one for one in streams if one.qos] or streams:
            self.latency.join(stream.latency)
        self.device_syncs = sum(group.syncs for group in flow.groups)
        self.busy = {name: busy_ms / simulated_ms for name, busy_ms in _busy_ms(flow).items()}


def _busy_ms(flow: Flow) -> dict[str, float]:
    """By resource. The disk is no limit of its own: a busy one makes commits that more messages share."""
    busy = {}
    for group in flow.groups:
        name = group.config.name
        busy[f"{name}: device"] = max(device.busy_ms for device in group.devices)
        if group.lines:
            busy[f"{name}: line up"] = max(line.up.busy_ms for line in group.lines)
            busy[f"{name}: line down"] = max(line.down.busy_ms for line in group.lines)
    if flow.radio.frames:
        busy["Wi-Fi channel"] = flow.radio.busy_ms
    busy["gateway processor"] = flow.gateway_busy_ms
    busy["broker processor"] = flow.broker_busy_ms
    if flow.commits:
        busy["broker disk"] = flow.disk_busy_ms
    busy["consumer"] = flow.consumer_busy_ms
    return busy


def simulate(fleet: Fleet) -> Result:
    """Run the fleet message by message: for the whole time, or as long as the number of messages allows."""
    span = min(fleet.run.hours * 3_600_000, fleet.run.detail / fleet.rate * 1000)
    flow = Flow(fleet, fleet.run.seed)
    flow.run(span)
    return Result(flow, span)


@dataclass
class Outage:
    """Gateway and broker were off for `seconds`, all devices went on."""

    seconds: float
    messages_waiting: int  # due and not handled, at most
    unconfirmed_on_one_device: int
    messages_late: int  # that took longer than without it
    longest_s: float
    recovered_after_s: float  # power was back; infinite: not within the time that was simulated


def outage(fleet: Fleet) -> Outage | None:
    """One power cut of gateway and broker: what gathers, and how long it takes until all of it is handled."""
    seconds = fleet.gateway.outage_s
    if not fleet.gateway.cuts_per_year or not seconds:
        return None
    begin = min(30_000.0, 1_000.0 * fleet.run.detail / fleet.rate)
    end = begin + seconds * 1000
    flow = Flow(fleet, fleet.run.seed, outage=(begin, end))
    streams = flow.streams
    flow.run(begin)
    before = flow.backlog
    usual = max(stream.latency.longest for stream in streams)
    flow.run(end)
    waiting = flow.backlog
    device_waiting = max(group.deepest for group in flow.groups)
    limit = end + max(60_000.0, 2 * seconds * 1000)
    at = end
    while flow.backlog > 2 * before + 5 and at < limit:
        at += 100.0
        flow.run(at)
    recovered = (at - end) / 1000 if flow.backlog <= 2 * before + 5 else float("inf")
    late = sum(stream.latency.above(max(2 * usual, 1000.0)) for stream in streams)
    longest = max(stream.latency.longest for stream in streams)
    return Outage(seconds, waiting, device_waiting, late, longest / 1000, recovered)
