"""How a line is, as plain data: for the status topics, the page, metrics."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .line import GatewayLine

_COUNTERS = (
    "sent",
    "resent",
    "received",
    "repaired",
    "damaged",
    "foreign",
    "timeouts",
    "duplicates",
    "log_drops",
    "resets",
)


def state_of(line: "GatewayLine") -> dict[str, Any]:
    """The state of one line as plain data."""
    stats = line.link.stats
    looks_like, advice = line.problem()
    return {
        "port": line.config.path,
        "device": line.device_id,
        "link": line.link.up,
        "looks_like": looks_like,
        "advice": advice,
        "broker": line.forwarder.connected,
        "broker_problem": line.forwarder.problem,
        "connections": line.forwarder.connections,
        "refused": line.forwarder.refused,
        "up_bytes": line.forwarder.up_bytes,
        "down_bytes": line.forwarder.down_bytes,
        "rtt_ms": stats.srtt_ms,
        "log_lines_left_out": line.say.left_out,
        "frames": {name: getattr(stats, name) for name in _COUNTERS},
    }
