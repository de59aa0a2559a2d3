"""Packets in runs: what has come in one read, and is alike, is done in one step. A publisher in full flow sends many
messages to one topic, and its subscribers answer with many acknowledgements.

A run is what it would be one by one, or it is none: where anything about it needs a look (a limit is near, somebody is
behind, an option, a property, an identifier out of turn), nothing is done here, and each packet takes the long way.
Imports answers, publishing, queue, core; `peer` is a Peer, which knows this module.
"""

from binascii import crc32
from collections import deque
from itertools import islice
from typing import Any

from ...core.packet_types import PUBREL
from ...core.parser import Parser
from ..counting.ledger import MESSAGE
from ..packets import answers
from .publishing import Publishing
from .queue import Queue

LARGE = 16383  # bytes of a packet, whose length has more than two bytes beyond it


def acknowledge_all(peer: Any, first: int, packet_id: int) -> int:
    """The acknowledgement that the parser has found, and those behind it with the next identifiers; how many. 0: it is
    for the long way.
    """
    parser: Parser = peer.parser
    start = parser.start - 2
    count = answers.length(parser.buf, start, first, packet_id)
    if count < 2:
        return 0
    queue: Queue = peer.session
    if first == PUBREL:
        if not queue.released_all(packet_id, count):
            return 0
    elif not queue.acknowledged_all(first, packet_id, count):
        return 0
    parser.end = parser._at = start + answers.SIZE * count
    return count


def publish_all(peer: Any, router: Publishing, first: int, enough: int) -> bool:
    """The PUBLISH that the parser has found, and those behind it to the same topic. False: they are for the long way.
    `enough`: of the router's work in this turn.
    """
    parser: Parser = peer.parser
    buf = parser.buf
    start = parser.start
    end = parser.end
    header = 2 if end - start < 128 else 3
    if end - start > LARGE or buf[start - header] != first:  # a length that is longer than it need be
        return False
    at = named_to(first, buf, start, end)
    route = known(peer, router, buf[start + 2 : at]) if at else None
    if route is None:
        return False
    most = most_of(peer, router, route, first, enough)
    named = buf[start:at]
    size_max = parser.size_max
    begun = start - header
    payloads: list[bytes] = []
    ends: list[int] = []
    packet_id = 0
    is5 = peer.is5
    skipped = (2 if first & 6 else 0) + (1 if is5 else 0)
    inbound: dict[int, int] = peer.session.inbound
    while len(payloads) < most and at + skipped <= end:
        if first & 6:
            number = buf[at] << 8 | buf[at + 1]
            if not number or number in inbound or (packet_id and number != packet_id + len(payloads)):
                break
            packet_id = packet_id or number
        at += skipped
        if is5 and buf[at - 1]:  # properties
            break
        payloads.append(buf[at:end])
        ends.append(end)
        start = end + 2
        if start > len(buf) or buf[end] != first:
            break
        size = buf[end + 1]
        if size > 127:
            if start >= len(buf) or not 0 < buf[start] < 128:
                break
            size = size & 127 | buf[start] << 7
            start += 1
        end = start + size
        at = start + len(named)
        if end > len(buf) or size > size_max or not buf.startswith(named, start):
            break
    if len(payloads) < 2:
        return False
    whole = buf[begun : ends[-1]] if not first & 6 and not is5 else b""  # as it goes out, too
    count = router.publish_all(peer, first >> 1 & 3, route, payloads, whole)
    if count:
        parser.end = parser._at = ends[count - 1]
        take_all(peer, first, named, packet_id, payloads, count)
    return count > 0


def unpark_all(peer: Any, router: Publishing, enough: int) -> int:
    """The same of what is parked in `peer`; how many, or 0."""
    parked: deque[tuple[int, bytes]] = peer.parked
    first, body = parked[0]
    at = named_to(first, body, 0, len(body))
    route = known(peer, router, body[2:at]) if at else None
    if route is None:
        return 0
    named = body[:at]
    payloads: list[bytes] = []
    packet_id = 0
    is5 = peer.is5
    start = at + (2 if first & 6 else 0) + (1 if is5 else 0)
    inbound: dict[int, int] = peer.session.inbound
    for other, body in islice(parked, most_of(peer, router, route, first, enough)):
        if other != first or start > len(body) or not body.startswith(named) or (is5 and body[start - 1]):
            break
        if first & 6:
            number = body[at] << 8 | body[at + 1]
            if not number or number in inbound or (packet_id and number != packet_id + len(payloads)):
                break
            packet_id = packet_id or number
        payloads.append(body[start:])
    if len(payloads) < 2:
        return 0
    count = router.publish_all(peer, first >> 1 & 3, route, payloads, b"")
    if count:
        take_all(peer, first, named, packet_id, payloads, count)
        for _ in range(count):
            _, body = parked.popleft()
            peer.parked_bytes -= len(body) + MESSAGE
    return count


def named_to(first: int, buf: bytes, start: int, end: int) -> int:
    """Where the topic name of a PUBLISH ends; 0: it is for the long way."""
    at = start + 2 + (buf[start] << 8 | buf[start + 1]) if end - start > 2 else end + 1
    return at if at <= end and not first & 9 else 0  # DUP, RETAIN


def known(peer: Any, router: Publishing, topic: bytes) -> Any:
    """The route of a topic, where there is nothing to be asked about it but whether there is room."""
    route = router.known_route(topic)
    return route if route and route.is_plain and (peer.rights is None or topic in peer.rights) else None


def most_of(peer: Any, router: Publishing, route: Any, first: int, enough: int) -> int:
    """How many messages the turn and the session allow."""
    most: int = (enough - router.work) // route.fan
    if first & 6:
        queue: Queue = peer.session
        most = min(most, queue.inbound_max - len(queue.inbound), answers.LONGEST)
    return most


def take_all(peer: Any, first: int, named: bytes, packet_id: int, payloads: list[bytes], count: int) -> None:
    """The first `count` of them are the router's: they are acknowledged."""
    queue: Queue = peer.session
    if first & 4:
        seed = crc32(named[2:], len(named) - 2)
        shift = peer.digest_shift
        queue.take_all(first, packet_id, [crc32(payload, seed) >> shift for payload in payloads[:count]], count)
    elif first & 2:
        queue.take_all(first, packet_id, [], count)
