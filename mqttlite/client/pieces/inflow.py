"""What arrives piece by piece, and whoever takes it. Both runtimes.

A message that is cut off is forgotten, and comes again from its beginning: `sink` gets it anew, and only one that has
come whole and that `sink` has returned from is acknowledged. So at QoS 2 `sink` returns once from each, and what it did
with the beginning of one that was cut off is for it to undo. Acknowledgements leave in the order of arrival
[MQTT-4.6.0-2] [MQTT-4.6.0-3]: a message that has come whole has its place among all others (incoming.py).

What waits to be taken has its bound. When it is reached nothing is read, until there is room, or until whoever takes it
has taken nothing for too long: then the connection ends, for that is what it may cost the others.
"""

import asyncio

from ...core import const
from ...core.errors import ClosedError, StreamError
from ...core.features import HOST, KEYS, V5
from ...core.matching import matches
from ...serial.clock import now_ms
from .message import StreamedMessage

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..connector import Connector

WAITING_MAX = const(2048)  # bytes of payload that wait to be taken, and one read more
HOST_WAITING_MAX = const(1048576)
LOOK_S = const(1)  # how often it is looked whether anything is taken


class Taker:
    """One receive_stream. `queue`: messages that have begun, and `sink` has not been called for."""

    def __init__(self, topic_filter: bytes) -> None:
        self.topic_filter = topic_filter
        self.queue: "list[StreamedMessage]" = []
        self.more = asyncio.Event()


class Inflow:
    """Of one client: what arrives and is taken piece by piece. It is core.events.Streams."""

    def __init__(self, connector: "Connector") -> None:
        self._connector = connector
        self.takers: "list[Taker]" = []
        self.timeout_s = 0.0  # how long nothing may be taken
        self._arriving: "StreamedMessage | None" = None
        self._waiting = 0  # bytes
        self._taken_at = 0
        self._room = asyncio.Event()

    # -- what the protocol tells

    def begin(self, flags: int, topic: bytes, size: int, properties: bytes) -> bool:
        """See Streams."""
        taker = self._find(topic)
        if taker is None or self._connector.life.error:
            return False
        message = self._arriving = self._made(flags, topic, size, properties)
        self._put(taker, message)
        return True

    def take(self, piece: bytes) -> None:
        """See Streams."""
        message = self._arriving
        if message and not message._is_ended:
            self._wait(message, piece)
            message._more.set()

    def complete(self, packet_id: int, generation: int, is_new: bool) -> None:
        """See Streams."""
        message = self._arriving
        self._arriving = None
        if message is None:
            return
        if not is_new:
            self._fail(message, StreamError("the message came before"))
            return
        self._whole(message, packet_id, generation)

    def whole(
        self, first: int, topic: bytes, payload: bytes, packet_id: int, generation: int, properties: bytes = b""
    ) -> bool:
        """A message no larger than `size_max`: whether somebody takes it here."""
        taker = self._find(topic)
        if taker is None or self._connector.life.error:
            return False
        message = self._made(first, topic, len(payload), properties)
        self._put(taker, message)
        if payload and not message._is_ended:
            self._wait(message, payload)
        self._whole(message, packet_id, generation)
        return True

    def cut(self) -> None:
        """The connection is gone, or the client closed."""
        message = self._arriving
        self._arriving = None
        if message:
            self._fail(
                message,
                StreamError(
                    "the connection was lost in the middle of the stream to '%s', which will come again" % message.topic
                    if message.qos
                    else "the connection was lost in the middle of the stream to '%s'" % message.topic
                ),
            )
        if self._connector.life.error:
            for taker in self.takers:
                taker.more.set()
        self._room.set()

    def _find(self, topic: bytes) -> "Taker | None":
        for taker in self.takers:
            if matches(taker.topic_filter, topic):
                return taker
        return None

    def _made(self, flags: int, topic: bytes, size: int, properties: bytes) -> StreamedMessage:
        message = StreamedMessage(self, str(topic, "utf-8"), flags, 0, size)
        if V5 and properties:
            message.properties = properties
        return message

    def _put(self, taker: Taker, message: StreamedMessage) -> None:
        """It is for this one to take."""
        taker.queue.append(message)
        taker.more.set()

    def _wait(self, message: StreamedMessage, piece: bytes) -> None:
        """A piece waits to be taken."""
        if not self._waiting:
            self._taken_at = now_ms()
        message._pieces.append(piece)
        self._waiting += len(piece)

    def _whole(self, message: StreamedMessage, packet_id: int, generation: int) -> None:
        message._is_whole = True
        message._more.set()
        incoming = self._connector.incoming
        incoming.has_received = True
        if HOST:
            incoming.count(message.qos)  # type: ignore[attr-defined]
        if packet_id:
            message._packet_id = packet_id
            message._generation = generation
            incoming.enter_stream(message)
            if message._is_done:  # it wanted no more
                self._handled(message)
            elif HOST and message._is_ended:  # its taker has
                self.leave(message)

    def _fail(self, message: StreamedMessage, error: Exception) -> None:
        """It does not come to its end."""
        message._error = error
        self._let_go(message)
        message._more.set()

    def _let_go(self, message: StreamedMessage) -> None:
        """Nobody takes the rest."""
        message._is_ended = True
        for piece in message._pieces:
            self.taken(len(piece))
        message._pieces = []

    if KEYS:

        def is_repeat(self, message: StreamedMessage) -> bool:
            """Whether it was handled before, under another packet identifier."""
            return False

    # -- bounds

    def taken(self, size: int) -> None:
        """So many bytes were."""
        self._waiting -= size
        self._taken_at = now_ms()
        self._room.set()

    def is_full(self) -> bool:
        """Whether nothing more is to be read."""
        return self._waiting > (HOST_WAITING_MAX if HOST else WAITING_MAX)

    async def wait_for_room(self) -> None:
        """Return when there is room. StreamError when nothing is taken for too long."""
        protocol = self._connector.life.protocol
        while self.is_full() and not self._connector.life.error:
            if protocol.waiting_since is not None:
                protocol.waiting_since = now_ms()  # PINGRESP may be behind what is not read
            self._room.clear()
            try:
                if HOST:  # `wait_for` of Python 3.11 forgets a cancellation that comes together with room
                    async with asyncio.timeout(LOOK_S):
                        await self._room.wait()
                else:
                    await asyncio.wait_for(self._room.wait(), LOOK_S)
            except asyncio.TimeoutError:
                if now_ms() - self._taken_at > self.timeout_s * 1000:
                    raise StreamError(
                        "nothing of a stream was taken for %s s, and %d bytes of it wait: it comes again"
                        % (self.timeout_s, self._waiting)
                    ) from None

    # -- whoever takes it

    def fetch(self, taker: Taker) -> None:
        """What has come before there was this taker: small messages wait for whoever iterates over the client; large
        ones have been left with the broker, which sends them again with the next connection.
        """
        incoming = self._connector.incoming
        inbox = incoming.inbox
        for at in range(len(inbox) - 1, -1, -1):
            message = inbox[at]
            if message._is_handled or not matches(taker.topic_filter, message.topic.encode()):
                continue
            del inbox[at]
            found = self._made(message.qos << 1 | message.retain, b"", len(message.payload), message.properties)
            found.topic, found.key, found.dup = message.topic, message.key, message.dup
            if message.payload:
                self._wait(found, message.payload)
            found._is_whole = True
            if message.qos:
                found._packet_id, found._generation = message._packet_id, message._generation
                found._is_handled = -1
                incoming.has_streams = True
                if not HOST:
                    inbox.insert(at, found)
            if HOST:
                incoming.become_stream(message, found, at)  # type: ignore[attr-defined]
            taker.queue.insert(0, found)
        life = self._connector.life
        if life.protocol.left_streams:
            life.protocol.left_streams = 0
            if life.is_connected:
                life.fail(StreamError("messages that came before receive_stream was called are asked for again"))

    async def run(self, taker: Taker, sink: "Callable[[StreamedMessage], Awaitable[None]]") -> None:
        """Call `sink` for one message after the other, until the client is closed."""
        life = self._connector.life
        while True:
            while not taker.queue:
                if life.error:
                    if isinstance(life.error, ClosedError):
                        return
                    raise life.error
                taker.more.clear()
                await taker.more.wait()
            message = taker.queue[0]
            try:
                if not (message._error or (KEYS and self.is_repeat(message))):
                    await sink(message)
            except StreamError as error:
                if error is not message._error:
                    raise
            taker.queue.pop(0)
            self._let_go(message)
            if message._error:
                continue
            message._is_done = True
            if message._is_whole:
                self._handled(message)
            # else its rest goes by, and then it is

    if HOST:  # on a board there is no room for it: what is behind such a message waits there

        def leave(self, message: StreamedMessage) -> None:
            """Its taker has ended, and nobody has handled it: if it has come whole, the broker keeps it, and sends it
            again with the next connection, as if it had never come. What is behind it does not wait for it.
            """
            self._let_go(message)
            life = self._connector.life
            session = life.session
            packet_id = message._packet_id & 0xFFFF
            if not packet_id or life.error:
                return
            if session.inbound.get(packet_id, 0) >> 4 != message._packet_id >> 16:
                packet_id = 0  # it stands for another message by now
            if message._generation == session.generation:
                session.inbound.pop(packet_id, None)
            life.protocol.left_streams += not life.protocol.clean_session
            message._packet_id = 0  # when it has its turn, nothing is acknowledged
            if KEYS:
                message.key = None
            self._connector.incoming.leave_stream(message)

    def _handled(self, message: StreamedMessage) -> None:
        if message._packet_id:
            self._connector.incoming.leave_stream(message)
