"""The state of each line, published for whoever wants to see it: TOPIC/<device>, JSON, every few seconds, QoS 0."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

from mqttlite.client import Client

from .config import Config

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


def describe(line: "GatewayLine") -> dict[str, Any]:
    """The state of one line as plain data."""
    stats = line.link.stats
    return {
        "port": line.config.path,
        "device": line.device_id,
        "link": line.link.up,
        "broker": line.forwarder.connected,
        "connections": line.forwarder.connections,
        "refused": line.forwarder.refused,
        "up_bytes": line.forwarder.up_bytes,
        "down_bytes": line.forwarder.down_bytes,
        "rtt_ms": stats.srtt_ms,
        "frames": {name: getattr(stats, name) for name in _COUNTERS},
    }


async def publish_for_ever(config: Config, lines: "list[GatewayLine]") -> None:
    """Publish the state of all lines; the connection is the gateway's own, with a will on TOPIC/online."""
    will = (f"{config.status_topic}/online", "0", 1, True)
    async with Client(config.upstream, will=will, retry_first=True) as client:
        await client.publish(f"{config.status_topic}/online", "1", qos=1, retain=True)
        while True:
            for line in lines:
                if line.device_id:
                    topic = f"{config.status_topic}/{line.device_id}"
                    await client.publish(topic, json.dumps(describe(line)), qos=0)
            await asyncio.sleep(config.status_every_s)
