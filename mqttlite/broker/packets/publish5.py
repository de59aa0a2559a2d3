"""A PUBLISH of MQTT 5.0 as a broker takes it: properties, topic aliases, and a refusal that is said in the
acknowledgement. Imports limits and core; peer.py calls it.

Section and statement numbers are those of 5.0.
"""

from typing import Protocol

from ...core.codec import acknowledgement, checksum, decode_packet_id
from ...core.errors import ProtocolError
from ...core.packet_types import PUBACK, PUBCOMP, PUBREC, PUBREL
from ...core.properties import SUBSCRIPTION_IDENTIFIER, TOPIC_ALIAS, check_properties, varint, without
from ...core.reason_codes import BAD_TOPIC, NO_SUBSCRIBERS, QUOTA_EXCEEDED
from ...core.session import Session
from ..bounds.properties import excess
from ..limits import LimitError, Limits


class Receiver(Protocol):
    """A connection of a client (peer.Peer)."""

    out: list[bytes]
    session: Session
    topic_aliases: dict[int, bytes]  # topic names by topic alias
    is_connected: bool
    digest_shift: int
    limits: Limits

    def check_topic(self, topic: bytes) -> None: ...
    def is_for_nobody(self, topic: bytes) -> bool: ...
    def deliver(self, first: int, topic: bytes, payload: bytes, packet_id: int, properties: bytes) -> None: ...
    def refused(self, error: Exception, reason: int) -> None: ...
    def charge(self, size: int) -> None: ...
    def explain(self) -> None: ...
    def exceeds(self, limit: str, what: str) -> LimitError: ...


IN_CLIENTS_PUBLISH = b"\x01\x02\x03\x08\x09\x0b\x23\x26"
ALIASES_MAX = 32  # that a client may have, as CONNACK announces

_OF_PUBLISH = b"\0\x10\x80\x83\x87\x90\x91\x97\x99"
_OF_PUBREL = b"\0\x92"
_REASONS = {PUBACK: _OF_PUBLISH, PUBREC: _OF_PUBLISH, PUBREL: _OF_PUBREL, PUBCOMP: _OF_PUBREL}


def check_reason(first: int, buf: bytes, start: int, end: int) -> None:
    """ProtocolError where PUBACK, PUBREC, PUBREL or PUBCOMP has none of its reason codes
    [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1].
    """
    if end - start > 2 and buf[start + 2] not in _REASONS[first]:
        raise ProtocolError("3.4.2.1", f"reason code {buf[start + 2]} in packet type {first >> 4}")


def publish(peer: Receiver, first: int, buf: bytes, start: int, end: int) -> None:
    """As Connection._publish."""
    if end - start < 2:
        raise ProtocolError("MQTT-3.3.2-1", "PUBLISH ends before its topic name")
    at = start + 2 + (buf[start] << 8 | buf[start + 1])
    if at > end:
        raise ProtocolError("1.5.4", "topic name is longer than its packet")
    topic = buf[start + 2 : at]
    packet_id = 0
    if first & 6:
        packet_id = decode_packet_id(buf, at, end)
        at += 2
    block = b""
    if at < end and not buf[at]:
        at += 1
    else:
        found: dict[int, int | bytes] = {}
        size, _ = varint(buf, at, end)
        if peer.limits.properties_bytes < size < end - at:  # not even looked at: that would take as long as they want
            error = peer.exceeds("properties_bytes", f"properties of {size} bytes")
            peer.refused(error, QUOTA_EXCEEDED)
            if packet_id:
                peer.out.append(acknowledgement(PUBREC if first & 4 else PUBACK, packet_id, QUOTA_EXCEEDED))
                peer.explain()
            return
        peer.charge(size)
        begin, at = check_properties(buf, at, end, IN_CLIENTS_PUBLISH, found)
        block = buf[begin:at]
        if SUBSCRIPTION_IDENTIFIER in found:
            raise ProtocolError("MQTT-3.3.4-6", "PUBLISH of a client with a subscription identifier")
        alias = found.get(TOPIC_ALIAS, -1)
        if alias != -1:
            assert isinstance(alias, int)
            topic = _named(peer, alias, topic)
            block = without(block, TOPIC_ALIAS)
    if not topic:
        raise ProtocolError("3.3.2.1", "PUBLISH without topic name or topic alias")
    reason = BAD_TOPIC
    try:
        peer.check_topic(topic)
        reason = QUOTA_EXCEEDED
        limit = excess(block, peer.limits) if block else ""
        if limit:
            raise peer.exceeds(limit, f"properties of {len(block)} bytes")
        payload = buf[at:end]
        delivery = 0
        if packet_id:
            digest = checksum(topic, payload) >> peer.digest_shift if first & 4 else 0
            delivery = peer.session.received(first, packet_id, digest)
            if not delivery:
                return
        peer.deliver(first, topic, payload, delivery, block)
        if packet_id and peer.is_connected and peer.is_for_nobody(topic):
            told = acknowledgement(PUBREC if first & 4 else PUBACK, packet_id)
            if peer.out and peer.out[-1] == told:
                peer.out[-1] = acknowledgement(told[0], packet_id, NO_SUBSCRIBERS)
    except LimitError as error:
        # The connection goes on: the limit is said in the acknowledgement, and at QoS 0 in the log.
        reason = error.code or reason
        if first & 4 and packet_id in peer.session.inbound:  # it was taken, and its PUBREC got lost
            peer.session.received(first, packet_id, checksum(topic, buf[at:end]) >> peer.digest_shift)
            return
        peer.refused(error, reason)
        if packet_id and peer.is_connected:
            peer.out.append(acknowledgement(PUBREC if first & 4 else PUBACK, packet_id, reason))
            peer.explain()


def _named(peer: Receiver, alias: int, topic: bytes) -> bytes:
    """The topic name of a message with a topic alias."""
    if not 0 < alias <= ALIASES_MAX:  # [MQTT-3.3.2-8] [MQTT-3.3.2-9]
        raise ProtocolError("MQTT-3.3.2-9", f"topic alias {alias}; 1 to {ALIASES_MAX} are accepted")
    if topic:
        peer.topic_aliases[alias] = topic
        return topic
    known = peer.topic_aliases.get(alias)
    if known is None:
        raise ProtocolError("3.3.2.3.4", f"topic alias {alias} has not been set")
    return known
