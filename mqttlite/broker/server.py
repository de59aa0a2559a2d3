"""The broker's asyncio shell: sockets, one write per connection and turn of the loop, one task for all deadlines.

It decides nothing about MQTT: bytes go to the engine, what it leaves in `dirty` is written, paused or closed.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self, cast

from ..store.base import StoreError
from . import handshakes
from . import listen as listening
from .authentication import Authenticate
from .broker_store import BrokerStore
from .commit_gate import CommitGate
from .engine import Engine
from .limits import Limits
from .listener import Door, Listener, Tls
from .peer import Peer
from .stats import Stats

log = logging.getLogger("mqttlite.broker")

READ_BYTES = 64 * 1024  # for one read; the buffer is shared, the engine gets its own copy of what is in it
LINGERING_MAX = 100  # closed connections whose clients have not closed yet; beyond it the oldest is not waited for
LINGER_STOP_MS = 1000  # when the broker stops, for clients to close that have been sent everything
FLUSH_MESSAGES = 4096  # messages in output lists after which they are written at once: bounds memory, not a tuning knob
FLUSH_BYTES = 4 << 20  # the same, bytes of QoS 0


def _now() -> int:
    return int(time.monotonic() * 1000)


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
    `authenticate`: a generator function that says who may connect (authentication.py); without one, everybody may.
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
        authenticate: Authenticate | None = None,
        server_reference: str = "",
    ) -> None:
        self._listeners = _checked(listen, limits, store, tls, origins)
        if authenticate is not None and not callable(authenticate):
            raise TypeError(f"authenticate must be a generator function, not {authenticate!r:.60}")
        if not isinstance(server_reference, str):
            raise TypeError(f"server_reference must be a string, as 'host:1883', not {server_reference!r:.60}")
        self.limits = limits or Limits()
        self.store = (
            BrokerStore(store, size_max=self.limits.store_bytes) if isinstance(store, (str, os.PathLike)) else store
        )
        if self.store:
            self.store.on_failure = self._fail
        self.commit_gate = CommitGate(self.store, self._fail, self._go_on) if self.store else None
        self.engine = Engine(
            self.limits, store=self.store, authenticate=authenticate, server_reference=server_reference
        )
        self.addresses: list[str] = []
        self.connections: dict[_Connection, None] = {}
        self.lingering: dict[_Connection, None] = {}  # of these, the closed ones whose clients have yet to close
        self.read_buffer = bytearray(READ_BYTES)
        self._doors: list[Door] = []
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._timer: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flushing = False
        self._sent_at_flush = 0
        self._working = False
        self._holding: asyncio.TimerHandle | None = None  # when somebody has been held back for long enough
        self.stopped = False

    @property
    def stats(self) -> Stats:
        """What has been counted since the start: messages, bytes, drops by cause."""
        return self.engine.stats

    async def __aenter__(self) -> Self:
        self._loop = loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[StoreError] = loop.create_future()
        if self.store:
            self.engine.load(await self.store.open(), _now(), int(time.time() * 1000))
        try:
            opened: list[tuple[Door, list[socket.socket]]] = []
            for listener in self._listeners:
                sockets = listening.open_sockets(listener.url)
                self._sockets += sockets
                opened.append((Door(listener), sockets))
            for door, sockets in opened:
                for sock in sockets:
                    await self._open(door, sock)
        except BaseException:
            await self._stop()
            raise
        self._timer = asyncio.create_task(self._watch_deadlines(), name="deadlines of the broker")
        for sock, url, door in zip(self._sockets, self.addresses, self._doors, strict=True):
            log.info("listening on %s", url)
            if not listening.is_local(sock) and not door.asks_for_certificates:
                log.warning(
                    "%s can be reached from other machines, and everybody may connect: there are no user names yet", url
                )
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
        self.stopped = True
        if self.store:
            self.store.hurry()
        for sock in self._sockets:
            listening.remove_file(sock)
        for server in self._servers:
            server.close()
        for sock in self._sockets:
            sock.close()
        if self._holding:
            self._holding.cancel()
        if self._timer:
            self._timer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._timer
            await self._end_connections()
            log.info("stopped")
        if self.store:
            with contextlib.suppress(StoreError):  # said already
                await self.store.close()

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
        open_ = {connection.ended for connection in self.connections}
        if open_:
            await asyncio.wait(open_, timeout=None if ms is None else max(ms, 0) / 1000)

    def _fail(self, error: StoreError) -> None:
        """The store is of no use: what is not acknowledged by now may or may not be durable, so nobody is told."""
        if self.failed.done():
            return
        self.failed.set_result(error)
        log.critical("%s; all connections are closed", error)
        for server in self._servers:
            server.close()
        for connection in self.connections:
            connection.transport.abort()

    def _go_on(self) -> None:
        """There is room for more output."""
        for connection in self.connections:
            connection.pause_or_resume()

    async def _open(self, door: Door, sock: socket.socket) -> None:
        """Let in through `door` what comes to `sock`."""
        assert self._loop

        def accept() -> asyncio.BaseProtocol:
            return door.protocol(_Connection(self))

        if sock.family == socket.AF_UNIX:
            server = await self._loop.create_unix_server(accept, sock=sock)
        else:
            server = await self._loop.create_server(accept, sock=sock)
        self._servers.append(server)
        self._doors.append(door)
        self.addresses.append(listening.url_of(sock, door.listener.url))

    def reload_certificates(self) -> int:
        """Read the files of all listeners with TLS again: new connections get what is in them, those that are there
        stay as they are. How many listeners have TLS. ValueError says which file is not as it should be: then nothing
        has changed, for none of them.
        """
        prepared = [(door, door.prepare()) for door in dict.fromkeys(self._doors)]
        for door, context in prepared:
            door.take(context)
        return sum(context is not None for _, context in prepared)

    async def _watch_deadlines(self) -> None:
        while True:
            now = _now()
            wait_ms = 1000
            try:
                wait_ms = self.engine.tick(now)
                for connection in list(self.connections):
                    connection.cut_off(now)
                self.flush()
            except Exception:  # a fault of ours: without this task nobody would ever time out again
                log.exception("unexpected error while looking at deadlines")
            await asyncio.sleep(wait_ms / 1000)

    def changed(self) -> None:
        """The engine has been called: write what it leaves once this turn of the loop is over, or now if it is much."""
        engine = self.engine
        if engine.stats.messages_sent - self._sent_at_flush >= FLUSH_MESSAGES or engine.router.unwritten >= FLUSH_BYTES:
            self.flush()
        elif not self._flushing and engine.dirty:
            self._flushing = True
            assert self._loop
            self._loop.call_soon(self._flush_soon)

    def _flush_soon(self) -> None:
        self._flushing = False
        self.flush()

    def flush(self) -> None:
        """Do what the engine wants of its peers. Writing can make the engine want more: until it has enough."""
        engine = self.engine
        dirty = engine.dirty
        while dirty:
            peers = list(dirty)
            dirty.clear()
            for peer in peers:
                if peer.handle is not None:
                    peer.handle.flush()
                while engine.cut_off:  # before more is written
                    cut_off = engine.cut_off.pop()
                    if cut_off.handle is not None:
                        cut_off.handle.transport.abort()
        self._sent_at_flush = engine.stats.messages_sent
        engine.router.unwritten = 0
        if engine.busy or engine.backpressure.holding or self.commit_gate:
            self._see_to_the_rest()

    def _see_to_the_rest(self) -> None:
        """There may be more to do, in the next turn of the loop or later."""
        engine = self.engine
        assert self._loop
        if engine.busy and not self._working:
            self._working = True
            self._loop.call_soon(self._go_on_working)
        if self.commit_gate and self.commit_gate.is_full:
            self.commit_gate.begin()
        if engine.backpressure.holding and not self._holding and not self.stopped:
            self._holding = self._loop.call_later(self.limits.hold_ms / 1000, self._end_holds)

    def _go_on_working(self) -> None:
        """What was too much for one turn: after everybody else has been read."""
        self._working = False
        self.engine.go_on(_now())
        self.flush()

    def _end_holds(self) -> None:
        self._holding = None
        wait_ms = self.engine.end_holds(_now())
        if wait_ms is not None:
            assert self._loop
            self._holding = self._loop.call_later(wait_ms / 1000, self._end_holds)
        self.flush()


def _checked(listen: object, limits: object, store: object, tls: object, origins: object) -> list[Listener]:
    """What to listen on; TypeError names an argument of another type."""
    if isinstance(listen, str) or not isinstance(listen, Iterable):
        raise TypeError(f"listen must be a list of URLs, not one: write [{listen!r:.60}]")
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


class _Connection(asyncio.BufferedProtocol):
    """One network connection: the engine's peer and asyncio's transport."""

    transport: asyncio.Transport

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._engine = broker.engine
        self._buffer = memoryview(broker.read_buffer)
        self._paused = False
        self._held = 0  # bytes that wait for a commit
        self._closing_at: int | None = None  # when the peer was closed (ms)
        self._written = False  # something has been sent
        self._discarded = 0  # bytes that came after that
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast(asyncio.Transport, transport)  # or uvloop's, which is no subclass
        transport.set_write_buffer_limits(high=self._broker.limits.write_buffer_bytes)
        sock: socket.socket = transport.get_extra_info("socket")
        if sock.family == socket.AF_UNIX:
            address = f"Unix socket {sock.getsockname()}"
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # finds dead peers that asked for no keep alive
            name = transport.get_extra_info("peername") or ("an unknown address", 0)
            address = f"{name[0]}:{name[1]}"
        broker = self._broker
        broker.connections[self] = None
        self.peer: Peer = self._engine.open(address, _now())
        self.peer.handle = self
        self.peer.unwritten = self.unwritten
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.peer.certificate = tls.getpeercert
        if broker.stopped:  # accepted in the instant of the stop
            transport.abort()
        broker.changed()

    def unwritten(self) -> int:
        """Bytes that the engine wants to be written and that the kernel does not have."""
        return self._held + self.transport.get_write_buffer_size()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._closing_at is not None:
            self._discarded += nbytes
            if self._discarded > self._broker.limits.close_bytes:
                self._engine.watch.hit("close_bytes", self.peer, "goes on sending after the end: cut off", _now())
                self.transport.abort()
            return
        self._engine.receive(self.peer, bytes(self._buffer[:nbytes]), _now())
        self._broker.changed()

    def eof_received(self) -> bool:
        return False  # asyncio closes the transport: a client that says nothing more is gone

    def pause_writing(self) -> None:
        self._engine.set_writable(self.peer, False, _now())

    def resume_writing(self) -> None:
        self._engine.set_writable(self.peer, True, _now())
        self.pause_or_resume()
        self._broker.changed()

    def connection_lost(self, exc: Exception | None) -> None:
        self._broker.connections.pop(self, None)
        self._broker.lingering.pop(self, None)
        layer = exc and self.transport.get_extra_info("layer")
        why = handshakes.words(exc, layer) if exc and layer else exc
        self._engine.lost(
            self.peer, f"connection lost ({why})" if why else "connection closed without DISCONNECT", _now()
        )
        self.peer.handle = None
        self.ended.set_result(None)
        self._broker.changed()

    def flush(self) -> None:
        """Write, stop or go on reading, close: as the engine wants it."""
        peer = self.peer
        out = peer.out
        if self._closing_at is not None or self.transport.is_closing():
            out.clear()
            return
        data = b"".join(out)
        out.clear()
        peer.written += len(data)
        self._engine.stats.bytes_sent += len(data)
        close = bool(peer.closed_because)
        gate = self._broker.commit_gate
        if gate and gate.is_closed and (data or close):
            self._held += len(data)
            gate.hold(self._write_held, data, close)
        else:
            self._write(data, close)
        if close:
            return
        if peer.standing or self.transport.get_write_buffer_size():
            self._engine.count_output(peer)
        if peer.more or peer.parked_bytes or not peer.writable or self._paused or gate:
            self.pause_or_resume()

    def _write_held(self, data: bytes, close: bool) -> None:
        self._held -= len(data)
        self._write(data, close)
        if not self._paused:
            return
        self.pause_or_resume()

    def _write(self, data: bytes, close: bool) -> None:
        transport = self.transport
        if self._closing_at is not None or transport.is_closing():
            return
        if data:
            self._written = True
            transport.write(data)
        if close:
            self._closing_at = _now()
            if self._written:
                self._linger()
            else:
                transport.close()

    def _linger(self) -> None:
        """End our half, and read until the client has ended its own: closing at once would reset the connection if the
        client still sends, and it could lose what has just been written (CONNACK, its last acknowledgements).
        """
        transport = self.transport
        try:
            transport.write_eof()
        except OSError:  # it is gone
            transport.close()
            return
        if self._paused:
            self._paused = False
            transport.resume_reading()
        lingering = self._broker.lingering
        lingering[self] = None
        if len(lingering) > LINGERING_MAX:
            oldest = next(iter(lingering))
            del lingering[oldest]
            oldest.transport.close()

    def pause_or_resume(self) -> None:
        """Read, or do not: while there is more to do than a turn allows, while its answers do not leave, or while very
        much waits for a commit.
        """
        gate = self._broker.commit_gate
        peer = self.peer
        pause = peer.is_full or (gate is not None and (self._held >= peer.output_max or gate.is_full))
        if self._paused != pause and self._closing_at is None and not self.transport.is_closing():
            self._paused = self.peer.paused = pause
            if pause:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def cut_off(self, now: int) -> None:
        """A closed connection whose client does not read the rest, or does not close, has had its time."""
        if self._closing_at is not None and now - self._closing_at >= self._broker.limits.close_ms:
            self.transport.abort()
