"""What there is to see of a broker, as Prometheus reads it (text format 0.0.4): names, units and types by its rules.

Counters are those of stats.Stats: what is added there appears here by itself. Nothing has a label with a name from
outside, such as a client identifier: the number of series is fixed. Imports view, histogram, loop_watch, limits, stats.
"""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ... import __version__
from ..counting.histogram import Histogram
from ..counting.stats import Stats
from ..limits import NAMES
from . import health, view
from .loop_watch import LoopWatch

if TYPE_CHECKING:
    from ..server import Broker

PREFIX = "mqttlite_"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Counters whose name is not that of the field, and what they count
_COUNTERS = {
    "messages_received": ("messages_received", "PUBLISH from clients, repeats not counted"),
    "messages_sent": ("messages_sent", "One for each client that a message was sent to or queued for"),
    "sockets": ("sockets", "Network connections that were opened, whether CONNECT came or not"),
    "bytes_received": ("received_bytes", "Bytes that came over network connections"),
    "bytes_sent": ("sent_bytes", "Bytes given to the operating system to send"),
    "connections": ("connects_accepted", "CONNECT answered with CONNACK 0"),
    "refused": ("connects_refused", "CONNECT answered with another code"),
    "expired": ("sessions_expired", "Sessions whose time was over"),
    "takeovers": ("takeovers", "Connections that ended because another one brought their client identifier"),
    "protocol_errors": ("protocol_errors", "Connections that ended because their client broke a rule of MQTT"),
    "failures": ("failures", "Unexpected exceptions; each closed one connection and is a fault of this program"),
    "wills": ("wills", "Wills that were published"),
}
_BESIDE = ("store", "named_queue_full")  # what bites for store_bytes, named_bytes and the bounds of a queue
_GAUGES = ("connected",)  # which are here under other names


class Family(NamedTuple):
    """A metric. `samples`: the end of its name, its labels, its value."""

    name: str
    kind: str
    help: str
    samples: Iterable[tuple[str, Mapping[str, str], float]]


def exposition(broker: "Broker", loop_watch: LoopWatch | None = None) -> str:
    """All of it, as it is now."""
    return written(families(broker, loop_watch))


def written(found: Iterable[Family]) -> str:
    """These metrics, as Prometheus reads them."""
    lines = []
    for name, kind, text, samples in found:
        lines.append(f"# HELP {name} {text}")
        lines.append(f"# TYPE {name} {kind}")
        for end, labels, value in samples:
            shown = ",".join(f'{label}="{_escaped(word)}"' for label, word in labels.items())
            lines.append(f"{name}{end}{{{shown}}} {value}" if shown else f"{name}{end} {value}")
    lines.append("")
    return "\n".join(lines)


def _escaped(word: str) -> str:
    return word.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def families(broker: "Broker", loop_watch: LoopWatch | None) -> Iterator[Family]:
    """Each metric of a broker, and of the process that it is in."""
    yield info()
    yield from _counters(broker.engine.stats)
    yield from _gauges(broker)
    yield from _store(broker)
    if loop_watch:
        yield _histogram("loop_lag_seconds", "How late the event loop was, asked four times a second", loop_watch.lag)
    yield _gauge("healthy", "1 while loop and store get on, as /healthz says", not health.trouble(broker))
    yield from process()


def info() -> Family:
    """What runs here."""
    labels = {"version": __version__, "python": ".".join(map(str, sys.version_info[:3]))}
    return Family(PREFIX + "build_info", "gauge", "What runs here", [("", labels, 1)])


def _counters(stats: Stats) -> Iterator[Family]:
    for field in fields(Stats):
        value = getattr(stats, field.name)
        if isinstance(value, int) and field.name not in _GAUGES and not field.name.startswith(view.DROPPED):
            name, text = _COUNTERS.get(field.name, (field.name, field.name.replace("_", " ").capitalize()))
            yield _counter(name, text, value)
    yield Family(
        PREFIX + "messages_dropped_total",
        "counter",
        "Deliveries that did not take place, by cause",
        [("", {"cause": cause}, count) for cause, count in view.drops(stats).items()],
    )
    hits = {**dict.fromkeys((*NAMES, *_BESIDE), 0), **stats.limits}
    yield Family(
        PREFIX + "limit_hits_total",
        "counter",
        "How often each limit has bitten",
        [("", {"limit": name}, count) for name, count in sorted(hits.items())],
    )


def _gauges(broker: "Broker") -> Iterator[Family]:
    engine = broker.engine
    found = view.totals(broker)
    yield _gauge("open_connections", "Network connections", len(engine.peers))
    yield _gauge("half_open_connections", "Of these, those without CONNECT", len(engine.half_open))
    yield _gauge("held_back_connections", "Of these, those whose PUBLISH waits for somebody", view.held_back(broker))
    yield _labelled(
        "sessions",
        "Sessions, by whether their client is connected",
        "state",
        {"connected": found.connected, "disconnected": found.disconnected},
    )
    yield _gauge("persistent_sessions", "Sessions that outlive their connection", found.persistent)
    yield _labelled("subscriptions", "Subscriptions", "kind", {"plain": found.subscriptions, "shared": found.shared})
    retained = engine.router.retained
    yield _gauge("retained_messages", "Retained messages of clients", len(retained) - len(retained.own))
    yield _gauge("queued_messages", "QoS 1 and 2 messages for clients, not acknowledged", found.queued)
    yield _labelled(
        "messages_in_doubt",
        "Sent and not acknowledged (out); QoS 2, received and not released (in)",
        "direction",
        {"in": found.in_doubt_in, "out": found.in_doubt_out},
    )
    yield _labelled("held_bytes", "Bytes that the broker holds, by kind", "account", dict(engine.ledger.accounts()))
    limits = broker.limits
    bounds = {name: int(getattr(limits, name)) for name in NAMES if not isinstance(getattr(limits, name), bool)}
    yield _labelled("limit", "What is allowed: sizes in bytes, times in ms, others counts", "limit", bounds)


def _store(broker: "Broker") -> Iterator[Family]:
    store = broker.store
    gate = broker.commit_gate
    if not store or not gate:
        return
    yield _histogram("store_sync_seconds", "How long a batch took to be written and synced", store.syncs)
    yield _histogram(
        "store_commit_seconds", "How long output waited for a commit, the batch before included", gate.times
    )
    yield _gauge("store_pending_bytes", "What is recorded and in no commit yet", store.pending_bytes)
    yield _gauge("store_waiting_bytes", "Output that waits for a commit", gate.bytes)
    sizes = {}
    for part, end in (("tables", ""), ("log", "-wal")):
        try:
            sizes[part] = os.stat(store.path + end).st_size
        except OSError:
            continue
    yield _labelled("store_size_bytes", "The store's files", "file", sizes)


def process() -> Iterator[Family]:
    """The names that all of Prometheus' clients have for a process."""
    times = os.times()
    yield Family(
        "process_cpu_seconds_total", "counter", "Processor time", [("", {}, round(times.user + times.system, 2))]
    )
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        started = int(Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        ago = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0]) - started / os.sysconf("SC_CLK_TCK")
        descriptors = len(os.listdir("/proc/self/fd"))
    except (OSError, ValueError, IndexError):  # no Linux
        return
    resident = pages * os.sysconf("SC_PAGE_SIZE")
    yield Family("process_resident_memory_bytes", "gauge", "Memory", [("", {}, resident)])
    yield Family("process_open_fds", "gauge", "Open files and sockets", [("", {}, descriptors)])
    began = Family("process_start_time_seconds", "gauge", "When it began", [("", {}, round(time.time() - ago, 2))])
    yield began


def _counter(name: str, text: str, value: int) -> Family:
    return Family(f"{PREFIX}{name}_total", "counter", text, [("", {}, value)])


def _gauge(name: str, text: str, value: float) -> Family:
    return Family(PREFIX + name, "gauge", text, [("", {}, int(value))])


def _labelled(name: str, text: str, label: str, values: Mapping[str, int]) -> Family:
    return Family(PREFIX + name, "gauge", text, [("", {label: word}, value) for word, value in values.items()])


def _histogram(name: str, text: str, times: Histogram) -> Family:
    samples: list[tuple[str, Mapping[str, str], float]] = []
    below = 0
    for bound, count in zip((*times.bounds, float("inf")), times.counts, strict=True):
        below += count
        samples.append(("_bucket", {"le": "+Inf" if bound == float("inf") else repr(bound)}, below))
    samples += [("_sum", {}, round(times.sum_s, 6)), ("_count", {}, below)]
    return Family(PREFIX + name, "histogram", text, samples)
