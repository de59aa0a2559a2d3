"""What the system says when a port is plugged in or out: udev's word, through pyudev. Without that nobody says
anything, and whoever wants to know has to look.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Any

log = logging.getLogger("mqttlite.gateway")

DAEMON = "/run/udev/control"  # there is one: it speaks when names and rights of a new device are in place


class PortEvents:
    """Calls `changed()` soon after a serial port has come or gone, from `open` to `close`."""

    def __init__(self, changed: Callable[[], object]) -> None:
        self._changed = changed
        self._monitor: Any = None

    def open(self) -> bool:
        """Begin; False: the system cannot say, or pyudev is missing."""
        try:
            import pyudev

            monitor = pyudev.Monitor.from_netlink(pyudev.Context(), "udev" if os.path.exists(DAEMON) else "kernel")
            monitor.filter_by("tty")
            monitor.start()
        except (ImportError, OSError) as error:
            log.debug("ports are looked for now and then: %s", error)
            return False
        self._monitor = monitor
        asyncio.get_running_loop().add_reader(monitor.fileno(), self._read)
        return True

    def close(self) -> None:
        """End."""
        if self._monitor is not None:
            asyncio.get_running_loop().remove_reader(self._monitor.fileno())
            self._monitor = None

    def _read(self) -> None:
        while self._monitor.poll(0) is not None:
            pass
        self._changed()
