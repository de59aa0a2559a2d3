"""The broker's asyncio shell: what it listens on, its beginning and end, one task for all deadlines.

It decides nothing about MQTT: connection.py takes bytes to the engine and away from it, once in each turn (turns.py).
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

from ..ledger.ledger import Ledger
from ..store.base import StoreError
from .access.access import Access, by_kind, guard_of
from .access.authentication import Authenticate
from .access.guard import Guard
from .access.hooks import Authenticating, Hooks
from .audit import audit
from .clients.broker_store import BrokerStore
from .connections.broker_loop import poll_of
from .connections.commit_gate import CommitGate
from .connections.connection import Connection
from .connections.doors import Doors
from .connections.protocol import Protocol
from .connections.thin import ThinTransport
from .connections.turns import Turns, now_ms
from .counting.stats import Stats
from .engine import Engine
from .gates.log_rate import LogRate
from .limits import Limits
from .listening.listener import Listener, Tls
from .reloading import differences, differences_of_access, strangers, succeed
from .routing.router import Router
from .routing.witnessed import WitnessedRouter
from .sessions import restoring
from .sessions.admission import Vouch

log = logging.getLogger("mqttlite.broker")

LINGER_STOP_MS = 1000  # when the broker stops, for clients to close that have been sent everything


class Broker:
    """An MQTT broker (3.1, 3.1.1 and 5.0): `async with Broker(listen=["mqtt://127.0.0.1:1883"]) as broker: ...`

    `listen`: addresses, mqtt://HOST:PORT (port 0: any that is free), mqtts:// (TLS), ws:// and wss:// (WebSocket) with
    a path behind the port, unix:///PATH, or Listener(...) for what an address does not say. `tls` has the certificate
    for mqtts:// and wss://, `origins` the pages from which browsers may open WebSockets (origins.py); a Listener has
    its own. Entering the block raises listen.ListenError where one cannot be had. `addresses` has the real ones,
    `stats` the counters.
    `store`: a path, or a BrokerStore: persistent sessions, all that is queued for them, and retained messages survive
    whatever ends the process, and nothing is acknowledged before it is durable. Entering the block raises StoreError
    where the file cannot be used; when it fails later, the broker closes all connections and `failed` is done.
    Without a store, everything lives in memory.
    `authenticate`: a generator function that says who may connect (authentication.py), or a coroutine function that
    says who somebody is, the same as Hooks(authenticate=...); without one, everybody may.
    `access`: users, rules and who may be anonymous (access/access.py); without one, everybody may everything. `hooks`:
    functions of the program's own that have a say in it (access/hooks.py).
    Beyond this machine a broker needs `access` or `authenticate`, or listeners that require certificates: entering the
    block raises ListenError where everybody on the network could connect, unless `Access(anonymous=True)` says so.
    `ledger`: a path, or a mqttlite.ledger.Ledger: what happens to messages with idempotency keys is noted there, for
    `mqttlite verify`; it decides nothing. Entering the block raises ValueError where its file cannot be opened.
    `server_reference`: HOST:PORT of another server, of which clients are told when there is no room, or at the end.
    """

    def __init__(
        self,
        listen: "Iterable[str | Listener]" = ("mqtt://127.0.0.1:1883",),
        limits: Limits | None = None,
        store: "BrokerStore | str | os.PathLike[str] | None" = None,
        *,
        tls: Tls | None = None,
        origins: Iterable[str] = (),
        authenticate: Authenticate | Authenticating | None = None,
        access: Access | None = None,
        hooks: Hooks | None = None,
        server_reference: str = "",
        ledger: "Ledger | str | os.PathLike[str] | None" = None,
    ) -> None:
        self._listeners = _checked(listen, limits, store, tls, origins)
        if authenticate is not None and not callable(authenticate):
            raise TypeError(f"authenticate must be a generator or coroutine function, not {authenticate!r:.60}")
        steps, hooks = by_kind(authenticate, hooks)
        if not isinstance(server_reference, str):
            raise TypeError(f"server_reference must be a string, as 'host:1883', not {server_reference!r:.60}")
        self.limits = replace(limits or Limits())  # one of its own, which changes (new_limits.py)
        self.store = (
            BrokerStore(store, size_max=self.limits.store_bytes) if isinstance(store, (str, os.PathLike)) else store
        )
        if self.store:
            self.store.on_failure = self._fail
        self.commit_gate = CommitGate(self.store, self._fail, self._go_on) if self.store else None
        self.ledger = _ledger_of(ledger)
        self.engine = Engine(
            self.limits,
            store=self.store,
            authenticate=steps,
            server_reference=server_reference,
            guard=guard_of(access, hooks),
            make_router=Router if self.ledger is None else partial(WitnessedRouter, self.ledger),
        )
        self._turns = Turns(self.engine, self.commit_gate)
        self.connections: dict[Connection, None] = self._turns.connections
        self._doors = Doors(lambda: Connection(self._turns), lambda: Protocol(self._turns), self._crowded)
        self._log_rate = LogRate(self.limits.log_lines_a_second, now_ms)
        self._has_authenticate = authenticate is not None
        self._timer: asyncio.Task[None] | None = None

    @property
    def addresses(self) -> list[str]:
        """Where it listens, with the real ports."""
        return self._doors.addresses

    @property
    def guard(self) -> Guard:
        """Who says who may connect and do what."""
        return self.engine.router.guard

    @property
    def stats(self) -> Stats:
        """What has been counted since the start: messages, bytes, drops by cause."""
        return self.engine.stats

    def changed(self) -> None:
        """The engine has been called from elsewhere: what it leaves is written soon."""
        self._turns.changed()

    async def join(self, sock: socket.socket, place: str, vouch: Vouch | None = None) -> None:
        """Serve the client at the other end of a stream that this program has opened, such as a pair of sockets, until
        it ends. `sock` is the broker's from now on, and does not block. `place`: where the client is, for logs and
        limits, instead of an address. `vouch`: says who a client at this place is, or None, and then it is asked as
        others are (admission.py).
        """
        if vouch is not None:
            self.engine.vouched[place] = vouch
        loop = asyncio.get_running_loop()
        poll = poll_of(loop)
        if poll:
            ThinTransport(loop, poll, sock, None, Connection(self._turns, place))
        else:
            await loop.connect_accepted_socket(lambda: Protocol(self._turns, place), sock)

    async def __aenter__(self) -> Self:
        if self.ledger is not None:
            await self.ledger.open()
        self._turns.start()
        self.failed: asyncio.Future[StoreError] = asyncio.get_running_loop().create_future()
        if self.store:
            restoring.load(self.engine, await self.store.open(), now_ms(), int(time.time() * 1000))
        else:
            self.engine.router.epoch = int(time.time() * 1000) - now_ms()
        log.addFilter(self._log_rate)
        try:
            await self._doors.take(self._doors.prepare(self._listeners, strangers(self.guard, self._has_authenticate)))
        except BaseException:
            log.removeFilter(self._log_rate)
            await self._stop()
            raise
        self._timer = asyncio.create_task(self._watch_deadlines(), name="deadlines of the broker")
        for url in self.addresses:
            log.info("listening on %s", url)
        if self.store:
            engine = self.engine
            log.info("%s: %d sessions, %d retained", self.store.path, len(engine.sessions), len(engine.router.retained))
        else:
            log.info("sessions live in memory: they do not survive a restart; --store keeps them")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        """Close everything: output leaves as far as clients take it within `close_ms`; no wills are published."""
        self._turns.stop()
        if self.store:
            self.store.hurry()
        self._doors.close()
        if self._timer:
            self._timer.cancel()
            try:
                with contextlib.suppress(asyncio.CancelledError):
                    await self._timer
                await self._turns.asking.stop()
                await self._end_connections()
                log.info("stopped")
            finally:
                log.removeFilter(self._log_rate)
        if self.store:
            with contextlib.suppress(StoreError):  # said already
                await self.store.close()
        if self.ledger is not None:
            await self.ledger.close()

    async def _end_connections(self) -> None:
        self.engine.shut_down()
        self.flush()
        if self.commit_gate:
            await self.commit_gate.passed()
        await self._ended(min(LINGER_STOP_MS, self.limits.close_ms))
        for connection in list(self.connections):
            if not connection.transport.get_write_buffer_size():
                connection.transport.abort()
        await self._ended(self.limits.close_ms - LINGER_STOP_MS)
        for connection in list(self.connections):
            connection.transport.abort()
        await self._ended(None)

    async def _ended(self, ms: int | None) -> None:
        """Wait until all connections have ended, `ms` at most."""
        open_ = {connection.ended() for connection in self.connections}
        if open_:
            await asyncio.wait(open_, timeout=None if ms is None else max(ms, 0) / 1000)

    def _fail(self, error: StoreError) -> None:
        """The store is of no use: what is not acknowledged by now may or may not be durable, so nobody is told."""
        if self.failed.done():
            return
        self.failed.set_result(error)
        log.critical("%s; all connections are closed", error)
        self._doors.refuse()
        for connection in self.connections:
            connection.transport.abort()

    def _crowded(self, address: str) -> None:
        """One connection of very many was closed before it was let in."""
        text = "closed before it was let in: very many come, and most of them from there"
        self.engine.watch.hit("half_open", address, text, now_ms())

    def _go_on(self) -> None:
        """There is room for more output."""
        for connection in self.connections:
            connection.pause_or_resume()

    async def reload(
        self,
        listen: "Iterable[str | Listener]",
        limits: Limits,
        access: Access | None = None,
        hooks: Hooks | None = None,
        *,
        by: str = "the program",
    ) -> int:
        """Other listeners, limits, users and rules, all of them or none: how many things are different. Certificates
        are read again. Connections stay, but for those that may not be here any more. ListenError, ValueError or
        TypeError says what is wrong, and then nothing has changed. `by`: who wants it, for the log (audit.py).
        """
        listeners = _checked(listen, limits, None, None, ())
        guard = guard_of(access, hooks)
        changes = [*differences(self.limits, limits), *differences_of_access(self.guard, guard)]
        exchange = self._doors.prepare(listeners, strangers(guard, self._has_authenticate))
        succeed(self.guard, guard)
        self.engine.set_limits(limits, now_ms())
        self._log_rate.take_limit(limits.log_lines_a_second)
        self.engine.set_guard(guard, now_ms())  # before anybody comes in at a new listener
        self.flush()
        changes += await self._doors.take(exchange)
        for change in changes:
            audit(by, change)
        return len(changes)

    def set_access(self, access: Access | None = None, hooks: Hooks | None = None) -> None:
        """Other users, rules and hooks from now on: connections stay, but for those that may not be here any more.
        ListenError: everybody on the network could connect.
        """
        guard = guard_of(access, hooks)
        self._doors.check(strangers(guard, self._has_authenticate))
        changes = list(differences_of_access(self.guard, guard))
        succeed(self.guard, guard)
        self.engine.set_guard(guard, now_ms())
        self._turns.changed()
        for change in changes:
            audit("the program", change)

    def reload_certificates(self) -> int:
        """Read the files of all listeners with TLS again: new connections get what is in them, those that are there
        stay as they are. How many listeners have TLS. ValueError says which file is not as it should be: then nothing
        has changed, for none of them.
        """
        return self._doors.reload_certificates()

    async def _watch_deadlines(self) -> None:
        while True:
            now = now_ms()
            wait_ms = 1000
            try:
                wait_ms = self.engine.tick(now)
                for line in self._log_rate.summaries():
                    log.warning("%s", line)
                for connection in list(self._turns.closing):
                    connection.cut_off(now)
                self.flush()
            except Exception:  # a fault of ours: without this task nobody would ever time out again
                log.exception("unexpected error while looking at deadlines")
            await asyncio.sleep(wait_ms / 1000)

    def flush(self) -> None:
        """Write at once what the engine has for its peers."""
        self._turns.flush()


def _ledger_of(ledger: object) -> Ledger | None:
    """The ledger that is meant; TypeError: none is."""
    if isinstance(ledger, (str, os.PathLike)):
        return Ledger(ledger)
    if ledger is not None and not isinstance(ledger, Ledger):
        raise TypeError(f"ledger must be a path or a mqttlite.ledger.Ledger, not {ledger!r:.60}")
    return ledger


def _checked(listen: object, limits: object, store: object, tls: object, origins: object) -> list[Listener]:
    """What to listen on; TypeError names an argument of another type."""
    if isinstance(listen, str):
        host = listen if ":" in listen else f"{listen}:{limits if type(limits) is int else 1883}"
        url = listen if "://" in listen else f"mqtt://{host}"
        raise TypeError(f"listen must be a list of URLs, not one: write Broker([{url!r:.60}])")
    if not isinstance(listen, Iterable):
        raise TypeError(f"listen must be a list of URLs, as in ['mqtt://127.0.0.1:1883'], not {listen!r:.60}")
    urls: list[str | Listener] = list(listen)
    if not all(isinstance(url, (str, Listener)) for url in urls):
        raise TypeError(f"listen must be a list of URLs, as in ['mqtt://127.0.0.1:1883'], not {urls!r:.60}")
    if limits is not None and not isinstance(limits, Limits):
        raise TypeError(f"limits must be Limits(...), not {limits!r:.60}")
    if store is not None and not isinstance(store, (str, os.PathLike, BrokerStore)):
        raise TypeError(f"store must be a path or a BrokerStore, not {store!r:.60}")
    if tls is not None and not isinstance(tls, Tls):
        raise TypeError(f"tls must be Tls(certificate, ...), not {tls!r:.60}")
    if isinstance(origins, str) or not isinstance(origins, Iterable):
        raise TypeError(f"origins must be a list, as in ['https://example.org'], not {origins!r:.60}")
    names = tuple(str(origin) for origin in origins)
    return [each if isinstance(each, Listener) else Listener(each, tls, names) for each in urls]
