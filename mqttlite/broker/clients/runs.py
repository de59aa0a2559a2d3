"""Packets in runs: what has come in one read, and is alike, is done in one step. A publisher in full flow sends many
messages to one topic, and its subscribers answer with many acknowledgements.

A run is what it would be one by one, or it is none: where anything about it needs a look (a limit is near, somebody is
behind, an option, a property, an identifier out of turn), nothing is done here, and each packet takes the long way.
Imports answers, publishing, queue, core; `peer` is a Peer, which knows this module.
"""

from binascii import crc32
from struct import unpack
from typing import Any

from ...core.packet_types import PUBREL
from ...core.parser import Parser
from ..packets import answers
from ..packets.answers import count_up
from .publishing import Publishing
from .queue import Queue

TOGETHER = 32  # packets that are looked at in one step
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
    begun = start - (2 if end - start < 128 else 3)
    if end - start > LARGE or buf[begun] != first:  # a length that is longer than it need be
        return False
    at = named_to(first, buf, start, end)
    route = known(peer, router, buf[start + 2 : at]) if at else None
    if route is None:
        return False
    most = most_of(peer, router, route, first, enough)
    named = buf[start:at]
    payloads = alike(peer, first, buf, begun, at, end, most)
    stride = end - begun
    count = len(payloads)
    ends = list(range(end, end + stride * count, stride))
    if count < most:
        others(peer, first, parser, named, most, payloads, ends)
    if len(payloads) < 2:
        return False
    is_even = len(payloads) == count
    whole = b"" if first & 6 else buf[begun : ends[-1]]  # as it goes out, too
    count = router.publish_all(peer, first >> 1 & 3, route, payloads, whole, is_even)
    if count:
        parser.end = parser._at = ends[count - 1]
        packet_id = buf[at] << 8 | buf[at + 1] if first & 6 else 0
        take_all(peer, first, named, packet_id, payloads, count)
    return count > 0


def alike(peer: Any, first: int, buf: bytes, begun: int, at: int, end: int, most: int) -> list[bytes]:
    """The payloads of the PUBLISH from `begun` to `end`, whose topic name ends at `at`, and of those behind it that
    have the same length and topic name, identifiers that count up, and no properties. None where that is one alone.
    """
    stride = end - begun
    most = min(most, (len(buf) - begun) // stride)
    head = buf[begun:at]
    if most < 2 or not buf.startswith(head, end):
        return []
    skipped = (2 if first & 6 else 0) + (1 if peer.is5 else 0)
    size = end - at - skipped
    if size < 0:
        return []
    form = f"{at - begun}s{skipped}x{size}s"
    found: list[bytes] = []
    while begun < len(buf):
        count = min(most - len(found), TOGETHER)
        pieces = unpack(form * count, buf[begun : begun + stride * count])
        heads = pieces[0::2]
        if heads.count(head) < count:
            count = 0
            while heads[count] == head:
                count += 1
            found += pieces[1 : 2 * count : 2]
            break
        found += pieces[1::2]
        if len(found) == most:
            break
        begun += stride * count
    count = len(found)
    if first & 6:
        if not count_up(buf, at, stride, count):
            return []
        inbound = peer.session.inbound
        packet_id = buf[at] << 8 | buf[at + 1]
        if inbound and not inbound.keys().isdisjoint(range(packet_id, packet_id + count)):
            return []
    if peer.is5 and any(buf[at + skipped - 1 : at + stride * (count - 1) + skipped : stride]):
        return []
    return found


def others(
    peer: Any, first: int, parser: Parser, named: bytes, most: int, payloads: list[bytes], ends: list[int]
) -> None:
    """Add those behind these that are of any length; without these, the one that the parser has found, too."""
    buf = parser.buf
    size_max = parser.size_max
    is5 = peer.is5
    skipped = (2 if first & 6 else 0) + (1 if is5 else 0)
    inbound: dict[int, int] = peer.session.inbound
    end = ends[-1] if ends else parser.end
    at = parser.start + len(named)
    packet_id = buf[at] << 8 | buf[at + 1] if first & 6 and at + 2 <= len(buf) else 0
    while len(payloads) < most:
        if payloads:
            start = end + 2
            if start > len(buf) or buf[end] != first:
                return
            size = buf[end + 1]
            if size > 127:
                if start >= len(buf) or not 0 < buf[start] < 128:
                    return
                size = size & 127 | buf[start] << 7
                start += 1
            end = start + size
            at = start + len(named)
            if end > len(buf) or size > size_max or not buf.startswith(named, start):
                return
        if at + skipped > end:
            return
        if first & 6:
            number = buf[at] << 8 | buf[at + 1]
            if not number or number in inbound or number != packet_id + len(payloads):
                return
        at += skipped
        if is5 and buf[at - 1]:  # properties
            return
        payloads.append(buf[at:end])
        ends.append(end)


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
    fan: int = route.fan
    most = (enough - router.work) // fan
    if first & 6:
        queue: Queue = peer.session
        most = min(min(most, answers.LONGEST), queue.inbound_max - len(queue.inbound))
    return most


def take_all(peer: Any, first: int, named: bytes, packet_id: int, payloads: list[bytes], count: int) -> None:
    """The first `count` of them are the router's: they are acknowledged."""
    queue: Queue = peer.session
    if first & 4:
        seed = crc32(named[2:], len(named) - 2)
        shift: int = peer.digest_shift
        queue.take_all(first, packet_id, [crc32(payload, seed) >> shift for payload in payloads[:count]], count)
    elif first & 2:
        queue.take_all(first, packet_id, [], count)
