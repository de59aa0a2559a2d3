"""The state of each line, published for whoever wants to see it: JSON, every few seconds, QoS 0, on TOPIC/line/<port>,
and on TOPIC/<device> where there is, or was, one with a name.
"""

import asyncio
import contextlib
import json
import os
from typing import TYPE_CHECKING

from mqttlite.client import Client

from .lines.names import ONLINE, UPSTREAM, line_topic
from .settings.whole import Config

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mqttlite.broker import Broker

    from .lines.line import GatewayLine
    from .uplink import Uplink


async def publish_for_ever(config: Config, lines: "list[GatewayLine]") -> None:
    """Publish the state of all lines, and retained on TOPIC/online that the gateway is there: "1", or "0" when it ends,
    also as the will. The connection is the gateway's own.
    """
    online = f"{config.status_topic}/{ONLINE}"
    connected = asyncio.Event()

    def on_connection(is_connected: bool, _reason: str) -> None:
        if is_connected:
            connected.set()

    client = Client(
        config.upstream,
        client_id=f"mqttlite-gateway-{os.urandom(3).hex()}",  # for who reads a log, here or at the broker
        clean_session=True,
        will=(online, "0", 1, True),
        retry_first=True,
        on_connection=on_connection,
        **config.tls,
    )
    async with client:
        announcing = asyncio.create_task(_announce(client, online, connected))
        try:
            while True:
                for topic, state in _states(config, lines):
                    await client.publish(topic, state, qos=0)
                await asyncio.sleep(config.status_every_s)
        finally:
            announcing.cancel()
            with contextlib.suppress(TimeoutError):
                # Goodbye in good order, so there will be no will. Without a connection it is dropped: the will comes.
                await asyncio.wait_for(client.publish(online, "0", qos=0, retain=True), 1)


async def _announce(client: Client, online: str, connected: asyncio.Event) -> None:
    """Say after each connection that the gateway is there: the will was published when the last one was lost."""
    while True:
        await connected.wait()
        connected.clear()
        receipt = await client.publish(online, "1", qos=1, retain=True)
        await receipt.completed()


async def say_for_ever(
    broker: "Broker", config: Config, lines: "list[GatewayLine]", uplinks: "Sequence[Uplink]"
) -> None:
    """The same in bridge mode, by the broker inside, at which whoever wants to see it subscribes; and the state of each
    uplink on TOPIC/upstream/<name>.
    """
    from .inside.said import say

    online = f"{config.status_topic}/{ONLINE}"
    say(broker, online, "1", retain=True)
    try:
        while True:
            for topic, state in _states(config, lines):
                say(broker, topic, state)
            for uplink in uplinks:
                say(broker, f"{config.status_topic}/{UPSTREAM}/{uplink.name}", json.dumps(uplink.describe()))
            await asyncio.sleep(config.status_every_s)
    finally:
        say(broker, online, "0", retain=True)


def _states(config: Config, lines: "list[GatewayLine]") -> "Iterator[tuple[str, str]]":
    """Topics, and what is published there."""
    for line in list(lines):
        state = json.dumps(line.describe())
        for topic in filter(None, (line_topic(line.config.path), line.level())):
            yield f"{config.status_topic}/{topic}", state
