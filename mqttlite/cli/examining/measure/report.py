"""What was measured, as a table for people and as a dict for programs. Nothing is said that was not measured."""

import os
import platform
import time
from collections.abc import Sequence
from typing import Any

from .... import __version__
from ...variant import BUILD
from .figures import BEYOND, PERCENTILES, Figures, percentile
from .load import LAST_S, NUMBER, OVERDUE_S, Load

BUSY = 0.9  # of a core: from here on this program may be what limits

HEAD = (
    "QoS                         n  messages/s    kB/s      p50      p90      p99    p99.9      max  confirmed  own µs"
    "  busy  missing"
)


def introduction(where: str, version: str, load: Load) -> str:
    """What is about to be measured."""
    pairs = "1 pair" if load.pairs == 1 else f"{load.pairs} pairs"
    return (
        f"{where}, MQTT {version}, payloads of {load.size} bytes, {pairs} of publisher and subscriber; "
        f"{load.seconds:g} s each, after {load.warm_up_s:g} s of warm-up"
    )


def line(found: Figures) -> str:
    """A line of the table; times in ms."""
    times = found.delivered.sorted()
    shown = [_ms(percentile(times, percent)) for percent in PERCENTILES]
    confirmed = _ms(percentile(found.confirmed.sorted(), 50.0))
    own = "-" if found.own_us is None else f"{found.own_us:,.0f}"
    return (
        f"{found.qos}  {found.name:<14} {found.arrived:>10,} {found.per_s:>11,.0f} "
        f"{found.per_s * found.size / 1000:>7,.1f} "
        + " ".join(f"{text:>8}" for text in (*shown, _ms(times[-1] if times else None)))
        + f" {confirmed:>10} {own:>7} {found.busy:>5.0%} {found.missing:>8,}"
        + ("" if found.is_whole else f"  ended after {found.seconds:.1f} s")
    )


def remarks(found: Sequence[Figures]) -> list[str]:
    """What has to be known beside the table."""
    said = [
        "n: messages that arrived in the time measured. Times in ms, from the call of publish (at a rate: from when a",
        "message was due) to the subscriber, both in this program; confirmed: to the broker's word to its publisher,",
        "p50. own: processor time of this program for both ends of a message; busy: of one core. missing: had not",
        f"arrived {LAST_S:g} s after the end. A percentile beyond which fewer than {BEYOND} lie is not stated.",
        f"This machine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}: what else runs on it is in the figures.",
    ]
    if late := [f"{_ms(percentile(f.late.sorted(), 50.0))} ms at QoS {f.qos}" for f in found if f.rate]:
        said.append(f"In these times is how late messages left, this program's timer included: p50 {', '.join(late)}.")
    if empty := [f"QoS {f.qos} {f.name}" for f in found if not f.arrived]:
        said.append(f"Nothing arrived at {', '.join(empty)}: may this client publish and subscribe there (--topic)?")
    if limited := [f for f in found if f.busy >= BUSY]:
        names = ", ".join(f"QoS {f.qos} {f.name}" for f in limited)
        said.append(f"This program was busy all the time at {names}: the broker may be able to do more than that.")
    for what, name in (("Arrived more than once", "repeated"), ("Connections lost and made again", "reconnections")):
        if counts := [f"{getattr(f, name)} at QoS {f.qos} {f.name}" for f in found if getattr(f, name)]:
            said.append(f"{what}: {', '.join(counts)}")
    return said


def as_dict(where: str, version: str, load: Load, found: Sequence[Figures], is_whole: bool) -> dict[str, Any]:
    """All of it, for programs. Times in ms."""
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "url": where,
        "mqtt": version,
        "mqttlite": f"{__version__} ({BUILD})",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_of_machine": os.getloadavg()[0],
        "pairs": load.pairs,
        "warm_up_s": load.warm_up_s,
        "number_bytes": NUMBER,
        "overdue_s": OVERDUE_S,
        "is_whole": is_whole,
        "runs": [_run(figures) for figures in found],
    }


def _run(found: Figures) -> dict[str, Any]:
    times = found.delivered.sorted()
    confirmed = found.confirmed.sorted()
    return {
        "qos": found.qos,
        "window": found.window,
        "rate": found.rate,
        "size": found.size,
        "seconds": round(found.seconds, 3),
        "n": found.arrived,
        "per_s": round(found.per_s, 1),
        "bytes_per_s": round(found.per_s * found.size),
        "delivered_ms": _times(times),
        "confirmed_ms": _times(confirmed),
        "left_late_ms": _times(found.late.sorted()),
        "missing": found.missing,
        "repeated": found.repeated,
        "reconnections": found.reconnections,
        "own_cpu_us": None if found.own_us is None else round(found.own_us, 1),
        "own_cpu_share": round(found.busy, 3),
        "is_whole": found.is_whole,
    }


def _times(ordered: list[float]) -> dict[str, float | None]:
    found = {f"p{percent:g}": percentile(ordered, percent) for percent in PERCENTILES}
    found |= {"least": ordered[0] if ordered else None, "most": ordered[-1] if ordered else None}
    return {name: None if value is None else round(value * 1000, 4) for name, value in found.items()}


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:,.2f}"
