"""Packets in runs: what has come in one read, and is alike, is done in one step. A publisher in full flow sends many
messages to one topic, and its subscribers answer with many acknowledgements.

A run is what it would be one by one, or it is none: where anything about it needs a look (a limit is near, somebody is
behind, an option, a property, an identifier out of turn), nothing is done here, and each packet takes the long way.
Imports answers, publishing, queue, core; `peer` is a Peer, which knows this module.
"""

from binascii import crc32
from typing import Any

from ..core.packet_types import PUBREL
from ..core.parser import Parser
from . import answers
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
    at = start + 2 + (buf[start] << 8 | buf[start + 1]) if end - start > 2 else end + 1
    header = 2 if end - start < 128 else 3
    if at > end or first & 9 or end - start > LARGE or buf[start - header] != first:  # RETAIN, DUP; a length too long
        return False
    topic = buf[start + 2 : at]
    route = router.known_route(topic)
    if route is None or route.asks or (peer.rights is not None and topic not in peer.rights):
        return False
    qos = first >> 1 & 3
    queue: Queue = peer.session
    inbound = queue.inbound
    most = (enough - router.work) // route.fan
    if qos:
        most = min(most, queue.inbound_max - len(inbound), answers.LONGEST)
    named = buf[start:at]
    size_max = parser.size_max
    skipped = (2 if qos else 0) + (1 if peer.is5 else 0)
    payloads: list[bytes] = []
    packet_id = 0
    begun = start - header
    done = end
    while len(payloads) < most and at + skipped <= end:
        if qos:
            number = buf[at] << 8 | buf[at + 1]
            if not number or number in inbound or (packet_id and number != packet_id + len(payloads)):
                break
            packet_id = packet_id or number
        at += skipped
        if peer.is5 and buf[at - 1]:  # properties
            break
        payloads.append(buf[at:end])
        done = end
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
    count = len(payloads)
    if count < 2:
        return False
    whole = buf[begun:done] if not qos and not peer.is5 else b""  # as it goes out, too
    if not router.publish_all(peer, qos, route, payloads, whole):
        return False
    parser.end = parser._at = done
    if qos == 1:
        queue.take_all(first, packet_id, [], count)
    elif qos:
        seed = crc32(topic, len(topic))
        shift = peer.digest_shift
        queue.take_all(first, packet_id, [crc32(payload, seed) >> shift for payload in payloads], count)
    return True
