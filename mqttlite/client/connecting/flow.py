"""Bytes between a socket and the protocol on CPython: in when the transport has them, out once in a turn of the event
loop, without a task, a future or an event for each.

What has to wait does so in the two tasks that every connection has (connector.py): reading, until the inbox has room or
the answers have left; writing, for the store or the kernel, and for the end. A transport that is no SocketTransport, as
that of a serial line, is read and written by those tasks alone, as on a board.
"""

import asyncio
from typing import TYPE_CHECKING, Literal

from ...core.errors import ConnectError
from ...serial.clock import now_ms
from ...store.base import Store
from ..connector import PIECE, Connector
from ..traffic.incoming_host import HostIncoming
from ..traffic.outgoing_host import HostOutgoing
from ..traffic.waiting import Turn

if TYPE_CHECKING:
    from .sockets import SocketTransport


class Pulse(asyncio.Event):
    """`life.progress`, which knows whether somebody waits for it."""

    waiting = 0

    async def wait(self) -> Literal[True]:
        self.waiting += 1
        try:
            return await super().wait()
        finally:
            self.waiting -= 1


class Flow(asyncio.Event):
    """Of one client: `life.to_write`. As an Event it wakes the task that writes."""

    queue_high = inbox_high = 0  # messages not confirmed, and not given out, at most until now
    bytes_in = bytes_out = 0  # of all packets

    def __init__(self, connector: Connector, outgoing: HostOutgoing, incoming: HostIncoming) -> None:
        super().__init__()
        self._turn = incoming.turn = outgoing.turn = Turn()
        self._connector = connector
        self._life = connector.life
        self._incoming = incoming
        self._progress = self._life.progress = Pulse()
        self._transport: SocketTransport | None = None  # what `flush` writes to
        self._loop: asyncio.AbstractEventLoop
        self._keeps = False  # the store is more than memory
        self._is_due = False  # `flush` is called in this turn of the event loop
        self._is_left = False  # the kernel has not taken all of what `flush` has written
        self._left: int | None = None  # when CONNECT or PINGREQ has left, which waits for its answer

    def end(self) -> None:
        """The connection is given up."""
        self._transport = None

    # -- in

    async def read(self, transport: "SocketTransport") -> None:
        """See Connector._read."""
        self._loop = asyncio.get_running_loop()  # here: a peer may have spoken before `write` has begun
        life = self._life
        incoming = self._incoming
        turn = self._turn
        protocol = life.protocol
        out = protocol.out
        progress = self._progress
        receipts = self._connector.outgoing.receipts
        # More is waiting only if what arrives makes us answer, and the answers cannot leave.
        answers_max = 4 * life.out_max + 3 * life.session.window

        has_received = False  # on this connection
        connector = self._connector

        def take(data: bytes) -> bool:
            """Process what has arrived; whether that is enough for now."""
            nonlocal has_received
            incoming.size += len(data)
            self.bytes_in += len(data)
            incoming.has_received = False
            unconfirmed = len(receipts)
            if unconfirmed > self.queue_high:  # it sinks here alone
                self.queue_high = unconfirmed
            turn.is_on = True
            try:
                protocol.receive(data, now_ms())
            finally:
                turn.is_on = False
                if incoming.has_received:  # what is acknowledged at once goes along
                    has_received = True
                    waiting = incoming.waiting()
                    if waiting > self.inbox_high:  # and this rises here alone
                        self.inbox_high = waiting
                else:
                    incoming.has_received = has_received
                    if out:
                        self.flush()
                if turn.woken:
                    self._go_on()
                if out or life.error:
                    self.flush()
            if progress.waiting:
                life.wake()
            inflow = connector.inflow
            return len(out) > answers_max or incoming.is_full(1) or (inflow is not None and inflow.is_full())

        while True:
            if life.is_connected:
                more = await transport.give_to(take)
            else:
                data = await transport.read()
                more = bool(data)
                if more:
                    take(data)
            if not more:
                error = ConnectError("the broker closed the connection")
                error.ended = 0
                raise error
            while len(out) > answers_max:
                await progress.wait()
            if incoming.is_full(1):
                await incoming.wait_for_room()
            if connector.inflow:
                await connector.inflow.wait_for_room()

    def _go_on(self) -> None:
        """Let those go on who have waited for what has arrived; what they say is written by whoever calls this."""
        was_due = self._is_due
        self._is_due = True
        try:
            self._turn.go_on()
        finally:
            self._is_due = was_due

    # -- out

    def set(self) -> None:
        """Something is in the protocol's `out`: it is written in this turn of the event loop."""
        if self._keeps or self._transport is None:
            super().set()
        elif not self._is_due and (self._life.protocol.out or self._life.error):
            self._is_due = True
            self._loop.call_soon(self._due)

    def _due(self) -> None:
        self._is_due = False
        self.flush()

    def flush(self) -> None:
        """Write what is in the protocol's `out` now, unless that has to wait: then the task does it."""
        life = self._life
        transport = self._transport
        connector = self._connector
        streams = connector.outflow
        if transport is None or life.error or transport.ended or (streams is not None and streams.count):
            super().set()
            return
        protocol = life.protocol
        out = protocol.out
        if not out or connector.is_writing:  # the task takes what comes while it writes
            return
        session = life.session
        if session.wanted or life.finished > life.finished_max:
            if self._keeps:
                super().set()
                return
            session.wanted = False  # as in `life.commit`, where nothing is kept
            life.finished = 0
            session.kept = session.next
        data = b"".join(out)
        if len(data) > PIECE:
            super().set()
            return
        life.taken_out += len(out)
        self.bytes_out += len(data)
        out.clear()
        if transport.send(data):
            self._has_left(True)
            life.written = life.taken_out
            self._incoming.gathered = 0
            if self._progress.waiting:
                life.wake()
        else:
            connector.is_writing = self._is_left = True
            super().set()

    def _has_left(self, is_all: bool) -> None:
        """A piece has left (`is_all`: with it, all that was there): no answer to what was behind it, or in it, is late
        yet.
        """
        protocol = self._life.protocol
        protocol.sent_at = now_ms()
        if protocol.waiting_since is not None and protocol.waiting_since != self._left:
            protocol.waiting_since = protocol.sent_at
            if is_all:
                self._left = protocol.sent_at

    async def write(self, transport: "SocketTransport") -> None:
        """See Connector.write."""
        life = self._life
        protocol = life.protocol
        self._transport = transport
        self._keeps = type(life.store) is not Store
        self._is_left = False
        self._left = None
        while True:
            await self.wait()
            self.clear()
            if self._is_left:
                self._is_left = False
                await transport.taken()
                self._has_left(True)
                life.written = life.taken_out
            await self._write_all(transport)
            if life.error:
                protocol.disconnect()
                await transport.write(b"".join(protocol.out))
                transport.write_eof()
                return  # nothing may be sent after DISCONNECT [MQTT-3.14.4-2]
            life.wake()

    async def _write_all(self, transport: "SocketTransport") -> None:
        """Write what is in the protocol's `out`, and what comes meanwhile."""
        life = self._life
        connector = self._connector
        protocol = life.protocol
        out = protocol.out
        session = life.session
        while out:
            streams = connector.outflow
            if streams and streams.count and await streams.write(transport):
                continue
            data = b"".join(out[: life.out_max])
            size = min(len(out), life.out_max)
            del out[:size]
            life.taken_out += size
            self.bytes_out += len(data)
            connector.is_writing = True
            if session.wanted or life.finished > life.finished_max:
                session.wanted = False
                await life.commit()  # everything that these packets tell of has been recorded
            for at in range(0, len(data), PIECE):
                connector.is_split = at + PIECE < len(data)
                await transport.write(data if len(data) <= PIECE else memoryview(data)[at : at + PIECE])
                self._has_left(not (connector.is_split or out))
            life.written = life.taken_out
        self._incoming.gathered = 0
        connector.is_writing = False
