"""What the service manager is told of a gateway: that it is ready, goes on, stops, and how it is (sd_notify)."""

from mqttlite.broker.operating import health, systemd

from ..running import Running


def service_of(gateway: Running) -> systemd.Watched:
    """`async with gateway, service_of(gateway): ...`. An upstream or adapter that is gone is no trouble in this sense:
    nothing is gained by starting again.
    """
    return systemd.Watched(lambda: status(gateway), lambda: trouble(gateway), "gateway")


def trouble(gateway: Running) -> str:
    """What keeps it from its work, in words; "": nothing does."""
    return health.trouble(gateway.broker) if gateway.broker is not None else ""


def status(gateway: Running) -> str:
    """The gateway in a line, for `systemctl status`."""
    parts = [f"{sum(line.link.up for line in gateway.lines)} of {len(gateway.lines)} lines with a device"]
    for uplink in gateway.uplinks:
        state = uplink.describe()
        word = "connected" if state.get("connected") else "away"
        parts.append(f"{state.get('name')} {word}, {state.get('queued', 0)} queued")
    if gateway.broker is not None:
        parts.append(systemd.status(gateway.broker))
    return "; ".join(parts)
