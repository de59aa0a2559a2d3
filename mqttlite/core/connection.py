"""One network connection, whichever end and version: bytes in, packets to the session, bytes out.

What both roles do alike lives here: PUBLISH and its acknowledgements. `client` and `server` add the packets that only
one of them sends. What differs between 3.1.1 and 5.0 is asked of `wire` (wire.py). Both runtimes; no I/O, no clock
(`now` is in milliseconds, any origin, growing).

The owner calls `receive` with what it read, then writes `b"".join(out)` and empties `out`, then asks `deadline` when to
call `tick`. A ProtocolError from `receive` means: write what is in `out`, and close.
"""

from . import const
from .codec import decode_packet_id
from .errors import ProtocolError, broken
from .features import HOST, V5
from .packet_types import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL
from .parser import Parser

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .session import Session
    from .wire import Wire

# What a byte of a packet that is not complete is worth, in ms of keep alive: so 100 bytes a second are as good as a
# packet, and one now and then is not. (docs/decisions: a long message on a slow line)
BYTE_MS = const(10)


class Connection:
    """Base of both ends. `size_max`: largest Remaining Length accepted, in bytes. A subclass has `control`,
    `check_topic` and `deliver`.
    """

    wire: "Wire"
    aliases: "dict[int, bytes] | None" = None  # topics by alias, of who has announced that it takes some (5.0)
    alias_max = 0  # so many
    session: "Session"  # a server has one from CONNACK on

    # Of a message's checksum, 26 bits tell it from another under its identifier. A board takes 14, 18 being left out:
    # with the identifier, they make a small integer, for which it needs no memory.
    digest_shift = 6

    def __init__(self, size_max: int) -> None:
        self.parser = Parser(size_max)
        self.out: "list[bytes]" = []
        self.is_connected = False  # CONNECT has been accepted, and neither end has said that it goes
        self.received_at = 0  # ms; when the last packet was complete, or could have been

    def receive(self, data: bytes, now: int) -> None:
        """Process the bytes that arrived next: all packets that are complete."""
        parser = self.parser
        parser.feed(data)
        try:
            first = parser.next()
            if not first:
                self.received_at = min(now, self.received_at + BYTE_MS * len(data))
            while first:
                self.received_at = now  # a packet counts, not a byte of one [MQTT-3.1.2-24]
                kind = first & 0xF0
                if not self.is_connected:
                    self.control(first, parser.buf, parser.start, parser.end, now)
                elif kind == PUBLISH:
                    self._publish(first, parser.buf, parser.start, parser.end)
                elif kind == PUBACK or kind == PUBREC or kind == PUBCOMP or first == PUBREL:
                    self._acknowledgement(first, parser.buf, parser.start, parser.end)
                else:
                    self.control(first, parser.buf, parser.start, parser.end, now)
                first = parser.next()
        except ProtocolError as error:
            if V5:
                self.part(error)
            raise

    def control(self, first: int, buf: bytes, start: int, end: int, now: int) -> None:
        """Any packet but the five below."""

    def check_topic(self, topic: bytes) -> None:
        """ProtocolError where the topic name may not stand in PUBLISH."""

    def deliver(self, first: int, topic: bytes, payload: bytes, packet_id: int, properties: bytes) -> None:
        """A message. `packet_id`: what `handled` wants, or 0. `properties`: a block, empty in 3.1.1."""

    def part(self, error: ProtocolError) -> None:
        """The peer has broken a rule: tell it which, where its version has words for that (5.0: 4.13.1)."""
        word = self.wire.farewell(error.rule) if self.is_connected else b""
        if word:
            self.out.append(word)

    def _acknowledgement(self, first: int, buf: bytes, start: int, end: int) -> None:
        """PUBACK, PUBREC, PUBREL, PUBCOMP (3.4 to 3.7)."""
        packet_id = self.wire.decode_acknowledgement(buf, start, end)
        if first == PUBREL:
            self.session.released(packet_id & 0xFFFF)
        else:
            self.session.acknowledged(first, packet_id & 0xFFFF, packet_id >> 16)

    def _publish(self, first: int, buf: bytes, start: int, end: int) -> None:
        """PUBLISH (3.3): topic name, packet identifier where QoS > 0, properties (5.0), payload."""
        if end - start < 2:
            raise broken("MQTT-3.3.2-1")
        at = start + 2 + (buf[start] << 8 | buf[start + 1])
        if at > end:
            raise broken("1.5.3 topic name")
        topic = buf[start + 2 : at]
        packet_id = 0
        if first & 6:
            packet_id = decode_packet_id(buf, at, end)
            at += 2
        properties = b""
        if V5 and self.wire.properties_of:
            begin, at = self.wire.properties_of(buf, at, end)
            properties = buf[begin:at]
            if HOST and properties and (self.aliases is not None or 0x23 in properties):
                from .inbound5 import named

                topic, properties = named(self, topic, properties)
        self.check_topic(topic)  # all checks before the identifier is remembered
        payload = buf[at:end]
        if packet_id:
            digest = 0
            if first & 4:
                digest = self.wire.digest(topic, packet_id, properties, payload) >> self.digest_shift
            packet_id = self.session.received(first, packet_id, digest)
            if not packet_id:
                return
        self.deliver(first, topic, payload, packet_id, properties)

    def end(self) -> None:
        """Nothing that comes from now on counts; the session goes on without this connection."""
        if self.is_connected:
            self.is_connected = False
            self.session.disconnected()

    def closed(self) -> None:
        """The network connection is gone."""
        self.out.clear()
        self.end()
