"""PUBLISH packets that wait, while their publisher is held back (backpressure.py): parked in order, first byte and body
of each, and processed when it may go on. Imports publishing, runs; a publisher is a Peer, which knows this module.
"""

from collections import deque
from itertools import islice, repeat
from struct import unpack
from typing import Any

from ...core.parser import Parser
from ..counting.ledger import MESSAGE
from .publishing import HeldBack, Publishing
from .runs import LARGE, TOGETHER, alike, known, most_of, named_to, take_all

NOTHING_PARKED: deque[tuple[int, bytes]] = deque()  # one for all: most publishers never have another


def park(peer: Any, first: int, body: bytes) -> bool:
    """It waits, behind those that do."""
    if peer.parked is NOTHING_PARKED:
        peer.parked = deque()
    peer.parked.append((first, body))
    peer.parked_bytes += len(body) + MESSAGE
    return True


def park_all(peer: Any, first: int) -> int:
    """The packet that the parser has found is parked: likewise those behind it that are of its kind and length, as far
    as there is room; how many.
    """
    parser: Parser = peer.parser
    buf = parser.buf
    begun = parser.end
    size = begun - parser.start
    cost = size + MESSAGE
    header = 2 if size < 128 else 3
    stride = header + size
    count: int = min((len(buf) - begun) // stride, (peer.parked_max - peer.parked_bytes + cost - 1) // cost, TOGETHER)
    if count < 1 or size > LARGE or buf[parser.start - header] != first:
        return 0
    last = begun + stride * count
    for at in range(begun, begun + header):
        if buf[at:last:stride] != buf[at - stride : at - stride + 1] * count:
            return 0
    peer.parked.extend(zip(repeat(first), unpack(f"{header}x{size}s" * count, buf[begun:last])))
    peer.parked_bytes += cost * count
    parser.start = last - size
    parser.end = parser._at = last
    return count


def unpark(peer: Any, router: Publishing, enough: int) -> bool:
    """Process what was parked; False when there is too much of it for this turn, or it has to wait again."""
    parked = peer.parked
    publish = peer.publishing()
    while parked and not peer.waits_for:
        if router.work > enough:
            peer.more = True
            return False
        if not peer.is_connected:
            return False
        if len(parked) > 1 and unpark_all(peer, router, enough):
            continue
        first, body = parked[0]
        try:
            publish(first, body, 0, len(body))
        except HeldBack:
            return True
        parked.popleft()
        peer.parked_bytes -= len(body) + MESSAGE
        router.work += 1
    return True


def unpark_all(peer: Any, router: Publishing, enough: int) -> int:
    """As runs.publish_all, of those that are parked first; how many are done, or 0."""
    parked: deque[tuple[int, bytes]] = peer.parked
    first, body = parked[0]
    at = named_to(first, body, 0, len(body))
    route = known(peer, router, body[2:at]) if at else None
    if route is None:
        return 0
    most = most_of(peer, router, route, first, enough)
    payloads = _alike(peer, first, at, most)
    is_even = bool(payloads)
    if not is_even:
        payloads = _of_any_length(peer, first, at, most)
    if len(payloads) < 2:
        return 0
    count = router.publish_all(peer, first >> 1 & 3, route, payloads, b"", is_even)
    if count:
        packet_id = body[at] << 8 | body[at + 1] if first & 6 else 0
        take_all(peer, first, body[:at], packet_id, payloads, count)
        size = MESSAGE * count
        for _ in range(count):
            size += len(parked.popleft()[1])
        peer.parked_bytes -= size
    return count


def _alike(peer: Any, first: int, at: int, most: int) -> list[bytes]:
    """Payloads of those that are parked first and have the same length, and a topic name that ends at `at`."""
    bodies: list[bytes] = []
    parked: deque[tuple[int, bytes]] = peer.parked
    size = len(parked[0][1])
    for other, body in islice(parked, most):
        if other != first or len(body) != size:
            break
        bodies.append(body)
    return alike(peer, first, b"".join(bodies), 0, at, size, len(bodies))


def _of_any_length(peer: Any, first: int, at: int, most: int) -> list[bytes]:
    """The same, of any length."""
    payloads: list[bytes] = []
    named = peer.parked[0][1][:at]
    packet_id = 0
    is5 = peer.is5
    start = at + (2 if first & 6 else 0) + (1 if is5 else 0)
    inbound: dict[int, int] = peer.session.inbound
    for other, body in islice(peer.parked, most):
        if other != first or start > len(body) or not body.startswith(named) or (is5 and body[start - 1]):
            break
        if first & 6:
            number = body[at] << 8 | body[at + 1]
            if not number or number in inbound or (packet_id and number != packet_id + len(payloads)):
                break
            packet_id = packet_id or number
        payloads.append(body[start:])
    return payloads


def let_go(peer: Any) -> None:
    """The client goes: what it has published before that is taken, whoever it should have waited for. What cannot be
    taken is not acknowledged, so it keeps it.
    """
    parked, peer.parked = peer.parked, NOTHING_PARKED
    peer.parked_bytes = 0
    publish = peer.publishing()
    for first, body in parked:
        if not peer.is_connected:
            return
        try:
            publish(first, body, 0, len(body))
        except HeldBack:
            return
