"""The whole gateway: every port, and the status of all."""

import asyncio
import logging
from pathlib import Path

from . import status
from .config import Config
from .lines.console_socket import ConsoleSocket, default_path
from .lines.line import GatewayLine, SetUp
from .lines.names import Names
from .lines.upstream import Upstream

log = logging.getLogger("mqttlite.gateway")


async def run(config: Config, *, check: bool = False, set_up: SetUp | None = None) -> None:
    """Serve all ports of a checked configuration until cancelled. `check`: say at once whether the broker is there.
    `set_up`: gives boards that wait for them their settings.
    """
    upstream = Upstream(config.upstream, config.tls)
    names: Names[GatewayLine] = Names()
    lines = [GatewayLine(port, upstream, names, set_up) for port in config.serial]
    log.info("forwarding %d serial port(s) to %s", len(lines), upstream.name)
    socket = default_path() if config.console == "auto" else Path(config.console) if config.console else None
    async with asyncio.TaskGroup() as tasks:
        if socket:
            tasks.create_task(ConsoleSocket(socket, lines).run())
        for line in lines:
            tasks.create_task(line.run())
        if check:
            tasks.create_task(upstream.check())
        if config.status_topic:
            tasks.create_task(status.publish_for_ever(config, lines))
