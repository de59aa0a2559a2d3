"""A payload that is sent piece by piece (BaseClient.publish_stream). Both runtimes.

The message has its place in the session, and in the protocol's `out`, like any other; where its payload would be stands
a `Streamed` (core/streamed.py). Whoever writes `out` asks `Outflow.write` first, which writes what is before it, and
then the pieces. Nothing of ours can stand between them on the connection: acknowledgements, PINGREQ and other messages
wait until it is over. So whoever gives the pieces may not take too long for one; if he does, the message is given up,
and in its middle the connection with it, for a packet that has begun can end in no other way.
"""

import asyncio

from ...core import const
from ...core.codec import publish_head
from ...core.errors import ClosedError, MQTTError, StreamError
from ...core.features import HOST, JOURNAL, KEYS, SERIAL, V5
from ...core.packet_types import PINGREQ
from ...core.streamed import Streamed, accept, give_up
from ...serial.clock import now_ms
from ..messages import Receipt
from .sources import Source

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from typing import Any

    from ..connector import Connector
    from ..face import BaseClient
    from ..transport import Transport

PIECE = const(1024)  # bytes that a board reads of a file at once
HOST_PIECE = const(65536)
_PING = bytes((PINGREQ, 0))


class Sending:
    """One message whose payload is given piece by piece."""

    def __init__(self, topic: str, source: Source, timeout_s: float, before: bytes, pieces: int) -> None:
        self.topic = topic
        self.source = source
        self.timeout_s = timeout_s
        self.pieces = pieces  # of `out` that belong to it and stand before it: head, packet identifier
        self.stand_behind(before)
        self.seq = -1
        self.ahead: "Any" = None  # the first piece, when it has been read
        self.is_written = False
        self.error: "MQTTError | None" = None
        self.done = 0  # bytes given until now

    def stand_behind(self, before: bytes) -> None:
        """These bytes come before those of the source."""
        self.before = before
        self.streamed = Streamed(before)
        self.streamed.size = self.source.size
        self.streamed.stream = self

    def failed(self, what: str, error: "Exception | None" = None) -> StreamError:
        """The error for a source that did `what`."""
        failure = StreamError(
            "the stream to '%s' is given up: its source %s after %d of %d bytes"
            % (self.topic, what, self.done, self.source.size)
        )
        if HOST:
            failure.__cause__ = error
        return failure

    async def _ask(self, answer: "Any") -> "Any":
        """What the source answers, in time; StreamError when it does not."""
        try:
            if HOST:  # `wait_for` of Python 3.11 forgets a cancellation that comes together with the answer
                async with asyncio.timeout(self.timeout_s):
                    return await answer
            return await asyncio.wait_for(answer, self.timeout_s)
        except asyncio.TimeoutError:
            failure = self.failed("gave nothing for %s s," % self.timeout_s)
        except Exception as error:
            failure = self.failed("failed (%r)" % error, error)
        raise failure

    async def begin(self, piece: int) -> None:
        """Open the source, and read its first piece: what fails here costs nobody anything."""
        self.done = 0
        self.ahead = None
        await self._ask(self.source.open())
        self.ahead = await self.next(piece)

    async def next(self, piece: int) -> "Any":
        """The next bytes; b"" when all have been given. StreamError when there are none in time, or too few or many."""
        left = self.source.size - self.done
        if not left:
            return b""
        data = await self._ask(self.source.read(min(left, piece)))
        size = len(data)
        if not size:
            raise self.failed("ended")
        if size > left:
            raise self.failed("gave %d bytes more than its size," % (size - left))
        self.done += size
        return data


class Outflow:
    """Of one client: what writes streams. `current`: the one that is in the middle of being written."""

    current: "Sending | None" = None
    _parser: "object | None" = None  # of the connection that is written to: each has its own

    def __init__(self, connector: "Connector") -> None:
        self._connector = connector
        self.count = 0  # streams that are not confirmed
        self.piece = min(connector.piece, HOST_PIECE if HOST else PIECE)

    async def write(self, transport: "Transport") -> bool:
        """Write what is in the protocol's `out` up to the first stream; or, when that is in front, the stream. False:
        there is none among the pieces that are written at once.
        """
        connector = self._connector
        life = connector.life
        out = life.protocol.out
        at = 0
        for piece in out:
            if type(piece) is Streamed:
                break
            at += 1
        else:
            return False
        stream: Sending = out[at].stream  # type: ignore[attr-defined]
        at -= stream.pieces
        if at > life.out_max:
            return False
        connector.is_writing = True
        parser = self._parser = life.protocol.parser
        try:
            if at:
                await self._write_pieces(transport, at)
            else:
                await self._write_stream(transport, stream)
        finally:
            if self._parser is parser:
                connector.is_split = False
                self.current = self._parser = None
        if SERIAL and not out and life.session.sent < life.session.next:
            life.session._pump()
        return True

    async def _commit(self) -> None:
        life = self._connector.life
        session = life.session
        if session.wanted or life.finished > life.finished_max:
            session.wanted = False
            await life.commit()

    async def _write_pieces(self, transport: "Transport", count: int) -> None:
        """Write so many pieces of `out`."""
        life = self._connector.life
        out = life.protocol.out
        data = b"".join(out[:count])
        out[:count] = []
        life.taken_out += count
        if JOURNAL:
            await self._commit()
        await self._write(transport, data)
        life.written = life.taken_out

    async def _write_stream(self, transport: "Transport", stream: Sending) -> None:
        life = self._connector.life
        out = life.protocol.out
        parser = life.protocol.parser
        if stream.ahead is None:  # it is sent again
            try:
                await stream.begin(self.piece)
            except StreamError as error:
                self._stop_behind(parser)
                self.give_up(stream, error)
                return
            self._stop_behind(parser)
            if len(out) <= stream.pieces or out[stream.pieces] is not stream.streamed:
                return  # cancelled meanwhile
        head = b"".join(out[: stream.pieces]) + stream.before
        out[: stream.pieces + 1] = []
        life.taken_out += stream.pieces + 1
        self.current = stream
        self._connector.is_split = True
        if JOURNAL:
            await self._commit()
        data = stream.ahead
        stream.ahead = None
        try:
            await self._write(transport, head + bytes(data) if len(data) <= self.piece else head)
            if len(data) > self.piece:
                await self._write(transport, data)
            while True:
                data = await stream.next(self.piece)
                self._stop_behind(parser)
                if not data:
                    break
                await self._write(transport, data)
        except StreamError as error:
            self._stop_behind(parser)
            self.give_up(stream, error)
            raise
        life.written = life.taken_out
        stream.is_written = True
        await stream.source.close()
        life.wake()

    def _stop_behind(self, parser: "object") -> None:
        """Go on only while the connection that has `parser` is the one there is. Whoever gives the pieces may have
        swallowed the cancellation that came with its end (so does `wait_for`, when the answer comes together with it),
        and two tasks would take from one `out`: what the first takes, CONNECT with it, reaches nobody.
        """
        life = self._connector.life
        if life.failure or life.protocol.parser is not parser:
            raise asyncio.CancelledError

    async def _write(self, transport: "Transport", data: "Any") -> None:
        connector = self._connector
        protocol = connector.life.protocol
        step = connector.piece
        for at in range(0, len(data), step):
            await transport.write(data if len(data) <= step else memoryview(data)[at : at + step])
            protocol.sent_at = now_ms()
            self.look()
        if HOST:
            connector.flow.bytes_out += len(data)  # type: ignore[attr-defined]
        await asyncio.sleep(0)  # the source may never wait, nor the transport

    def look(self) -> None:
        """A PINGREQ that stands behind a stream has not left: its answer is not late."""
        protocol = self._connector.life.protocol
        if protocol.waiting_since is not None and _PING in protocol.out:
            protocol.waiting_since = now_ms()

    def give_up(self, stream: Sending, error: "MQTTError") -> None:
        """The message ends here, wherever it is."""
        connector = self._connector
        life = connector.life
        out = life.protocol.out
        at = 0
        for piece in out:
            if piece is stream.streamed:
                out[at - stream.pieces : at + 1] = []  # not a byte of it has left
                break
            at += 1
        if self.current is stream:
            life.fail(error)
        stream.error = error
        session = life.session
        message = session.messages.get(stream.seq)
        receipt = connector.outgoing.receipts.pop(stream.seq, None)
        if message and message[1] is stream.streamed:
            give_up(session, stream.seq)
            life.to_write.set()
        if receipt:
            receipt._finish(error)
        life.wake()


def outflow(client: "BaseClient") -> Outflow:
    """The one of a client."""
    connector = client._connector
    found: "Outflow" = connector.outflow or Outflow(connector)  # type: ignore[assignment]
    connector.outflow = found
    return found


async def publish_stream(
    client: "BaseClient",
    topic: str,
    given: "Any",
    size: "int | None",
    qos: int,
    retain: bool,
    timeout_s: float,
    properties: "Any",
    key: "tuple[str, int] | None" = None,
) -> None:
    """See BaseClient.publish_stream."""
    client._checked(topic, b"", qos, retain, key)
    life = client._life
    protocol = life.protocol
    before = b""
    kept = client._outgoing.flags & 2
    if V5 and (properties or kept):
        from .saying5 import block

        before = block(client, properties)
    source = Source(given, size, qos > 0)
    name = topic.encode()
    flags = qos << 1 | (1 if retain else 0)
    stream = Sending(topic, source, timeout_s or client._connector.timeout_s, before, 2 if qos else 1)
    is_keyed = KEYS and qos and (key or client._outgoing.flags & 1)
    if is_keyed:
        from .keyed import in_front

        stream.stand_behind(in_front(client, before, key))
    protocol._check(flags, name, len(stream.before))
    head = publish_head(flags, name, len(stream.before) + source.size)
    flow = outflow(client)
    try:
        if V5 and protocol.limits and life.is_connected:
            protocol.limits.check(head, stream.before, source.size)
        await stream.begin(flow.piece)
        await _room(client, qos, len(name) + len(stream.before))
        if life.error:
            raise life.error
        if is_keyed and not key:  # others may have been accepted meanwhile: its number is the one that it gets now
            stream.stand_behind(in_front(client, before, None))
            head = publish_head(flags, name, len(stream.before) + source.size)
        flow.count += 1
        try:
            if qos:
                await _confirmed(client, flow, stream, head, kept)
            else:
                await _written(client, flow, stream, head)
        finally:
            flow.count -= 1
    finally:
        await source.close()


async def _room(client: "BaseClient", qos: int, size: int) -> None:
    if client._outgoing.is_full(qos, size):
        await client._outgoing.wait_for_room(qos, size)


async def _confirmed(client: "BaseClient", flow: Outflow, stream: Sending, head: bytes, version: int) -> None:
    """QoS 1 and 2."""
    life = client._life
    stream.seq = accept(life.session, head, stream.before, stream.streamed, version)
    receipt = client._outgoing.receipts[stream.seq] = Receipt(stream.seq)
    life.to_write.set()
    try:
        await receipt.completed()
        while flow.current is stream and not life.error:  # confirmed before its end: by a broker that has read ahead
            await life.progress.wait()
    finally:
        message = life.session.messages.get(stream.seq)
        if flow.current is stream or (message and message[1] is stream.streamed):
            flow.give_up(stream, life.error or ClosedError("publish_stream to '%s' was cancelled" % stream.topic))


async def _written(client: "BaseClient", flow: Outflow, stream: Sending, head: bytes) -> None:
    """QoS 0: it is over when all has been written."""
    life = client._life
    protocol = life.protocol
    if not life.is_connected:
        life.qos0_dropped += 1
        raise StreamError(
            "the stream to '%s' is not sent: there is no connection, and QoS 0 waits for none" % stream.topic
        )
    parser = protocol.parser  # each connection has its own
    protocol.out += (head, stream.streamed)
    life.to_write.set()
    try:
        while not stream.is_written:
            if stream.error:
                raise stream.error
            if life.error:
                raise life.error
            if protocol.parser is not parser or not life.is_connected:
                raise StreamError(
                    "the stream to '%s' is not whole: the connection was lost after %d of %d bytes"
                    % (stream.topic, stream.done, stream.source.size)
                )
            await life.progress.wait()
    finally:
        if not (stream.is_written or stream.error):
            flow.give_up(stream, ClosedError("publish_stream to '%s' was cancelled" % stream.topic))
