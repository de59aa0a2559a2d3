"""The gateway as Prometheus reads it: what the broker inside tells, and lines, upstreams and ledger beside it.

Labels are ports and names of upstreams, which the gateway's file names: devices and topics have none, so that the
number of series is fixed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mqttlite.broker.operating.loop_watch import LoopWatch
from mqttlite.broker.operating.metrics import Family, families, info, process, written
from mqttlite.broker.operating.metrics_page import MetricsPage

from ..running import Running
from .health import reasons

PREFIX = "mqttlite_gateway_"

_States = Sequence[tuple[Mapping[str, str], Mapping[str, Any]]]  # labels of each, and what it says of itself


def exposition(gateway: Running, loop_watch: LoopWatch | None = None) -> str:
    """All of it, as it is now."""
    return written(_families(gateway, loop_watch))


def metrics_page(gateway: Running, address: str) -> MetricsPage:
    """The page of the broker's [metrics], with all that the gateway tells."""
    return MetricsPage(
        None,
        address,
        tell=lambda loop_watch: exposition(gateway, loop_watch),
        trouble=lambda: "\n".join(reasons(gateway)),
    )


def _families(gateway: Running, loop_watch: LoopWatch | None) -> Iterator[Family]:
    if gateway.broker is not None:
        yield from families(gateway.broker, loop_watch)
    else:
        yield info()
        yield from process()
    lines = [line.describe() for line in gateway.lines]
    uplinks = [uplink.describe() for uplink in gateway.uplinks]
    bad = reasons(gateway, lines, uplinks)
    yield Family(PREFIX + "healthy", "gauge", "1 while /healthz of the gateway says 200", [("", {}, int(not bad))])
    yield from _lines([({"port": str(found["port"])}, found) for found in lines])
    yield from _uplinks([({"upstream": str(found["name"])}, found) for found in uplinks])
    if gateway.ledger is not None:
        yield from _ledger(gateway.ledger.describe())


def _lines(states: _States) -> Iterator[Family]:
    yield _of("line_device_present", "gauge", "1 while a device is at the other end", states, "link")
    yield _of("line_connected", "gauge", "1 while its device has its connection to the broker", states, "broker")
    gone = [(labels, {"port": found.get("looks_like") != "no port"}) for labels, found in states]
    yield _of("line_port_open", "gauge", "0 while the port is not there, or cannot be opened", gone, "port")
    yield _of("line_received_bytes_total", "counter", "MQTT from the device", states, "up_bytes")
    yield _of("line_sent_bytes_total", "counter", "MQTT for the device", states, "down_bytes")
    seconds = [(labels, {"rtt": found.get("rtt_ms", 0) / 1000}) for labels, found in states]
    yield _of("line_round_trip_seconds", "gauge", "Smoothed time of a frame and its answer", seconds, "rtt")
    yield Family(
        PREFIX + "line_frames_total",
        "counter",
        "Frames of the link, by what became of them",
        [
            ("", {**labels, "what": what}, count)
            for labels, found in states
            for what, count in (found.get("frames") or {}).items()
        ],
    )


def _uplinks(states: _States) -> Iterator[Family]:
    yield _of("upstream_connected", "gauge", "1 while it is connected", states, "connected")
    yield _of("upstream_queued_messages", "gauge", "Messages that wait for it", states, "queued")
    yield _of("upstream_queued_bytes", "gauge", "Their bytes", states, "queued_bytes")
    yield _of("upstream_oldest_seconds", "gauge", "Age of the oldest of them", states, "oldest_s")
    yield _of(
        "upstream_drained_per_second", "gauge", "Messages that it has taken, a second", states, "drained_a_second"
    )
    yield _of("upstream_set_aside_messages", "gauge", "Dead letters: it has refused them", states, "set_aside")
    for name in ("sent", "acknowledged", "refused", "expired", "received"):
        yield _of(f"upstream_{name}_messages_total", "counter", f"Messages: {name}", states, name)
    yield _by("upstream_in_doubt_messages", "gauge", "Sent, not known whether taken", states, "in_doubt", "state")
    yield _by("upstream_dropped_messages_total", "counter", "Dropped, by cause", states, "dropped", "cause")


def _ledger(found: Mapping[str, Any]) -> Iterator[Family]:
    for name, value in found.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield Family(f"{PREFIX}ledger_{name}", "gauge", "As the ledger counts it", [("", {}, value)])


def _of(name: str, kind: str, text: str, states: _States, key: str) -> Family:
    return Family(PREFIX + name, kind, text, _samples(states, key))


def _samples(states: _States, key: str) -> Iterable[tuple[str, Mapping[str, str], float]]:
    for labels, found in states:
        value = found.get(key)
        if value is not None:
            yield "", labels, int(value) if isinstance(value, bool) else value


def _by(name: str, kind: str, text: str, states: _States, key: str, label: str) -> Family:
    samples = [
        ("", {**labels, label: str(word)}, count)
        for labels, found in states
        for word, count in (found.get(key) or {}).items()
    ]
    return Family(PREFIX + name, kind, text, samples)
