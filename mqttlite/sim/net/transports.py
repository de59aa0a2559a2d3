"""One end of a simulated connection: the transport that asyncio's protocols know, and the kernel's socket below it."""

import asyncio
import errno
from collections.abc import Callable
from typing import Any

from ..machine import Machine
from ..timeline import Timeline
from .sockets import FakeSocket
from .streams import FIN, RST, Way

READ_MAX = 256 * 1024  # bytes that asyncio reads at once
HIGH = 64 * 1024  # bytes not taken by the kernel above which asyncio pauses a protocol


class SimTransport(asyncio.Transport):
    """See asyncio.Transport. `out` and `into`: the ways from here and to here. `over`: is told when this end is."""

    def __init__(
        self,
        world: Timeline,
        process: Machine,
        out: Way,
        into: Way,
        name: Any,
        peer: Any,
        over: Callable[[], object],
    ) -> None:
        # No constructor of the base class: it only keeps `extra`.
        self.process = process
        self.life = process.life
        self.os_closed = False  # the kernel's socket
        self.gone = False  # the machine has lost power
        self.poked = False  # and somebody has sent it something since
        self.waits_for_room = False
        self._world = world
        self._loop = process.loop
        self._out = out
        self._in = into
        self._name = name
        self._peer = peer
        self._over = over
        self._protocol: asyncio.BaseProtocol | None = None
        self._is_buffered = False
        self._buffer = bytearray()  # not taken by the kernel
        self._high = HIGH
        self._low = HIGH // 4
        self._is_writing_paused = False
        self._is_reading_paused = False
        self._is_closing = False
        self._is_lost = False  # connection_lost was called, or will be
        self._eof_written = False
        self._eof_read = False

    @property
    def is_over(self) -> bool:
        return self.os_closed or self.gone

    # -- the kernel

    def os_close(self) -> None:
        """The kernel closes the socket: with RST when something has not been read, else FIN after all that was sent."""
        if self.is_over:
            return
        self.os_closed = True
        self._loop_is_done()
        unread = bool(self._in.inbox)
        self._in.inbox.clear()
        if self._in.ended != RST:
            if unread and self._out.is_open:
                self._out._arrivals.clear()
            self._out.end(RST if unread else FIN)
        self._over()

    def vanish(self) -> None:
        """The machine has lost power."""
        if self.is_over:
            return
        self.gone = True
        self._loop_is_done()
        if self._out._arrivals and self._world.random.random() < 0.5:
            self._out.drop()
        self._out.broken = True
        self._over()

    def refuse_ghost(self) -> None:
        """The machine is back: whoever sends something is told that there is no such connection."""
        self.gone = False
        self.os_closed = True
        self._out.broken = False
        if self.poked:
            self._out.end(RST)

    def _loop_is_done(self) -> None:
        self._is_lost = self._is_closing = True
        self._buffer.clear()

    def room(self) -> None:
        """The peer has read something."""
        if self.waits_for_room and not self.is_over:
            self._loop.enter(self._write_ready)

    # -- asyncio's transport: reading

    def begin(self, protocol: asyncio.BaseProtocol) -> None:
        """The connection is there."""
        self._protocol = protocol
        self._is_buffered = isinstance(protocol, asyncio.BufferedProtocol)
        self._world.note(self.process.name, "connected", self._out.name)
        protocol.connection_made(self)
        if self._in.inbox or self._in.ended:
            self._loop.call_soon(self.read_ready)

    def read_ready(self) -> None:
        """Something has arrived."""
        protocol = self._protocol
        if protocol is None or self._is_reading_paused or self._is_closing:
            return
        way = self._in
        inbox = way.inbox
        if inbox:
            try:
                if self._is_buffered:
                    buffer = protocol.get_buffer(-1)  # type: ignore[attr-defined]
                    size = min(len(buffer), len(inbox))
                    buffer[:size] = inbox[:size] if size < len(inbox) else inbox
                    del inbox[:size]
                    way.took(size)
                    protocol.buffer_updated(size)  # type: ignore[attr-defined]
                else:
                    data = bytes(inbox[:READ_MAX])
                    del inbox[: len(data)]
                    way.took(len(data))
                    protocol.data_received(data)  # type: ignore[attr-defined]
            except Exception as error:
                self._fatal(error, "a protocol that was given data has failed")
                return
            if inbox or way.ended:
                self._loop.call_soon(self.read_ready)
        elif way.ended == RST:
            self._lose(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))
        elif way.ended == FIN and not self._eof_read:
            self._eof_read = True
            try:
                stays = protocol.eof_received()  # type: ignore[attr-defined]
            except Exception as error:
                self._fatal(error, "a protocol that was told of the end has failed")
                return
            if not stays:
                self.close()

    def pause_reading(self) -> None:
        self._is_reading_paused = True

    def resume_reading(self) -> None:
        if self._is_reading_paused and not self._is_closing:
            self._is_reading_paused = False
            if self._in.inbox or self._in.ended:
                self._loop.call_soon(self.read_ready)

    # -- asyncio's transport: writing

    def write(self, data: Any) -> None:
        if self._eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._is_lost or not data:
            return
        data = bytes(data)
        self._out.submitted += len(data)
        if self._buffer:
            self._out.connection.written(self._out, data)
            self._buffer += data
        else:
            taken = 0
            if not self._check():
                return
            self._out.connection.written(self._out, data)
            if not self._is_lost:
                taken = self._out.send(data)
            if taken == len(data) or self._is_lost:
                return
            self._buffer += data[taken:]
            self.waits_for_room = True
        self._pause_if_much()

    def _check(self) -> bool:
        """Whether the kernel still takes something; it says no with an error."""
        if self._in.ended != RST:
            return True
        self._lose(BrokenPipeError(errno.EPIPE, "Broken pipe"))
        return False

    def _write_ready(self) -> None:
        if not self.waits_for_room or self.is_over or not self._check():
            return
        taken = self._out.send(bytes(self._buffer))
        if self._is_lost:
            return
        del self._buffer[:taken]
        if self._is_writing_paused and len(self._buffer) <= self._low:
            self._is_writing_paused = False
            self._protocol.resume_writing()  # type: ignore[union-attr]
        if not self._buffer:
            self.waits_for_room = False
            if self._is_closing:
                self._lose(None)
            elif self._eof_written:
                self._out.end(FIN)

    def _pause_if_much(self) -> None:
        if not self._is_writing_paused and len(self._buffer) > self._high:
            self._is_writing_paused = True
            self._protocol.pause_writing()  # type: ignore[union-attr]

    def write_eof(self) -> None:
        if not (self._is_closing or self._eof_written):
            self._eof_written = True
            if not self._buffer:
                self._out.end(FIN)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = HIGH if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low
        self._pause_if_much()

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    # -- asyncio's transport: the end

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            if not self._buffer:
                self._lose(None)

    def abort(self) -> None:
        self._lose(None)

    def _fatal(self, error: Exception, message: str) -> None:
        self._loop.call_exception_handler({"message": message, "exception": error, "protocol": self._protocol})
        self._lose(error)

    def _lose(self, error: Exception | None) -> None:
        if not self._is_lost:
            self._is_lost = self._is_closing = True
            self._buffer.clear()
            self.waits_for_room = False
            self._loop.call_soon(self._tell_lost, error)

    def _tell_lost(self, error: Exception | None) -> None:
        self._world.note(self.process.name, "lost", f"{self._out.name} {type(error).__name__ if error else ''}")
        try:
            if self._protocol is not None:
                self._protocol.connection_lost(error)
        finally:
            self.os_close()

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "peername":
            return self._peer
        if name == "sockname":
            return self._name
        if name == "socket":
            return FakeSocket(self._name)
        return default
