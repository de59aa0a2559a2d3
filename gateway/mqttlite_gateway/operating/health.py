"""Whether the gateway does what it is there for. A health check that says OK without its adapter helps nobody."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..running import Running

NO_PORT = "no port"

_States = Sequence[Mapping[str, Any]]


def reasons(gateway: Running, lines: _States | None = None, uplinks: _States | None = None) -> list[str]:
    """What is wrong, a sentence each: an adapter that is gone, an upstream that cannot be reached, a store that has
    failed. Empty: nothing is. A port without a device is no trouble: devices are switched off. `lines`, `uplinks`: what
    they say of themselves, where it was asked already.
    """
    lines = [line.describe() for line in list(gateway.lines)] if lines is None else lines
    uplinks = [uplink.describe() for uplink in list(gateway.uplinks)] if uplinks is None else uplinks
    found = []
    if gateway.broker is not None:
        from mqttlite.broker.operating.health import trouble

        if what := trouble(gateway.broker):
            found.append(what)
    for uplink in uplinks:
        if not uplink.get("connected"):
            found.append(f"upstream {uplink.get('name')}: {uplink.get('problem') or 'not connected'}")
    found += [f"no port with {words}: is the adapter plugged in?" for words in gateway.ports.missing]
    found += gateway.bus_troubles
    for line in lines:
        if line.get("looks_like") == NO_PORT:
            port, advice = str(line.get("port")), line.get("advice") or "the adapter is not there"
            if advice not in found:  # a bus's many lines have one port
                found.append(advice if port in advice else f"{port}: {advice}")
        elif gateway.broker is None and (problem := _upstream(line)):
            found.append(f"upstream: {problem}")
    return list(dict.fromkeys(found))


def _upstream(line: Mapping[str, Any]) -> str:
    """In forward mode: why the device of a line has no broker."""
    return str(line.get("broker_problem") or "") if line.get("link") and not line.get("broker") else ""
