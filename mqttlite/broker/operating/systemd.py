"""What the service manager is told (sd_notify): that a program is ready, reloads, stops, how it is, that it gets on.

The protocol is a datagram to the socket that systemd names in $NOTIFY_SOCKET: lines NAME=VALUE. Without that variable
nothing is told. With WatchdogSec in the unit, systemd ends and restarts a broker from which it hears nothing for so
long: it is told only while the event loop turns and the store commits (health.py). Imports health.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..listening.activation import handed
from . import health

if TYPE_CHECKING:
    from ..server import Broker

log = logging.getLogger("mqttlite.broker")

STATUS_S = 30.0  # between two looks at the status


def notify(**lines: str) -> None:
    """Tell the service manager, if there is one."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.setblocking(False)
            where = "\0" + address[1:] if address.startswith("@") else address
            sock.sendto("\n".join(f"{name}={value}" for name, value in lines.items()).encode(), where)
        except OSError as error:
            log.warning("the service manager cannot be told (%s): %s", address, error)


def watchdog_s() -> float:
    """How often at least it wants to hear of this process; 0: it does not."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", "")
    return int(usec) / 1e6 if usec.isdigit() and pid in ("", str(os.getpid())) else 0.0


@contextmanager
def reloading() -> Iterator[None]:
    """The broker reads its files again in the block, with success or without."""
    notify(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))
    try:
        yield
    finally:
        notify(READY="1")


class Watched:
    """`async with Watched(status, trouble): ...`: ready now, stops at the end of the block.

    `status`: a line for `systemctl status`. `trouble`: what keeps the program from its work, in words; "": nothing,
    and the watchdog is fed. `name`: the program, as the log calls it.
    """

    def __init__(self, status: Callable[[], str], trouble: Callable[[], str], name: str) -> None:
        self._status_of = status
        self._trouble_of = trouble
        self._name = name
        self._watchdog_s = watchdog_s()
        self._timer: asyncio.TimerHandle | None = None
        self._is_watched = bool(os.environ.get("NOTIFY_SOCKET"))
        self._trouble = ""
        self._told_at = 0.0

    async def __aenter__(self) -> Self:
        for address in handed().unused():
            log.warning("systemd listens on %s for this %s, and no setting says that it does", address, self._name)
        if self._is_watched:
            notify(READY="1", STATUS=self._status())
            self._told_at = time.monotonic()
            self._look_later()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer:
            self._timer.cancel()
        notify(STOPPING="1")

    def _look_later(self) -> None:
        """After half as long as it may take, as systemd advises."""
        wait_s = min(STATUS_S, self._watchdog_s / 2 or STATUS_S)
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        self._look_later()
        trouble = self._trouble_of()
        if trouble and trouble != self._trouble and self._watchdog_s:
            log.error("%s: the service manager will restart this %s", trouble, self._name)
        self._trouble = trouble
        lines = {"WATCHDOG": "1"} if self._watchdog_s and not trouble else {}
        now = time.monotonic()
        if trouble or now - self._told_at >= STATUS_S:
            self._told_at = now
            lines["STATUS"] = self._status()
        if lines:
            notify(**lines)

    def _status(self) -> str:
        text = self._status_of()
        return f"{self._trouble}; {text}" if self._trouble else text


class Service(Watched):
    """The same for a broker."""

    def __init__(self, broker: "Broker") -> None:
        super().__init__(lambda: status(broker), lambda: health.trouble(broker), "broker")


def status(broker: "Broker") -> str:
    """A broker in a line."""
    stats = broker.stats
    return (
        f"{stats.connected} clients, {len(broker.engine.sessions)} sessions; "
        f"{stats.messages_received} received, {stats.messages_sent} sent, {stats.messages_dropped} dropped"
    )
