"""A connection of the simulated network: two ends and a way in each direction, and what can happen to it.

A way holds what the sender's kernel has taken, in order: pieces of bytes, then perhaps an end (FIN) or a reset (RST).
They arrive in order, each after the latency. What has arrived waits in the receiver's kernel until its program reads;
so much may wait, and no more. A kernel works without its process: it takes, keeps and acknowledges bytes while the
process is busy, and closes the connection when it was killed.
"""

import asyncio
import errno
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .sockets import FakeSocket

if TYPE_CHECKING:
    from .network import Conditions, Network
    from .process import Process
    from .world import World

READ_MAX = 256 * 1024  # bytes that asyncio reads at once
HIGH = 64 * 1024  # bytes not taken by the kernel above which asyncio pauses a protocol
APART = (1_000, 500_000)  # ns between pieces that were written at once
FIN = "fin"
RST = "reset"
UNREAD = "unread"  # what has arrived and was not read is lost


class Way:
    """One direction of a connection. Counters in bytes: `submitted` by the program, `sent` (taken by its kernel),
    `arrived` in the other kernel, `read` by the other program.
    """

    __slots__ = (
        "_arrivals", "_conditions", "_cut", "_frozen", "_last", "_was_reset", "_world", "arrived", "broken",
        "connection", "inbox", "is_open", "name", "read", "sent", "sink", "source", "state", "submitted",
    )  # fmt: skip

    def __init__(self, connection: "Connection", name: str, conditions: "Conditions") -> None:
        self.connection = connection
        self.name = name
        self.source: SimTransport
        self.sink: SimTransport
        self.submitted = self.sent = self.arrived = self.read = 0
        self.inbox = bytearray()  # in the receiver's kernel
        self.is_open = True  # the sender's end; False after FIN and RST
        self.broken = False  # whatever is put in vanishes
        self.state = ""  # what the receiver's kernel knows beyond the bytes: "", FIN or RST
        self._world = connection.network.world
        self._conditions = conditions
        self._arrivals: deque[tuple[int, bytes | str]] = deque()
        self._last = 0
        self._frozen = False
        self._was_reset = False
        self._cut: tuple[int, str, Callable[[], object] | None] | None = None

    def cut_at(self, offset: int, how: str = "reset", then: Callable[[], object] | None = None) -> None:
        """Cut the connection when so many bytes of this way have been sent: none beyond them gets through. `how` as
        Connection.cut; `then` is called at that moment, in the sender's place (it may kill a process).
        """
        self._cut = (max(offset, self.sent), how, then)

    # -- the sender's kernel

    def send(self, data: bytes) -> int:
        """How many bytes of `data` the kernel takes."""
        room = self._conditions.window - (self.sent - self.read)
        if room <= 0:
            return 0
        if len(data) > room:
            data = data[:room]
        cut = self._cut
        if cut is not None and self.sent + len(data) >= cut[0]:
            self._cut = None
            taken = cut[0] - self.sent
            if taken:
                self._put(data[:taken])
            self.sent += len(data)
            self.connection.cut(cut[1], self)
            if cut[2]:
                cut[2]()
            return len(data)
        self.sent += len(data)
        self._put(data)
        return len(data)

    def _put(self, data: bytes) -> None:
        """Bytes go on their way, in one piece or several."""
        if self.broken:
            return
        world = self._world
        conditions = self._conditions
        size = len(data)
        if conditions.split and size > 1 and world.random.random() < conditions.split:
            at = 0
            while at < size:
                # A single byte, some, or all that is left: the places where a reader's mistakes show.
                drawn = world.random.random()
                step = 1 if drawn < 0.3 else size - at if drawn > 0.7 else world.draw(1, size - at)
                self._leave(data[at : at + step], world.draw(*APART) if at else 0)
                at += step
        else:
            self._leave(data)

    def _leave(self, item: bytes | str, apart: int = 0) -> None:
        world = self._world
        conditions = self._conditions
        at = world.now + world.ahead + world.draw(*conditions.latency)
        if conditions.stall and world.random.random() < conditions.stall:
            at += world.draw(*conditions.stall_ns)
        if at < self._last + apart:
            at = self._last + apart
        self._last = at
        self._arrivals.append((at, item))
        if not self._frozen:
            world.at(at, self._arrive)

    def end(self, what: str) -> None:
        """FIN or RST follows; after FIN, RST may."""
        if self.is_open or (what == RST and not self._was_reset):
            self.is_open = False
            self._was_reset = what == RST
            if not self.broken:
                self._leave(what)

    # -- the wire

    def freeze(self) -> None:
        self._frozen = True

    def thaw(self) -> None:
        if self._frozen:
            self._frozen = False
            world = self._world
            waiting, self._arrivals = self._arrivals, deque()
            for at, item in waiting:  # TCP sends again what was not acknowledged
                at = self._last = max(at, world.now + world.draw(*self._conditions.latency), self._last)
                self._arrivals.append((at, item))
                world.at(at, self._arrive)

    def drop(self) -> None:
        """What is under way is lost, and all that follows."""
        self.broken = True
        self._arrivals.clear()

    # -- the receiver's kernel

    def _arrive(self) -> None:
        if self._frozen:
            return
        world = self._world
        arrivals = self._arrivals
        something = False
        while arrivals and arrivals[0][0] <= world.now:
            item = arrivals.popleft()[1]
            if self.sink.gone:
                self.sink.poked = True
                continue
            if self.sink.os_closed:
                if isinstance(item, bytes):  # the kernel of a socket that is closed answers bytes with RST
                    self.connection.other(self).end(RST)
                continue
            if item is UNREAD:
                self.inbox.clear()
                continue
            something = True
            if isinstance(item, bytes):
                self.arrived += len(item)
                self.inbox += item
                world.note(self.name, "arrive", str(len(item)))
            else:
                world.note(self.name, item)
                self.state = item
                if item == RST:
                    self.connection.other(self).reset_by_peer()
        if something:
            self.sink.process.loop.enter(self.sink.read_ready)

    def reset_by_peer(self) -> None:
        """The other end has reset the connection: what is in this way is of no use."""
        self.is_open = False
        if not self.broken:
            self.drop()

    def took(self, size: int) -> None:
        """The program has read `size` bytes: there is room for so many again, and the sender hears of it."""
        was_full = self.sent - self.read >= self._conditions.window
        self.read += size
        if (was_full or self.source.waits_for_room) and not self.broken:
            world = self._world
            world.at(world.now + world.ahead + world.draw(*self._conditions.latency), self.source.room)


class Connection:
    """Two ends, `client` and `server`; `up` leads from the client to the server, `down` back.

    `name` is "CLIENT:NUMBER-SERVER:PORT". `hosts`: both names.
    """

    def __init__(
        self,
        network: "Network",
        number: int,
        client: "Process",
        server: "Process",
        port: int | str,
        conditions: "Conditions",
    ) -> None:
        self.network = network
        self.name = f"{client.name}:{number}-{server.name}:{port}"
        self.hosts = (client.name, server.name)
        self.up = Way(self, self.name + " up", conditions)
        self.down = Way(self, self.name + " down", conditions)
        here, there = (network.ip(client.name), 32768 + number % 28000), (network.ip(server.name), port)
        unix = isinstance(port, str)
        self.client = SimTransport(client, self.up, self.down, "" if unix else here, port if unix else there)
        self.server = SimTransport(server, self.down, self.up, port if unix else there, "" if unix else here)
        self.up.source = self.down.sink = self.client
        self.up.sink = self.down.source = self.server

    def other(self, way: Way) -> Way:
        return self.down if way is self.up else self.up

    def cut(self, how: str = "reset", before: Way | None = None) -> None:
        """End the connection from outside, now. What is under way may be lost, except in the way `before`.

        how     reset: both ends are told (RST), after what has been sent. unread: as reset, and what has arrived and
                was not read is lost. close: both get an orderly end (FIN), as from a proxy. silence: nobody is told.
        """
        world = self.network.world
        world.note(self.name, "cut", how)
        for way in (self.up, self.down):
            if way.broken:
                continue
            if way is not before and (how == "silence" or world.random.random() < 0.5):
                way._arrivals.clear()
            if how == "unread":
                way._leave(UNREAD)
            if how != "silence":
                way._leave(FIN if how == "close" else RST)
            way.broken = True

    def freeze(self) -> None:
        """Nothing gets through, until `thaw`."""
        self.up.freeze()
        self.down.freeze()

    def thaw(self) -> None:
        self.up.thaw()
        self.down.thaw()

    def over(self) -> None:
        """An end is over; with both, the network forgets the connection."""
        if self.client.is_over and self.server.is_over:
            self.network.connections.pop(self.name, None)


class SimTransport(asyncio.Transport):
    """One end of a connection: the transport that asyncio's protocols know, and the kernel's socket below it."""

    def __init__(self, process: "Process", out: Way, into: Way, name: Any, peer: Any) -> None:
        # No constructor of the base class: it only keeps `extra`.
        self.process = process
        self.life = process.life
        self.os_closed = False  # the kernel's socket
        self.gone = False  # the machine has lost power
        self.poked = False  # and somebody has sent it something since
        self.waits_for_room = False
        self._world: World = process.world
        self._loop = process.loop
        self._out = out
        self._in = into
        self._name = name
        self._peer = peer
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
        if self._in.state != RST:
            if unread and self._out.is_open:
                self._out._arrivals.clear()
            self._out.end(RST if unread else FIN)
        self._out.connection.over()

    def vanish(self) -> None:
        """The machine has lost power."""
        if self.is_over:
            return
        self.gone = True
        self._loop_is_done()
        if self._out._arrivals and self._world.random.random() < 0.5:
            self._out.drop()
        self._out.broken = True
        self._out.connection.over()

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
        if self._in.inbox or self._in.state:
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
            if inbox or way.state:
                self._loop.call_soon(self.read_ready)
        elif way.state == RST:
            self._lose(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))
        elif way.state == FIN and not self._eof_read:
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
            if self._in.inbox or self._in.state:
                self._loop.call_soon(self.read_ready)

    def is_reading(self) -> bool:
        return not self._is_closing and not self._is_reading_paused

    # -- asyncio's transport: writing

    def write(self, data: Any) -> None:
        if self._eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._is_lost or not data:
            return
        data = bytes(data)
        self._out.submitted += len(data)
        if self._buffer:
            self._observe(data)
            self._buffer += data
        else:
            taken = 0
            if not self._check():
                return
            self._observe(data)
            if not self._is_lost:
                taken = self._out.send(data)
            if taken == len(data) or self._is_lost:
                return
            self._buffer += data[taken:]
            self.waits_for_room = True
        self._pause_if_much()

    def _observe(self, data: bytes) -> None:
        world = self._world
        world.note(self._out.name, "write", data)
        observer = world.network.observer
        if observer is not None:
            observer.written(self._out, data)

    def _check(self) -> bool:
        """Whether the kernel still takes something; it says no with an error."""
        if self._in.state != RST:
            return True
        self._lose(BrokenPipeError(errno.EPIPE, "Broken pipe"))
        return False

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

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

    def can_write_eof(self) -> bool:
        return True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = HIGH if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low
        self._pause_if_much()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

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

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol
        self._is_buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "peername":
            return self._peer
        if name == "sockname":
            return self._name
        if name == "socket":
            import socket

            sock = FakeSocket(
                self._world.network, self.process, socket.AF_UNIX if isinstance(self._name, str) else socket.AF_INET
            )
            sock._name = self._name
            return sock
        return default
