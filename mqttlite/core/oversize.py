"""A PUBLISH that is larger than the client takes: its bytes are counted and dropped, and when it has gone by it is
acknowledged, and told to the owner. Otherwise a retained or queued message would end each connection anew, and nothing
behind it would ever arrive. Loaded with the first one. Both runtimes.

A server goes on refusing such a packet as soon as its fixed header shows it: what a client would send in vain, it
should not send (client/suspects.py finds out which message that is).
"""

from . import const
from .errors import broken
from .features import STREAM
from .packet_types import GONE_BY
from .reason_codes import PACKET_TOO_LARGE
from .text import check_utf8

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .client import ClientProtocol
    from .parser import Parser

_KEPT = const(258)  # bytes of the body: the length of the topic name, and its beginning or all of it


class Oversized:
    """What is kept of a PUBLISH: `size` (its Remaining Length), the beginning of its body, its packet identifier."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.left = size  # bytes still to come
        self.body = b""
        self.packet_id = 0

    def take(self, buf: bytes, at: int, end: int) -> None:
        """The next bytes of the body are `buf[at:end]`."""
        begin = self.size - self.left
        if begin < _KEPT:
            self.body += buf[at : min(end, at + _KEPT - begin)]
        if len(self.body) >= 2:
            # The identifier is behind the topic name, which may be longer than what is kept.
            where = at - begin + 2 + (self.body[0] << 8 | self.body[1])
            for place in (where, where + 1):
                if at <= place < end:
                    self.packet_id = self.packet_id << 8 | buf[place]
        self.left -= end - at

    def has_flowed(self) -> bool:
        """Whether its last byte, which has come, was taken by somebody (flowing.py)."""
        return False


def check_size(size_max: int, topic: bytes, size: int) -> None:
    """PublishError for a message of `size` bytes (Remaining Length) that is larger than a client takes itself."""
    if size > size_max:
        from .errors import PublishError

        raise PublishError(
            PACKET_TOO_LARGE,
            "message to '%s' not accepted: packet of %d bytes, above this client's size_max=%d (both directions)"
            % (str(topic, "utf-8"), size, size_max),
        )


def pass_over(parser: "Parser", first: int, start: int, size: int) -> int:
    """What Parser.next answers when a packet is above `size_max`: 0 while it is not over, then GONE_BY. Its body begins
    at `start`. ProtocolError unless it is a PUBLISH and the parser a client's.
    """
    if first & 0xF0 != 0x30 or not parser.skips:
        raise broken("4.8 size", size, parser.size_max)
    large = parser.large
    if large is None:
        large = parser.large = parser.make_large(size, first) if STREAM and parser.make_large else Oversized(size)
    buf = parser.buf
    end = min(len(buf), start + large.left)
    large.take(buf, start, end)
    if large.left:
        # Only the fixed header stays: with what comes next, it leads here again.
        parser.buf = buf[parser._at : start]
        parser._at = 0
        parser._need = len(parser.buf) + 1
        return 0
    parser.start = start
    parser.end = parser._at = end
    parser.first = first
    return GONE_BY


def gone_by(client: "ClientProtocol") -> None:
    """The message has gone by: the owner is told, and acknowledges it like one that it has handled."""
    parser = client.parser
    large = parser.large
    session = client.session
    assert large
    parser.large = None
    if STREAM and large.has_flowed():
        return
    body = large.body
    if large.size < 2:
        raise broken("MQTT-3.3.2-1")
    size = body[0] << 8 | body[1]
    qos = parser.first & 6
    if 2 + size + (2 if qos else 0) > large.size:
        raise broken("1.5.3 topic name")
    topic = body[2 : 2 + size]
    if len(topic) == size:
        client.check_topic(topic)
    else:  # cut off, perhaps inside a character
        last = len(topic) - 1
        while last and topic[last] & 0xC0 == 0x80:
            last -= 1
        if topic[last] >= 0xC0:
            topic = topic[:last]
        check_utf8(topic, "topic name")
        topic += "…".encode()
    if qos and not large.packet_id:
        raise broken("MQTT-2.3.1-1")
    delivery = session.received(parser.first, large.packet_id) if qos else 0
    if delivery or not qos:
        client.events.on_large(parser.first, topic, large.size, delivery, session.generation)
