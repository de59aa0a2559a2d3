"""The codec of MQTT 5.0 on any bytes: what a decoder takes, it takes whatever stands around the packet, and what it has
read is written again byte by byte; whatever else happens is an MQTTError.

`one(data)`: the first byte chooses the packet, the rest is its body.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from mqttlite.broker.limits import LimitError, Limits
from mqttlite.broker.messages.extras import block_of, deadline_of, extra_of, share_of, with_identifiers, with_share
from mqttlite.broker.packets import publish5
from mqttlite.core import wire5, wire5_server
from mqttlite.core.codec import acknowledgement, body_at, packet, prefixed
from mqttlite.core.errors import MQTTError
from mqttlite.core.greeting import Connect
from mqttlite.core.packet_types import PUBACK
from mqttlite.core.properties import (
    MESSAGE_EXPIRY,
    TOPIC_ALIAS,
    check_properties,
    encode_user_properties,
    parted,
    user_properties,
    with_properties,
    without,
)
from mqttlite.core.session import Session
from mqttlite.core.text import check_topic_name
from mqttlite.core.versions import wire_of

AROUND = b"\x26\xff\0\x80"  # what stands before and behind a packet
CLOCK = 1_767_225_600_000  # ms
LEVELS = b"\3\4\5"


def _body(encoded: bytes) -> bytes:
    return encoded[body_at(encoded) :]


def _connect(buf: bytes, start: int, end: int) -> Any:
    wire, at = wire_of(buf, start, end, LEVELS)
    connect = wire.decode_connect(buf, at, end)
    if wire is wire5_server:
        begin, stop = check_properties(buf, at + 10, end, wire5_server.IN_CONNECT)
        written = buf[at : at + 10] + with_properties(buf[begin:stop], prefixed(connect.client_id))
        if connect.will:
            topic, payload, qos, retain = connect.will
            written += with_properties(connect.will_properties, prefixed(topic) + prefixed(payload))
            assert buf[at + 7] >> 3 & 7 == qos | retain << 2
        for field in (connect.username, connect.password):
            written += b"" if field is None else prefixed(field)
        assert written == buf[start:end]
    return sorted((name, value) for name, value in vars(connect).items())


def _connack(buf: bytes, start: int, end: int) -> Any:
    present, code, found = wire5.decode_connack(buf, start, end)
    wire5.refusal(code, found)
    if end - start > 2:
        begin, stop = check_properties(buf, start + 2, end, wire5.IN_CONNACK)
        assert _body(wire5_server.encode_connack(present, code, properties=buf[begin:stop])) == buf[start:end]
    return present, code, found


def _subscribe(buf: bytes, start: int, end: int) -> Any:
    packet_id, subscriptions, block = wire5_server.decode_subscribe(buf, start, end)
    written = packet_id.to_bytes(2, "big") + with_properties(block, b"")
    written += b"".join(prefixed(topic_filter) + bytes((options,)) for topic_filter, options in subscriptions)
    assert written == buf[start:end]
    return packet_id, subscriptions, block


def _unsubscribe(buf: bytes, start: int, end: int) -> Any:
    packet_id, filters = wire5_server.decode_unsubscribe(buf, start, end)
    if not buf[start + 2]:
        assert _body(wire5.encode_unsubscribe(packet_id, filters)) == buf[start:end]
    return packet_id, filters


def _suback(buf: bytes, start: int, end: int) -> Any:
    packet_id, codes = wire5.decode_suback(buf, start, end)
    if not buf[start + 2]:
        assert _body(wire5_server.encode_suback(packet_id, codes)) == buf[start:end]
    return packet_id, codes


def _unsuback(buf: bytes, start: int, end: int) -> Any:
    packet_id, codes = wire5.decode_unsuback(buf, start, end)
    if not buf[start + 2]:
        assert _body(wire5_server.encode_unsuback(packet_id, codes)) == buf[start:end]
    return packet_id, codes


def _acknowledgement(buf: bytes, start: int, end: int) -> Any:
    both = wire5.decode_acknowledgement(buf, start, end)
    again = _body(acknowledgement(PUBACK, both & 0xFFFF, both >> 16))
    assert wire5.decode_acknowledgement(again, 0, len(again)) == both
    return both


def _disconnect(buf: bytes, start: int, end: int) -> Any:
    code, found = wire5.decode_disconnect(buf, start, end)
    wire5.refusal(code, found)
    again = _body(wire5.encode_disconnect(code))
    assert wire5.decode_disconnect(again, 0, len(again)) == (code, {})
    return code, found


def _goodbye(buf: bytes, start: int, end: int) -> Any:
    connect = Connect(b"c", False, 0, None, None, None)
    return wire5_server.decode_disconnect(buf, start, end, connect), connect.session_expiry_s


class _Receiver:
    """As publish5.Receiver; keeps what it is given."""

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.session = Session()
        self.topic_aliases = {7: b"of/seven"}
        self.is_connected = True
        self.digest_shift = 6
        self.limits = Limits(properties=1000, user_properties=1000, properties_bytes=1 << 20)
        self.got: tuple[int, bytes, bytes, int, bytes] | None = None

    def check_topic(self, topic: bytes) -> None:
        check_topic_name(topic)

    def is_for_nobody(self, topic: bytes) -> bool:
        return topic == b"nobody"

    def deliver(self, first: int, topic: bytes, payload: bytes, packet_id: int, properties: bytes) -> None:
        self.got = first, topic, payload, packet_id, properties

    def refused(self, error: Exception, reason: int) -> None:
        raise error

    def charge(self, size: int) -> None:
        pass

    def explain(self) -> None:
        raise AssertionError("nothing is refused here")

    def exceeds(self, limit: str, what: str) -> LimitError:
        raise AssertionError(f"{limit}: {what}")


def _publish(buf: bytes, start: int, end: int) -> Any:
    """A message that the server has taken; as it goes on, in each QoS."""
    first = 0x30 | (buf[start] & 7 if buf[start] & 6 != 6 else 0)
    receiver = _Receiver()
    publish5.publish(receiver, first, buf, start + 1, end)
    assert receiver.got
    _, topic, payload, packet_id, block = receiver.got
    assert without(block, TOPIC_ALIAS) == block
    _as_kept(block)
    goes_on = prefixed(topic) + (b"\0\1" if packet_id else b"") + with_properties(block, payload)
    again = _Receiver()
    publish5.publish(again, first, goes_on, 0, len(goes_on))
    assert again.got and again.got[1:3] + again.got[4:] == (topic, payload, block)
    if block:
        begin, stop = wire5.properties_of(goes_on, len(goes_on) - len(with_properties(block, payload)), len(goes_on))
        assert goes_on[begin:stop] == block
    return receiver.got


def _as_kept(block: bytes) -> None:
    """Properties as a broker keeps them beside the message, and as they go out again."""
    seconds, rest = parted(block)
    assert (seconds < 0) == (without(block, MESSAGE_EXPIRY) == block)
    extra = extra_of(block, CLOCK)
    assert deadline_of(extra) == (CLOCK + seconds * 1000 if seconds >= 0 else -1)
    shared = with_share(extra, b"$share/s/#")
    assert share_of(shared) == b"$share/s/#" and not share_of(extra)
    assert with_share(shared, b"") == (extra if extra != b"\0" else b"")
    for kept in (extra, shared):
        out = block_of(kept, CLOCK, True)
        assert out is not None and parted(out) == (seconds, rest)
        assert (block_of(kept, CLOCK) is None) == (seconds == 0)
        late = block_of(kept, CLOCK + 1)
        assert late is None or parted(late) == (seconds, rest)  # rounded up
    numbered = block_of(with_identifiers(extra, [1, 200]), CLOCK, True)
    assert numbered and numbered.endswith(b"\x0b\1\x0b\xc8\1")
    pairs = user_properties(block)
    assert user_properties(encode_user_properties(pairs)) == pairs


Decoder = Callable[[bytes, int, int], Any]
DECODERS: tuple[Decoder, ...] = (
    _connect,
    _publish,
    _subscribe,
    _connack,
    _suback,
    _unsubscribe,
    _unsuback,
    _acknowledgement,
    _disconnect,
    _goodbye,
)


class Refused(NamedTuple):
    """What a decoder does not take."""

    error: str
    text: str


def outcome(decoder: Decoder, buf: bytes, start: int, end: int) -> Any:
    """What a decoder has read, or how it refuses."""
    try:
        return decoder(buf, start, end)
    except MQTTError as error:
        return Refused(type(error).__name__, str(error))


def one(data: bytes) -> None:
    """See the module's text. AssertionError, or any other error, where the codec is wrong."""
    if len(data) < 2:
        return
    decoder = DECODERS[data[0] % len(DECODERS)]
    body = data[1:]
    alone = outcome(decoder, body, 0, len(body))
    among = outcome(decoder, AROUND + body + AROUND, len(AROUND), len(AROUND) + len(body))
    assert alone == among, f"{decoder.__name__} alone: {alone}\namong others: {among}"


def seeds() -> list[bytes]:
    """Inputs to begin with: a valid one for each decoder, and with each property."""
    name = b"\0\4MQTT\5"
    properties = (
        b"\x01\1\x02\0\0\0\7\x03\0\1t\x08\0\1r\x09\0\1c",
        b"\x26\0\1n\0\1v\x26\0\1n\0\1w",
        b"\x11\0\0\0\7\x21\0\5\x27\0\0\1\0\x22\0\3\x19\1\x17\0",
    )
    will = with_properties(b"\x18\0\0\0\5" + properties[0], prefixed(b"w") + prefixed(b"x"))
    found = [
        (0, name + b"\2\0\x3c" + with_properties(properties[2], prefixed(b"c"))),
        (0, name + b"\xee\0\x3c" + with_properties(b"", prefixed(b"c") + will + prefixed(b"u") + prefixed(b"p"))),
        (0, b"\0\6MQIsdp\3\2\0\x3c\0\1c"),
        (0, b"\0\4MQTT\4\2\0\x3c\0\1c"),
        (
            2,
            b"\0\1"
            + with_properties(b"\x0b\7" + properties[1], prefixed(b"$share/a/#") + b"\x2a" + prefixed(b"t") + b"\1"),
        ),
        (2, b"\0\1\0" + prefixed(b"a/+/b") + b"\1" + prefixed(b"#") + b"\2"),
        (3, b"\1\0" + with_properties(b"\x12\0\1c\x13\0\7\x1a\0\1r\x1f\0\1y\x24\1\x25\0\x28\1\x29\0\x2a\1", b"")),
        (3, b"\0\x9c" + with_properties(b"\x1c\0\6server", b"")),
        (4, b"\0\1" + with_properties(b"\x1f\0\1y", b"\0\1\2\x80\x87")),
        (5, b"\0\1\0" + prefixed(b"a/#")),
        (6, b"\0\1\0\0\x11\x80"),
        (7, b"\0\1\x92" + with_properties(b"\x1f\0\1y" + properties[1], b"")),
        (8, b"\x8d" + with_properties(b"\x1c\0\6server\x1f\0\1y", b"")),
        (9, b"\4" + with_properties(b"\x11\0\0\0\7", b"")),
    ]
    for flags in (0, 3, 5):
        number = b"\0\1" if flags & 6 else b""
        for block in (b"", properties[0], properties[1] + b"\x23\0\7"):
            found.append((1, bytes((flags,)) + prefixed(b"a/b") + number + with_properties(block, b"payload")))
    found.append((1, b"\0" + prefixed(b"") + with_properties(b"\x23\0\7", b"x")))
    assert packet(PUBACK, b"\0\1") == acknowledgement(PUBACK, 1)
    return [bytes((which,)) + body for which, body in found]
