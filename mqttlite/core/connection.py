"""One network connection, whichever end: bytes in, packets to the session, bytes out.

What both roles do alike lives here: PUBLISH and its acknowledgements. `client` and `server` add the packets that only
one of them sends. Both runtimes; no I/O, no clock (`now` is in milliseconds, any origin, growing).

The owner calls `receive` with what it read, then writes `b"".join(out)` and empties `out`, then asks `deadline` when to
call `tick`. A ProtocolError from `receive` means: write what is in `out`, and close.
"""

from binascii import crc32

from . import const
from .codec import decode_acknowledgement, decode_packet_id
from .errors import broken
from .parser import Parser

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .session import Session

# As in packet_types.
_PUBACK = const(0x40)
_PUBREC = const(0x50)
_PUBREL = const(0x62)
_PUBCOMP = const(0x70)

# What a byte of a packet that is not complete is worth, in ms of keep alive: so 100 bytes a second are as good as a
# packet, and one now and then is not. (docs/decisions: a long message on a slow line)
BYTE_MS = const(10)


def checksum(topic: bytes, payload: bytes) -> int:
    """Of a message's content. Begun with a length: else a topic that ends where another's payload begins would look
    the same.
    """
    return crc32(payload, crc32(topic, len(topic)))


class Connection:
    """Base of both ends. `size_max`: largest Remaining Length accepted, in bytes. A subclass has `control`,
    `check_topic` and `deliver`.
    """

    # Of a message's checksum, 26 bits tell it from another under its identifier. A board takes 14, 18 being left out:
    # with the identifier, they make a small integer, for which it needs no memory.
    digest_shift = 6

    def __init__(self, size_max: int) -> None:
        self.parser = Parser(size_max)
        self.out: "list[bytes]" = []
        self.session: "Session | None" = None  # set once CONNECT has been accepted
        self.received_at = 0  # ms; when the last packet was complete, or could have been

    def receive(self, data: bytes, now: int) -> None:
        """Process the bytes that arrived next: all packets that are complete."""
        parser = self.parser
        parser.feed(data)
        first = parser.next()
        if not first:
            self.received_at = min(now, self.received_at + BYTE_MS * len(data))
        while first:
            self.received_at = now  # a packet counts, not a byte of one [MQTT-3.1.2-24]
            kind = first & 0xF0
            session = self.session
            if session is None:
                self.control(first, parser.buf, parser.start, parser.end, now)
            elif kind == 0x30:
                self._publish(session, first, parser.buf, parser.start, parser.end)
            elif kind == _PUBACK or kind == _PUBREC or kind == _PUBCOMP or first == _PUBREL:
                self._acknowledgement(session, first, parser.buf, parser.start, parser.end)
            else:
                self.control(first, parser.buf, parser.start, parser.end, now)
            first = parser.next()

    def control(self, first: int, buf: bytes, start: int, end: int, now: int) -> None:
        """Any packet but the five below."""

    def check_topic(self, topic: bytes) -> None:
        """ProtocolError where the topic name may not stand in PUBLISH."""

    def deliver(self, first: int, topic: bytes, payload: bytes, packet_id: int) -> None:
        """A message. `packet_id`: what `handled` wants, or 0."""

    def _acknowledgement(self, session: "Session", first: int, buf: bytes, start: int, end: int) -> None:
        """PUBACK, PUBREC, PUBREL, PUBCOMP (3.4 to 3.7)."""
        packet_id = decode_acknowledgement(buf, start, end)
        if first == _PUBREL:
            session.released(packet_id)
        else:
            session.acknowledged(first, packet_id)

    def _publish(self, session: "Session", first: int, buf: bytes, start: int, end: int) -> None:
        """PUBLISH (3.3): topic name, packet identifier where QoS > 0, payload."""
        if end - start < 2:
            raise broken("MQTT-3.3.2-1")
        at = start + 2 + (buf[start] << 8 | buf[start + 1])
        if at > end:
            raise broken("1.5.3 topic name")
        topic = buf[start + 2 : at]
        if first & 6:
            packet_id = decode_packet_id(buf, at, end)
            self.check_topic(topic)  # before the identifier is remembered
            payload = buf[at + 2 : end]
            digest = checksum(topic, payload) >> self.digest_shift if first & 4 else 0
            packet_id = session.received(first, packet_id, digest)
            if packet_id:
                self.deliver(first, topic, payload, packet_id)
        else:
            self.check_topic(topic)
            self.deliver(first, topic, buf[at:end], 0)

    def closed(self) -> None:
        """The network connection is gone."""
        self.out.clear()
        if self.session:
            self.session.disconnected()
            self.session = None
