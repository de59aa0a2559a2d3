"""The whole gateway: every port, and the status of all."""

import asyncio
import logging
import socket

from mqttlite.client.url import Url

from . import status
from .config import Config
from .forward import READ_SIZE, Streams
from .line import GatewayLine

log = logging.getLogger("mqttlite.gateway")

PORT = 1883


async def connect_upstream(url: Url) -> Streams:
    """A connection to the broker. Raises OSError with words."""
    if url.scheme == "unix":
        return await asyncio.open_unix_connection(url.path, limit=READ_SIZE)
    reader, writer = await asyncio.open_connection(url.host or "localhost", url.port or PORT, limit=READ_SIZE)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return reader, writer


async def run(config: Config) -> None:
    """Serve all ports of a checked configuration until cancelled."""
    upstream = Url(config.upstream)
    lines = [GatewayLine(port, lambda: connect_upstream(upstream)) for port in config.serial]
    log.info("forwarding %d serial port(s) to %s", len(lines), upstream.path or upstream.host or "localhost")
    async with asyncio.TaskGroup() as tasks:
        for line in lines:
            tasks.create_task(line.run())
        if config.status_topic:
            tasks.create_task(status.publish_for_ever(config, lines))
