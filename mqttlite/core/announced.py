"""What a broker of MQTT 5.0 has announced in CONNACK (3.2.2.3): how much it takes. Both runtimes; no I/O.

Loaded only by who speaks 5.0. Statement numbers in this file are those of 5.0.
"""

from . import const
from .codec import body_at, packet, prefixed, topic_of
from .errors import ProtocolError, PublishError, broken
from .features import HOST, STREAM
from .properties import (
    ASSIGNED_IDENTIFIER,
    IDENTIFIERS_AVAILABLE,
    MAXIMUM_PACKET_SIZE,
    MAXIMUM_QOS,
    RECEIVE_MAXIMUM,
    RETAIN_AVAILABLE,
    SERVER_KEEP_ALIVE,
    SHARED_AVAILABLE,
    SIZE_MAX,
    TOPIC_ALIAS_MAXIMUM,
    WILDCARD_AVAILABLE,
    identifier_of,
    varint,
)
from .reason_codes import NO_IDENTIFIERS, NO_RETAIN, NO_SHARED, NO_SUCH_QOS, NO_WILDCARDS, PACKET_TOO_LARGE
from .records import is_streamed
from .session import ASIDE

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .client import ClientProtocol, Subscription


class Limits:
    """The limits of the broker that a client is connected to: largest `packet_max` in bytes, `qos_max`,
    `retain_available`.
    """

    def __init__(self, client: "ClientProtocol") -> None:
        self._client = client
        # What holds where CONNACK does not say otherwise
        self._window = client.session.window
        self._keep_alive_ms = client.keep_alive_ms
        self.qos_max = 2
        self.retain_available = True
        self.packet_max = SIZE_MAX
        if HOST:
            self.found: "dict[int, int | bytes]" = {}
            self.assigned = b""

    def take(self, found: "dict[int, int | bytes]") -> None:
        """CONNACK was accepted; `found`: values of its properties by identifier."""
        client = self._client
        assigned = found.pop(ASSIGNED_IDENTIFIER, None) if HOST else None  # a board has a name
        if HOST:
            self.found = found
            self.assigned = name = assigned if isinstance(assigned, bytes) else b""
            if client.opening:
                client.opening.accepted(found, name)
            elif 0x15 in found or 0x16 in found:
                raise ProtocolError("MQTT-4.12.0-6", "CONNACK with authentication, and we have no method")
            elif name:  # [MQTT-3.1.3-2]: the session goes on under this name
                client.connect_packet = _named(client.connect_packet, name)
        self._take_numbers(found)  # type: ignore[arg-type]
        if HOST:
            alias_max: int = found.get(TOPIC_ALIAS_MAXIMUM, 0)  # type: ignore[assignment]
            if alias_max or client.outbound:
                client.get_outbound().connected(alias_max, self.packet_max)
        # Messages accepted before this broker's limits were known are set aside.
        session = client.session
        for seq in sorted(session.messages):
            head, payload, key = session.messages[seq]
            if head[0] & 6 == 6:
                continue  # a released one is not sent again, and of an earlier life's stream nothing else is left
            more = payload.size if STREAM and is_streamed(key) else 0  # type: ignore[attr-defined]
            code = self._unfit(head, payload, more)
            if code:
                session.give_up(seq, ASIDE | code)

    def _take_numbers(self, found: "dict[int, int]") -> None:
        client = self._client
        client.session.window = min(self._window, found.get(RECEIVE_MAXIMUM, 65535))  # [MQTT-3.3.4-7] [MQTT-4.9.0-1]
        self.qos_max = found.get(MAXIMUM_QOS, 2)
        self.retain_available = found.get(RETAIN_AVAILABLE, 1) == 1
        self.packet_max = min(SIZE_MAX, found.get(MAXIMUM_PACKET_SIZE, SIZE_MAX))
        keep_alive_s = found.get(SERVER_KEEP_ALIVE, -1)  # [MQTT-3.1.2-21] [MQTT-3.2.2-21]
        client.keep_alive_ms = self._keep_alive_ms if keep_alive_s < 0 else keep_alive_s * 900

    def _unfit(self, head: bytes, payload: bytes, more: int = 0) -> int:
        """The reason code with which the broker would refuse a message, or 0. `more`: bytes of payload that follow."""
        qos = head[0] >> 1 & 3
        if qos > self.qos_max:
            return NO_SUCH_QOS  # [MQTT-3.2.2-11]
        if head[0] & 1 and not self.retain_available:
            return NO_RETAIN  # [MQTT-3.2.2-14]
        if len(head) + (2 if qos else 0) + len(payload) + more > self.packet_max:
            return PACKET_TOO_LARGE  # [MQTT-3.2.2-15]
        return 0

    def check(self, head: bytes, payload: bytes, more: int = 0) -> None:
        """PublishError where the broker has announced that it would not take this message."""
        code = self._unfit(head, payload, more)
        if code:
            from .reasons import words  # hardly ever needed, so not loaded before

            why = words(code)
            if code == PACKET_TOO_LARGE:
                size = len(head) + len(payload) + more + (2 if head[0] & 6 else 0)
                why = "packet of %d bytes; the broker takes %d" % (size, self.packet_max)
            raise PublishError(code, "message to '" + str(topic_of(head), "utf-8") + "' not accepted: " + why)

    def unfit_filter(self, topic_filter: bytes, properties: bytes) -> int:
        """The reason code with which the broker would refuse a subscription or even end the connection, or 0."""
        found = self.found
        if found.get(SHARED_AVAILABLE) == 0 and topic_filter[:7] == b"$share/":
            return NO_SHARED
        if found.get(WILDCARD_AVAILABLE) == 0 and (b"#" in topic_filter or b"+" in topic_filter):
            return NO_WILDCARDS
        if found.get(IDENTIFIERS_AVAILABLE) == 0 and identifier_of(properties):
            return NO_IDENTIFIERS
        return 0

    def takes(self, topic_filters: "list[bytes]", wanted: "dict[bytes, Subscription]") -> bool:
        """Whether a SUBSCRIBE or UNSUBSCRIBE of these can be one packet: properties go with one filter alone, and it is
        not too large. ProtocolError when that of a single one is.
        """
        size = 11 + len(b"".join([prefixed(topic_filter) for topic_filter in topic_filters])) + len(topic_filters)
        if HOST:
            blocks = b"".join([wanted[topic_filter].properties for topic_filter in topic_filters])
            size += len(blocks)
            if blocks and len(topic_filters) > 1:
                return False
        if size <= self.packet_max:
            return True
        if len(topic_filters) == 1:
            raise broken("MQTT-3.2.2-15")
        return False


def _named(connect: bytes, assigned: bytes) -> bytes:
    """A CONNECT packet without client identifier, with the one that the broker has assigned."""
    body = connect[body_at(connect) :]
    size, at = varint(body, 10, len(body))  # of its properties
    at += size
    if body[at] or body[at + 1]:
        raise ProtocolError("MQTT-3.2.2-16", "the broker assigned a client identifier, and we have one")
    return packet(connect[0], body[:at], prefixed(assigned), body[at + 2 :])
