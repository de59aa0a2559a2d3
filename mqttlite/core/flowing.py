"""A PUBLISH above the client's `size_max` that somebody takes piece by piece as it arrives (client/pieces). Both
runtimes; loaded with the first one.

Nothing is remembered of it before its last byte has come: the session hears of it then, as of any other message, and so
one that is cut off comes again from its beginning, and is a new one. What the session has already is read past.

So is, in a session that is kept, what nobody takes (yet): the session never hears of it, and the broker sends it again
with the next connection. What it kept for a program that was away comes before that has said who takes it.
"""

from binascii import crc32

from . import const
from .codec import decode_packet_id
from .errors import ConnectError, broken
from .features import HOST, V5
from .oversize import Oversized
from .session import HELD, STALE2, TAKEN2

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .client import ClientProtocol
    from .events import Streams


# What is done with its bytes
_ASK = const(0)  # its topic and properties are not complete
_GIVE = const(1)  # somebody takes them
_COMPARE = const(2)  # the session has the message: whether it is that one
_PASS = const(3)  # nobody wants them
_LEAVE = const(4)  # nobody wants them now: they are the broker's to keep


class Flowing(Oversized):
    """`first`: its first byte."""

    def __init__(self, size: int, first: int, client: "ClientProtocol") -> None:
        Oversized.__init__(self, size)
        self.first = first
        self._client = client
        self._mode = _ASK
        self._digest = 0

    def take(self, buf: bytes, at: int, end: int) -> None:
        """See Oversized."""
        if self._mode == _PASS:
            Oversized.take(self, buf, at, end)
            return
        self.left -= end - at
        if self._mode == _LEAVE:
            return
        if self._mode != _ASK:
            self._give(buf[at:end])
            return
        head = self.body + buf[at:end]
        begin = self._start(head)
        if begin < 0 and len(head) <= self._client.parser.size_max:
            self.body = head
            return
        if begin < 0:  # topic and properties have their bounds, too
            self._mode = _PASS
        self.body = b""
        if self._mode == _PASS:  # from its beginning, as one that nobody takes
            self.left = self.size
            self.packet_id = 0
            Oversized.take(self, head, 0, len(head))
        elif self._mode != _LEAVE:
            self._give(head[begin:])

    def _give(self, piece: bytes) -> None:
        if self.first & 4:
            self._digest = crc32(piece, self._digest)
        streams = self._client.streams
        if self._mode == _GIVE and piece and streams:
            streams.take(piece)

    def _start(self, head: bytes) -> int:
        """Where the payload begins, when that is known, and what to do with it; -1: it is not."""
        client = self._client
        have = len(head)
        if have < 2:
            return -1
        topic_end = at = 2 + (head[0] << 8 | head[1])
        if self.first & 6:
            at += 2
        if at > self.size:
            raise broken("1.5.3 topic name")
        if have < at:
            return -1
        properties = b""
        if V5 and client.wire.properties_of:
            stop = _end_of_block(head, at)
            if stop < 0 or have < stop:
                return -1
            begin, at = client.wire.properties_of(head, at, stop)
            if at > self.size:
                raise broken("1.5.5")
            properties = head[begin:at]
        topic = head[2:topic_end]
        if self.first & 6:
            self.packet_id = decode_packet_id(head, topic_end, have)
        if HOST and properties and (client.aliases is not None or 0x23 in properties):
            from .inbound5 import named

            topic, properties = named(client, topic, properties)
        client.check_topic(topic)
        if self.first & 4:
            self._digest = client.wire.digest(topic, self.packet_id, properties, b"")
        streams = client.streams
        if self._is_known():
            self._mode = _COMPARE
        elif streams and streams.begin(self.first, topic, self.size - at, properties):
            self._mode = _GIVE
        elif self.packet_id and client.stream_max and not client.clean_session:
            self._mode = _LEAVE
            client.left_streams += 1
        else:
            self._mode = _PASS
            return 0
        return at

    def _is_known(self) -> bool:
        """Whether the session has this message already."""
        if not self.packet_id or self.packet_id == self._client.reused:
            return False
        state = self._client.session.inbound.get(self.packet_id, 0) & 15
        if self.first & 4:
            return state == TAKEN2 or state == STALE2 or state == HELD
        return state != 0 and not state & 2 and self.first & 8 != 0

    def has_flowed(self) -> bool:
        """See Oversized."""
        if self._mode == _ASK:
            raise broken("1.5.3 topic name")
        if self._mode == _PASS:
            return False
        if self._mode == _LEAVE:
            return True
        client = self._client
        session = client.session
        digest = self._digest >> client.digest_shift
        if self._mode == _COMPARE:
            before = session.inbound.get(self.packet_id, 0) >> 4
            if self.first & 12 == 4 and 0 < before != digest:
                # The peer has lost its memory and uses the identifier again: what has gone by is another message.
                client.reused = self.packet_id
                raise ConnectError(
                    "the broker uses identifier %d for another message: it is to send it again" % self.packet_id
                )
            session.received(self.first, self.packet_id, digest)
            return True
        first = self.first
        if 0 < client.reused == self.packet_id:
            first &= ~8  # a repeat of what was not taken
            client.reused = 0
        delivery = session.received(first, self.packet_id, digest) if self.packet_id else 0
        if client.streams:
            client.streams.complete(delivery, session.generation, delivery != 0 or not self.packet_id)
        return True


def _end_of_block(head: bytes, at: int) -> int:
    """Where the properties end that begin at `at` with their length; -1: that is not complete."""
    size = shift = 0
    while shift < 28:
        if at >= len(head):
            return -1
        size |= (head[at] & 127) << shift
        shift += 7
        at += 1
        if head[at - 1] < 128:
            return at + size
    raise broken("1.5.5")


def take_by(client: "ClientProtocol", streams: "Streams | None") -> None:
    """From now on, `streams` is asked who takes what is larger than `size_max`; None: nobody takes it yet."""

    def make(size: int, first: int) -> Oversized:
        return Oversized(size) if 0 < client.stream_max < size else Flowing(size, first, client)

    client.streams = streams
    client.make_large = client.parser.make_large = make
