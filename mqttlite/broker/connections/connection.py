"""One network connection of a client: a transport on one side, the engine's peer on the other.

It decides nothing about MQTT: bytes go to the engine, what the engine leaves is written; reading pauses and the
connection closes as the engine wants it. Its transport is thin.py's, or asyncio's (protocol.py). Imports turns, peer.
"""

import asyncio
import socket
from typing import Any

from ..bounds.addresses import INSIDE
from ..clients.client_session import ClientSession
from ..clients.peer import Peer
from ..listening import handshakes
from .turns import Turns, now_ms

READS_MS = 20  # in one turn, after which who is read has next to nothing done: many that send little are much, too
LINGERING_MAX = 100  # closed connections whose clients have not closed yet; beyond it the oldest is not waited for


class Connection:
    """One network connection: the engine's peer and a transport, which calls it as asyncio's do a BufferedProtocol."""

    __slots__ = (
        "_closing_at",
        "_discarded",
        "_end",
        "_engine",
        "_held",
        "_paused",
        "_place",
        "_turns",
        "_unsent",
        "_written",
        "peer",
        "transport",
    )

    def __init__(self, turns: Turns, place: str = "") -> None:
        """`place`: where its client is, if not where its socket says."""
        self._turns = turns
        self._place = place
        self._engine = turns.engine
        self._paused = False
        self._held = 0  # bytes that wait for a commit
        self._unsent: list[bytes] = []  # these, and what is left of them when the connection is gone
        self._closing_at: int | None = None  # when the peer was closed (ms)
        self._written = False  # something has been sent
        self._discarded = 0  # bytes that came after that
        self._end: asyncio.Future[None] | None = None
        self.transport: Any = None
        self.peer: Peer

    @property
    def buffer(self) -> memoryview:
        """Into which is read."""
        return self._turns.read_buffer

    def ended(self) -> "asyncio.Future[None]":
        """Done when it has."""
        if self._end is None:
            self._end = asyncio.get_running_loop().create_future()
        return self._end

    def connection_made(self, transport: Any) -> None:
        """It begins."""
        self.transport = transport
        transport.set_write_buffer_limits(high=self._engine.limits.write_buffer_bytes)
        sock: socket.socket | None = transport.get_extra_info("socket")
        if self._place:
            address = self._place
        elif sock is None:
            address = INSIDE
        elif sock.family == socket.AF_UNIX:
            address = f"Unix socket {sock.getsockname()}"
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # finds dead peers that asked for no keep alive
            name = transport.get_extra_info("peername") or ("an unknown address", 0)
            address = f"{name[0]}:{name[1]}"
        turns = self._turns
        turns.connections[self] = None
        self.peer = self._engine.open(address, now_ms())
        self.peer.handle = self
        self.peer.unwritten = self.unwritten
        layer = transport.get_extra_info("layer")
        if layer is not None:
            self.peer.began_below = lambda: handshakes.has_begun(layer)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.peer.certificate = tls.getpeercert
        if turns.stopped:  # accepted in the instant of the stop
            transport.abort()
        turns.changed()

    def unwritten(self) -> int:
        """Bytes that the engine wants to be written and that the kernel does not have."""
        return self._held + int(self.transport.get_write_buffer_size())

    def buffer_updated(self, nbytes: int) -> None:
        """So much has been read."""
        if self._closing_at is not None:
            self._discarded += nbytes
            if self._discarded > self._engine.limits.close_bytes:
                self._engine.watch.hit("close_bytes", self.peer, "goes on sending after the end: cut off", now_ms())
                self.transport.abort()
            return
        now = now_ms()
        turns = self._turns
        if not turns.reads_since:
            turns.reads_since = now
        elif now - turns.reads_since > READS_MS:
            self._engine.pace.late()
        self._engine.receive(self.peer, bytes(turns.read_buffer[:nbytes]), now)
        if self.peer.more:
            self._engine.pace.read(now_ms() - now, len(self._engine.busy))
        turns.changed()

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._engine.set_writable(self.peer, False, now_ms())

    def resume_writing(self) -> None:
        """It has room again."""
        self._engine.set_writable(self.peer, True, now_ms())
        self.pause_or_resume()
        self._turns.changed()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self._turns.connections.pop(self, None)
        self._turns.lingering.pop(self, None)
        self._turns.closing.pop(self, None)
        layer = exc and self.transport.get_extra_info("layer")
        why = handshakes.words(exc, layer) if exc and layer else exc
        why = f"connection lost ({why})" if why else "connection closed without DISCONNECT"
        self._engine.lost(self.peer, why, now_ms(), b"".join(self._unsent))
        self._unsent.clear()
        self.peer.handle = None
        if self._end is not None:
            self._end.set_result(None)
        self._turns.changed()

    def flush(self) -> None:
        """Write, stop or go on reading, close: as the engine wants it."""
        peer = self.peer
        out = peer.out
        transport = self.transport
        if self._closing_at is not None or transport.is_closing():
            if self._closing_at is None:
                self._unsent += out
            out.clear()
            if peer.closed_because and self._closing_at is None:  # its client has ended its half, and does not read
                self._closes()
            return
        close = bool(peer.closed_because)
        gate = self._turns.commit_gate
        if out or close:
            data = b"".join(out)
            out.clear()
            peer.written += len(data)
            self._engine.stats.bytes_sent += len(data)
            if gate and gate.is_closed and (close or not self._tells_nothing(data)):
                self._held += len(data)
                self._unsent.append(data)
                gate.hold(self._write_held, data, close)
            elif close:
                self._write(data, True)
            else:
                self._written = True
                transport.write(data)
            if close:
                return
        if peer.standing or transport.get_write_buffer_size():
            self._engine.count_output(peer)
        if peer.more or peer.parked_bytes or peer.question or not peer.writable or self._paused or gate:
            self.pause_or_resume()

    def _tells_nothing(self, data: bytes) -> bool:
        """Whether it may leave before a commit; not before what came earlier."""
        client: ClientSession | None = self.peer.client
        return not self._held and client is not None and client.tells_nothing(data)

    def _write_held(self, data: bytes, close: bool) -> None:
        self._held -= len(data)
        if not self.transport.is_closing():
            del self._unsent[0]
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
            self._closes()
            if self._written:
                self._linger()
            else:
                transport.close()

    def _closes(self) -> None:
        """From now on it has `close_ms`."""
        self._closing_at = now_ms()
        self._turns.closing[self] = None

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
        lingering = self._turns.lingering
        lingering[self] = None
        if len(lingering) > LINGERING_MAX:
            oldest = next(iter(lingering))
            del lingering[oldest]
            oldest.transport.close()

    def pause_or_resume(self) -> None:
        """Read, or do not: while there is more to do than a turn allows, while its answers do not leave, or while very
        much waits for a commit.
        """
        gate = self._turns.commit_gate
        peer = self.peer
        pause = peer.is_full or (gate is not None and (self._held >= peer.output_max or gate.stops_reading()))
        if self._paused != pause and self._closing_at is None and not self.transport.is_closing():
            self._paused = pause
            if pause:
                peer.paused = True
                self.transport.pause_reading()
            else:
                self._engine.resumed(peer, now_ms())
                self.transport.resume_reading()

    def cut_off(self, now: int) -> None:
        """A closed connection whose client does not read the rest, or does not close, has had its time."""
        if self._closing_at is not None and now - self._closing_at >= self._engine.limits.close_ms:
            self.transport.abort()
