"""A SUBSCRIBE or UNSUBSCRIBE of any length, a piece at a time. Imports core; peer.py calls it."""

from collections.abc import Iterator

from ...core.codec import decode_packet_id, remaining_length
from ...core.errors import ProtocolError
from ...core.packet_types import SUBSCRIBE
from ...core.properties import varint
from ...core.reason_codes import REFUSED
from ...core.server import ServerConnection

PIECE = 64  # topic filters in a piece


def in_pieces(peer: ServerConnection, first: int, body: bytes) -> Iterator[None]:
    """As `ServerConnection.control`, with a pause after each piece. A mistake in one ends the connection, as it should;
    the pieces before it have been done.
    """
    number = decode_packet_id(body, 0, len(body))
    at = 2
    if peer.wire.has_reasons:  # its properties hold for each piece
        size, at = varint(body, at, len(body))
        at += size
        if at > len(body):
            raise ProtocolError("2.2.2.1", "properties are longer than their packet")
    packet_id = body[:at]
    rest = 3 if first == SUBSCRIBE else 2  # bytes of a topic filter's entry beside the filter
    codes = b""
    while at < len(body) or not codes:
        stop = at
        for _ in range(PIECE):
            if stop + 2 > len(body):
                break
            stop += rest + (body[stop] << 8 | body[stop + 1])
        piece = packet_id + body[at:stop] if stop + 2 <= len(body) else packet_id + body[at:]
        at += len(piece) - len(packet_id)
        if first == SUBSCRIBE:
            _, subscriptions, block = peer.wire.decode_subscribe(piece, 0, len(piece))
            more, _ = peer.events.on_subscribe(peer, subscriptions, block)
            codes += more
        else:
            topic_filters = peer.wire.decode_unsubscribe(piece, 0, len(piece))[1]
            codes += peer.events.on_unsubscribe(peer, topic_filters) or bytes(len(topic_filters))
        check_answer(peer, len(codes))  # of all pieces
        yield
    encode = peer.wire.encode_suback if first == SUBSCRIBE else peer.wire.encode_unsuback
    peer.out.append(encode(number, codes))
    if first == SUBSCRIBE and max(codes) >= REFUSED:
        peer.explain()


def check_answer(peer: ServerConnection, count: int) -> None:
    """ProtocolError where SUBACK or UNSUBACK with `count` reason codes is larger than its client takes: it would never
    have its answer [MQTT-3.1.2-24] of 5.0.
    """
    connect = peer.connect
    if connect and 0 < connect.packet_max < 1 + len(remaining_length(count + 3)) + 3 + count:
        raise ProtocolError("3.9.3", f"the answer to {count} topic filters is larger than its client takes")
