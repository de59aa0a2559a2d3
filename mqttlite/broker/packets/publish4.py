"""A PUBLISH of MQTT 3.1.1 that its client has no right to: 3.1.1 has no word for that, so it is acknowledged and not
delivered, or the connection is closed [MQTT-3.3.5-2]. Imports core; peer.py calls it.
"""

from typing import Protocol

from ...core.codec import checksum, decode_packet_id
from ...core.session import Session


class Receiver(Protocol):
    """A connection of a client (peer.Peer)."""

    session: Session
    is_connected: bool
    digest_shift: int


def take_denied(peer: Receiver, first: int, buf: bytes, start: int, end: int) -> None:
    """Acknowledge it as if it had been delivered, by the normal rules of its QoS."""
    if not first & 6 or not peer.is_connected:
        return
    at = start + 2 + (buf[start] << 8 | buf[start + 1])
    packet_id = decode_packet_id(buf, at, end)
    session = peer.session
    digest = checksum(buf[start + 2 : at], buf[at + 2 : end]) >> peer.digest_shift if first & 4 else 0
    delivery = session.received(first, packet_id, digest)
    if delivery:
        session.handled(delivery, session.generation)
