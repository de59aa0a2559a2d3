"""Keeps the connections of clients whose application lets nothing else run. Host only.

A handler that blocks (`time.sleep`, a slow query) stops the event loop, and with it PINGREQ: the broker closes after
1.5 times the keep alive, and sends again what was not acknowledged. So one thread, the same for all clients of a
process, looks ten times in each keep alive. Where PINGREQ is overdue it writes it to the socket itself, if no packet is
half written; it never writes anything else, as all else may depend on a commit. It says who blocks, and for how long.

The thread begins with the first connection that has a keep alive and a socket, and ends with the last: a serial line,
and the simulated network, have none. A handler that holds CPython's lock all the time (an extension in C) holds this
thread up as well.
"""

import contextlib
import sys
import threading
from typing import TYPE_CHECKING

from ...serial.clock import now_ms

if TYPE_CHECKING:
    import asyncio

    from ..connector import Connector
    from .sockets import SocketTransport

PINGREQ = b"\xc0\0"
LOOK_MIN_MS = 50
LOOK_MAX_MS = 5000


class Guard:
    """Of one connection. `look` is called in the thread."""

    def __init__(self, connector: "Connector", transport: "SocketTransport", loop: "asyncio.AbstractEventLoop") -> None:
        self._connector = connector
        self._life = connector.life
        self._transport = transport
        self._loop = loop
        self._thread = threading.get_ident()  # of the event loop
        # PINGREQ leaves after 0.9 keep alives (core/client.py)
        self._overdue_ms = connector.life.protocol.keep_alive_ms * 19 // 18
        self.look_ms = min(max(connector.life.protocol.keep_alive_ms // 9, LOOK_MIN_MS), LOOK_MAX_MS)
        self._asked_at = 0  # ms; when the event loop was asked whether it still turns; 0: it was not
        self._told_at = 0  # ms; since when it has been standing still, as a warning has told; 0: none has

    def look(self) -> None:
        """Whether PINGREQ is overdue, and who is to blame."""
        protocol = self._life.protocol
        now = now_ms()
        if now - protocol.sent_at >= self._overdue_ms and self._transport.write_beside(PINGREQ, self._may_ping):
            protocol.sent_at = now
        if not self._asked_at:
            self._asked_at = now
            with contextlib.suppress(RuntimeError):  # that event loop is closed
                self._loop.call_soon_threadsafe(self._turned)
        elif not self._told_at:
            # What it was asked is not answered: it stands still since then, or since it gave out a message before.
            since = max(self._connector.incoming.since, self._asked_at - self.look_ms)
            if now - since >= protocol.keep_alive_ms * 10 // 9:
                self._told_at = since
                self._life.log(
                    f"{self._blamed()} has let nothing else run for {(now - since) / 1000:.0f} s, longer than the keep "
                    "alive of the connection, which a thread keeps alive; hand it to client.handle(), which calls it "
                    "in a thread, or use asyncio.to_thread for what takes long"
                )

    def _may_ping(self) -> bool:
        life = self._life
        return life.is_connected and not (self._connector.is_split or life.protocol.finished or life.failure)

    def _turned(self) -> None:
        """In the event loop."""
        self._asked_at = 0
        if self._told_at:
            self._life.log(f"the event loop turns again, after {(now_ms() - self._told_at) / 1000:.1f} s")
            self._told_at = 0

    def _blamed(self) -> str:
        incoming = self._connector.incoming
        message = incoming.current or (incoming.taken[-1] if incoming.taken else None)
        who = f"the handler of a message of '{message.topic}'" if message else "the application"
        frame = sys._current_frames().get(self._thread)
        return f"{who} ({frame.f_code.co_filename}:{frame.f_lineno})" if frame else who


class Watchdog:
    """All guards of this process."""

    def __init__(self) -> None:
        self._guards: set[Guard] = set()
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, guard: Guard) -> None:
        """Look after this one from now on."""
        with self._lock:
            self._guards.add(guard)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="mqttlite watchdog", daemon=True)
                self._thread.start()
        self._changed.set()

    def remove(self, guard: Guard) -> None:
        """Do not look after this one any more; the thread ends with the last."""
        with self._lock:
            self._guards.discard(guard)
        self._changed.set()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._guards:
                    self._thread = None
                    return
                guards = list(self._guards)
                self._changed.clear()
            self._changed.wait(min(guard.look_ms for guard in guards) / 1000)
            for guard in guards:
                if guard in self._guards:
                    guard.look()


watchdog = Watchdog()
