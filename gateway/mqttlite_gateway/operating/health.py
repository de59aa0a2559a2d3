"""Whether the gateway does what it is there for. A health check that says OK without its adapter helps nobody."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..gateway import Gateway

NO_PORT = "no port"


def reasons(gateway: "Gateway") -> list[str]:
    """What is wrong, a sentence each: an adapter that is gone, an upstream that cannot be reached, a store that has
    failed. Empty: nothing is. A port without a device is no trouble: devices are switched off.
    """
    found = []
    if gateway.broker is not None:
        from mqttlite.broker.operating.health import trouble

        if what := trouble(gateway.broker):
            found.append(what)
    for uplink in gateway.uplinks:
        state = uplink.describe()
        if not state.get("connected"):
            found.append(f"upstream {state.get('name')}: {state.get('problem') or 'not connected'}")
    ports = getattr(gateway, "ports", None)
    found += [f"no port with {words}: is the adapter plugged in?" for words in (ports.missing if ports else ())]
    said = set()
    for line in list(gateway.lines):
        state = line.describe()
        if state.get("looks_like") == NO_PORT:
            port, advice = str(state.get("port")), state.get("advice") or "the adapter is not there"
            found.append(advice if port in advice else f"{port}: {advice}")
        elif gateway.broker is None and (problem := _upstream(state)) and problem not in said:
            said.add(problem)
            found.append(f"upstream: {problem}")
    return found


def _upstream(line: dict[str, Any]) -> str:
    """In forward mode: why the device of a line has no broker."""
    return str(line.get("broker_problem") or "") if line.get("link") and not line.get("broker") else ""
