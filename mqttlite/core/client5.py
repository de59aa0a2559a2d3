"""The client end in MQTT 5.0: `ClientProtocol` with properties, reason codes, and the limits that the broker announces.

What differs for the owner: `on_message` gets the message's block of properties as a sixth argument (bytes that have
been checked; codec5.user_property looks into it); codes of SUBACK are those of 5.0, from 0x80 on refusals;
`on_unsuback` gets a refusing reason code as a second argument, and the subscription stays; `on_finished` may say with
which reason code the broker, or a limit that it announced, refused a message.

Both runtimes; no I/O, no clock. Loaded only by who speaks 5.0. Statement numbers in this file are those of 5.0.
"""

from binascii import crc32

from . import const
from .client import ClientProtocol
from .codec import decode_packet_id, prefixed, publish_head, remaining_length, topic_of
from .codec5 import (
    ASSIGNED_IDENTIFIER,
    EXPIRY_NEVER,
    IN_PUBLISH,
    MAXIMUM_PACKET_SIZE,
    MAXIMUM_QOS,
    REASON_STRING,
    RECEIVE_MAXIMUM,
    RETAIN_AVAILABLE,
    SERVER_KEEP_ALIVE,
    SERVER_REFERENCE,
    SESSION_EXPIRY,
    check_properties,
    decode_acknowledgement,
    decode_answer,
    decode_connack,
    decode_disconnect,
    encode_connect,
    encode_disconnect,
    encode_subscribe,
    encode_unsubscribe,
    with_properties,
    without_expiry,
)
from .errors import ConnectError, ProtocolError, PublishError, RefusedError
from .session import ASIDE, Session

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .events import ClientEvents, ConnectFields

# As in packet_types.
_CONNACK = const(0x20)
_PUBREL = const(0x62)
_SUBACK = const(0x90)
_UNSUBACK = const(0xB0)
_DISCONNECT = const(0xE0)

# Reason codes (2.4)
_REFUSED = const(0x80)
_MALFORMED = const(0x81)
_PROTOCOL_ERROR = const(0x82)
_RECEIVE_MAXIMUM_EXCEEDED = const(0x93)
_PACKET_TOO_LARGE = const(0x95)
_NO_RETAIN = const(0x9A)
_NO_SUCH_QOS = const(0x9B)

_SIZE_MAX = const(268435460)  # bytes; no packet is larger (2.1.4)


class ClientProtocol5(ClientProtocol):
    """A client's half of MQTT 5.0. Arguments as of ClientProtocol; `clean_session` of `connect_fields` is Clean Start.

    `session_expiry_s`: how long the broker is to keep the session after a connection (0 with Clean Start, as 3.1.1).
    What the broker announced is in `client_id`, `session_expiry_s`, `qos_max`, `retain_available`, `packet_max`.
    """

    def __init__(
        self,
        owner: "ClientEvents",
        connect_fields: "ConnectFields",
        session: Session,
        size_max: int,
        timeout_ms: int,
        session_expiry_s: int = EXPIRY_NEVER,
    ) -> None:
        client_id, clean_start, keep_alive_s, username, password, will = connect_fields
        # The parent's CONNECT is never sent: it is given fields that 3.1.1 always takes.
        ClientProtocol.__init__(self, owner, (b"", True, keep_alive_s, None, None, None), session, size_max, timeout_ms)
        self.clean_session = clean_start
        self.client_id = client_id
        self._fields = (clean_start, keep_alive_s, username, password, will)
        self._expiry_s = 0 if clean_start else session_expiry_s
        self._window = session.window  # the broker may allow less
        # Announced so that a packet is too large exactly when its Remaining Length is above size_max.
        size_max += 1 + len(remaining_length(min(size_max, _SIZE_MAX - 5)))
        self._announced_size = size_max if size_max < _SIZE_MAX else 0
        self._forget_limits()
        self._encode()

    def _encode(self) -> None:
        clean_start, keep_alive_s, username, password, will = self._fields
        self.connect_packet = encode_connect(
            self.client_id,
            clean_start,
            keep_alive_s,
            username,
            password,
            will,
            self._expiry_s,
            self.state.inbound_max,
            self._announced_size,
        )

    def _forget_limits(self) -> None:
        """What holds where CONNACK does not say otherwise (3.2.2.3)."""
        self.state.window = self._window
        self.qos_max = 2
        self.retain_available = True
        self.packet_max = _SIZE_MAX
        self.keep_alive_ms = self._fields[1] * 900
        self.session_expiry_s = self._expiry_s

    # -- packets from the broker

    def receive(self, data: bytes, now: int) -> None:
        """Process the bytes that arrived next: all packets that are complete."""
        try:
            ClientProtocol.receive(self, data, now)
        except ProtocolError as error:
            if self.session:  # tell the broker why (4.13.1)
                self.out.append(encode_disconnect(_reason(error.rule)))
            raise

    def _acknowledgement(self, session: Session, first: int, buf: bytes, start: int, end: int) -> None:
        packet_id, reason = decode_acknowledgement(buf, start, end)
        if first == _PUBREL:
            session.released(packet_id)
        else:
            session.acknowledged(first, packet_id, reason)  # [MQTT-4.3.3-4] [MQTT-4.4.0-2]

    def _publish(self, session: Session, first: int, buf: bytes, start: int, end: int) -> None:
        """PUBLISH (3.3): topic name, packet identifier where QoS > 0, properties, payload."""
        if end - start < 2:
            raise ProtocolError("MQTT-3.3.2-1", "PUBLISH without topic name")
        at = start + 2 + (buf[start] << 8 | buf[start + 1])
        if at > end:
            raise ProtocolError("1.5.4", "topic name is longer than its packet")
        topic = buf[start + 2 : at]
        packet_id = 0
        if first & 6:
            packet_id = decode_packet_id(buf, at, end)
            at += 2
        begin, at = check_properties(buf, at, end, IN_PUBLISH)
        self.check_topic(topic)  # all checks before the identifier is remembered
        properties = buf[begin:at]
        payload = buf[at:end]
        if packet_id:
            digest = 0
            if first & 4:  # as in connection
                digest = crc32(payload, crc32(without_expiry(properties), crc32(buf[start:begin]))) >> self.digest_shift
            packet_id = session.received(first, packet_id, digest)
            if not packet_id:
                return
        self.owner.on_message(first, topic, payload, packet_id, session.generation, properties)

    def control(self, first: int, buf: bytes, start: int, end: int, now: int) -> None:
        """Every packet that is not part of a QoS handshake."""
        if self.session is None:
            ClientProtocol.control(self, first, buf, start, end, now)
        elif first == _SUBACK or first == _UNSUBACK:
            packet_id, codes = decode_answer(buf, start, end)
            request = first << 16 | packet_id
            filters = self._requested(request)
            if len(filters) != len(codes):
                raise ProtocolError("MQTT-3.8.4-6", "the answer does not have a reason code for each topic filter")
            for topic_filter, code in zip(filters, codes):
                if first == _UNSUBACK:
                    self._unsubscribed(topic_filter, request, code)
                elif 2 < code < _REFUSED:
                    raise ProtocolError("MQTT-3.9.3-2", "reserved reason code " + str(code) + " in SUBACK")
                else:
                    self._answered(topic_filter, request, code >= _REFUSED)
                    self.owner.on_suback(topic_filter, code)
        elif first == _DISCONNECT:
            code, found = decode_disconnect(buf, start, end)
            error = ConnectError("the broker ended the connection: " + _words(code, found))
            error.ended = code
            raise error  # [MQTT-3.14.4-1]
        else:
            ClientProtocol.control(self, first, buf, start, end, now)

    def _unsubscribed(self, topic_filter: bytes, request: int, code: int) -> None:
        if code < _REFUSED:
            self._answered(topic_filter, request, True)
            self.owner.on_unsuback(topic_filter)
        else:  # the broker will go on sending; to ask again on the next connection would be refused again
            self.subscriptions.pop(topic_filter, None)
            self.owner.on_unsuback(topic_filter, code)

    def _connack(self, buf: bytes, start: int, end: int) -> None:
        session_present, code, found = decode_connack(buf, start, end)
        if code:
            raise RefusedError(code, "connection refused: " + _words(code, found))
        if session_present and self.clean_session:
            raise ProtocolError("MQTT-3.2.2-2", "session present although a clean start was asked for")
        assigned = found.get(ASSIGNED_IDENTIFIER)
        if isinstance(assigned, bytes):
            if self.client_id:
                raise ProtocolError("MQTT-3.2.2-16", "the broker assigned a client identifier, and we have one")
            self.client_id = assigned
            self._encode()  # [MQTT-3.1.3-2]: the session goes on under this name
        self._take_limits(found)  # type: ignore[arg-type]  # what it takes are numbers
        self._refuse_what_does_not_fit()
        self._accepted(session_present)

    def _take_limits(self, found: "dict[int, int]") -> None:
        self._forget_limits()
        self.state.window = min(self._window, found.get(RECEIVE_MAXIMUM, 65535))  # [MQTT-3.3.4-7] [MQTT-4.9.0-1]
        self.qos_max = found.get(MAXIMUM_QOS, 2)
        self.retain_available = found.get(RETAIN_AVAILABLE, 1) == 1
        self.packet_max = min(_SIZE_MAX, found.get(MAXIMUM_PACKET_SIZE, _SIZE_MAX))
        self.session_expiry_s = found.get(SESSION_EXPIRY, self._expiry_s)
        if SERVER_KEEP_ALIVE in found:
            self.keep_alive_ms = found[SERVER_KEEP_ALIVE] * 900  # [MQTT-3.1.2-21] [MQTT-3.2.2-21]

    # -- the broker's limits

    def _unfit(self, head: bytes, payload: bytes) -> int:
        """The reason code with which the broker would refuse a message, or 0."""
        qos = head[0] >> 1 & 3
        if qos > self.qos_max:
            return _NO_SUCH_QOS  # [MQTT-3.2.2-11]
        if head[0] & 1 and not self.retain_available:
            return _NO_RETAIN  # [MQTT-3.2.2-14]
        if len(head) + (2 if qos else 0) + len(payload) > self.packet_max:
            return _PACKET_TOO_LARGE  # [MQTT-3.2.2-15]
        return 0

    def check_fits(self, head: bytes, payload: bytes) -> None:
        """PublishError where the broker has announced that it would not take this message."""
        code = self._unfit(head, payload) if self.session else 0
        if code:
            words = _words(code, {})
            if code == _PACKET_TOO_LARGE:
                size = len(head) + len(payload) + (2 if head[0] & 6 else 0)
                words = "packet of %d bytes; the broker takes %d" % (size, self.packet_max)
            raise PublishError(code, "message to '" + str(topic_of(head), "utf-8") + "' not accepted: " + words)

    def _refuse_what_does_not_fit(self) -> None:
        """Messages accepted before this broker's limits were known are set aside."""
        session = self.state
        for seq in sorted(session.messages):
            head, payload, _ = session.messages[seq]
            code = 0 if head[0] & 6 == 6 else self._unfit(head, payload)  # a released one is not sent again
            if code:
                session._finish(seq, ASIDE | code)

    # -- requests of the application

    def publish(self, flags: int, topic: bytes, payload: bytes, key: bytes = b"", properties: bytes = b"") -> int:
        """Accept a message; as ClientProtocol.publish. `properties`: a block (codec5.encode_user_properties).

        PublishError where the broker has announced that it would not take it.
        """
        content = with_properties(properties, payload)
        self._check(flags, topic, len(content))
        head = publish_head(flags, topic, len(content))
        if self.session is None:
            return self.state.publish(head, content, key) if flags & 6 else -2
        self.check_fits(head, content)
        if flags & 6:
            return self.state.publish(head, content, key)
        self.out += (head, content)
        return -1

    def _request(self, answer: int, topic_filters: "list[bytes]") -> None:
        """Send SUBSCRIBE or UNSUBSCRIBE, whichever is answered by `answer`."""
        size = 8 + len(b"".join([prefixed(topic_filter) for topic_filter in topic_filters])) + len(topic_filters)
        if size > self.packet_max:  # [MQTT-3.2.2-15]
            if len(topic_filters) == 1:
                raise ProtocolError("MQTT-3.2.2-15", "the topic filter is too long for the broker's largest packet")
            for topic_filter in topic_filters:
                self._request(answer, [topic_filter])
            return
        ClientProtocol._request(self, answer, topic_filters)

    def _encode_request(self, answer: int, packet_id: int, pairs: "list[tuple[bytes, int]]") -> bytes:
        if answer == _SUBACK:
            return encode_subscribe(packet_id, pairs)
        return encode_unsubscribe(packet_id, [topic_filter for topic_filter, _ in pairs])


def _reason(rule: str) -> int:
    """The reason code of DISCONNECT for a rule that the broker broke."""
    if rule == "4.3.3":
        return _RECEIVE_MAXIMUM_EXCEEDED
    return _MALFORMED if rule[:2] in ("1.", "2.") or rule[:7] == "MQTT-1." else _PROTOCOL_ERROR


def _words(code: int, found: "dict[int, int | bytes]") -> str:
    from .reasons import words  # hardly ever needed, so not loaded before

    reason = found.get(REASON_STRING, b"")
    server = found.get(SERVER_REFERENCE, b"")
    assert isinstance(reason, bytes) and isinstance(server, bytes)
    return words(code, reason, server)
