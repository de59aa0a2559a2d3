"""The client end of one network connection after another: CONNECT, keep alive, subscriptions, will.

`ClientProtocol` outlives connections: it keeps the session and the wanted subscriptions and brings both back. What
happens is told to `events`, an object with the methods of events.ClientEvents. It knows no version of MQTT: what
differs is asked of `wire` (wire.ClientWire).

Both runtimes; no I/O, no clock: `now` is in milliseconds. Rules are cited as 3.1.1 numbers them.
"""

from . import const, wire4
from .codec import publish_head
from .connection import Connection
from .errors import ConnectError, broken
from .features import HOST, STREAM, V5
from .packet_types import CONNACK, GONE_BY, PINGREQ, PINGRESP, SUBACK, UNSUBACK
from .reason_codes import REFUSED
from .records import SUBSCRIBED, UNSUBSCRIBED
from .text import check_plain, check_topic_name

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Callable

    from .announced import Limits
    from .events import ClientEvents, ClientOpening, ConnectFields, Streams
    from .outbound5 import Outbound
    from .oversize import Oversized
    from .session import Session
    from .wire import ClientWire

UNASKED = const(-1)
SUBSCRIBE_MAX = const(8)  # topic filters in one SUBSCRIBE: what a careful broker accepts


class Subscription:
    """A topic filter that is wanted, or that is to be ended. `qos`: what is asked for (5.0: the subscription's options,
    of which QoS is the lowest two bits); -1: its end. `request`: what the broker has yet to answer: first byte of the
    answer << 16 | packet identifier, or UNASKED; 0: nothing, and `code` is its last answer. `properties`: a block that
    goes with the request (5.0).
    """

    code = 0
    properties = b""
    packet = b""  # the body of SUBACK or UNSUBACK that has refused it, with the reason in words (5.0)

    def __init__(self, qos: int, request: int) -> None:
        self.qos = qos
        self.request = request


class ClientProtocol(Connection):
    """A client's half of MQTT. Text arguments are UTF-8, already checked; times in ms.

    `connect_fields`: client identifier, clean session (5.0: clean start), keep alive (s), user name, password, will.
    `timeout_ms`: how long CONNACK and PINGRESP may take. `wire`: the version, wire4 or wire5.

    `stream_max`: largest Remaining Length of what is taken as it arrives (`streams`); 0: any.

    `is_connected`: whether CONNACK has been accepted, and the connection is neither ended nor closed since.
    """

    wire: "ClientWire"
    # Of 5.0:
    limits: "Limits | None" = None  # what the broker has announced (announced.py)
    opening: "ClientOpening | None" = None  # what CONNECT says besides its fields (opening5.py)
    goodbye = b""  # DISCONNECT, where it says more than that all is in order
    outbound: "Outbound | None" = None  # how messages leave, where it is not as they are kept (outbound5.py)
    wall_ms: "Callable[[], int] | None" = None  # ms since 1970; its owner's
    streams: "Streams | None" = None  # who takes what is larger than `size_max` as it arrives (flowing.take_by)
    make_large: "Callable[[int, int], Oversized] | None" = None  # as of Parser
    left_streams = 0  # messages that nobody took, and that the broker keeps (flowing.py)
    reused = 0  # an identifier that stands for a message, and whose next PUBLISH is another one (flowing.py)

    def __init__(
        self,
        events: "ClientEvents",
        connect_fields: "ConnectFields",
        session: "Session",
        size_max: int,
        timeout_ms: int,
        wire: "ClientWire" = wire4,
        stream_max: int = 0,
    ) -> None:
        Connection.__init__(self, size_max)
        self.events = events
        self.session = session  # kept from one connection to the next
        self.wire = wire
        session.on_finished = events.on_finished
        self.stream_max = stream_max
        self.connect_packet = wire.encode_connect(
            *connect_fields,
            receive_maximum=session.inbound_max,
            size_max=self.announced_max(size_max) if STREAM else size_max,
        )
        self.clean_session = connect_fields[1]
        if STREAM and stream_max and not self.clean_session:
            from .flowing import take_by

            take_by(self, None)  # what the broker has kept comes before anybody has said who takes it
        self.keep_alive_ms = connect_fields[2] * 900  # a tenth early, so that the broker sees it in time
        self.timeout_ms = timeout_ms
        self.sent_at = 0  # ms; when `out` was written last
        self.waiting_since: "int | None" = None  # for CONNACK or PINGRESP
        self._topic: "bytes | None" = None  # of the message published last: often that of the next one, too
        self.connected_at = 0  # ms; when CONNACK came last
        self.finished = False  # DISCONNECT is in `out` or sent
        self.subscriptions: "dict[bytes, Subscription]" = {}  # by topic filter
        self.requests: "dict[int, list[bytes]]" = {}  # of this connection: topic filters, as Subscription.request

    def connect(self, now: int) -> None:
        """A network connection was opened: CONNECT is the first packet on it [MQTT-3.1.0-1]."""
        self.parser = type(self.parser)(self.parser.size_max)
        self.parser.skips = True
        if STREAM:
            self.parser.make_large = self.make_large
        if HOST and self.opening:
            self.connect_packet = self.opening.packet()
        if HOST and self.aliases:
            self.aliases.clear()
        self.out.append(self.connect_packet)
        self.finished = False
        self.waiting_since = self.received_at = self.sent_at = now

    def announced_max(self, size_max: int) -> int:
        """The largest packet that is taken, `size_max` being that of one that is held whole."""
        return max(size_max, self.stream_max)

    def closed(self) -> None:
        """The network connection is gone; open requests are made again on the next one."""
        self.waiting_since = None
        self.requests.clear()
        Connection.closed(self)

    def control(self, first: int, buf: bytes, start: int, end: int, now: int) -> None:
        """Every packet that is not part of a QoS handshake."""
        if self.finished:  # the broker has not seen our DISCONNECT yet; nothing may answer it [MQTT-3.14.4-2]
            return
        if HOST and first == GONE_BY and self.opening and self.parser.large is None:
            self.opening.take(buf, start, end)
        elif not self.is_connected:
            if first != CONNACK:
                raise broken("MQTT-3.2.0-1")
            self._connack(buf, start, end)
            self.connected_at = now
        elif first == SUBACK:
            packet_id, codes = self.wire.decode_suback(buf, start, end)
            self._answers(SUBACK << 16 | packet_id, codes)
        elif first == UNSUBACK:
            packet_id, refusals = self.wire.decode_unsuback(buf, start, end)
            self._answers(UNSUBACK << 16 | packet_id, refusals)
        elif first == PINGRESP:
            if start != end:
                raise broken("3.13")
            self.waiting_since = None
        elif first == GONE_BY:
            from .oversize import gone_by

            gone_by(self)
        else:
            raise self.wire.unexpected(first, buf, start, end)

    def _answers(self, request: int, codes: "bytes | None") -> None:
        """SUBACK or UNSUBACK. `codes`: one for each topic filter; None: all have ended (3.1.1)."""
        filters = self.requests.pop(request, None)
        if filters is None:
            raise broken("MQTT-2.3.1-7", request & 0xFFFF)
        if codes is None:
            codes = bytes(len(filters))
        if len(filters) != len(codes):
            raise broken("MQTT-3.8.4-5")
        for topic_filter, code in zip(filters, codes):
            wanted = self.subscriptions.get(topic_filter)
            # Only the answer to the last request counts: one made after it may be lost with the connection.
            if wanted and wanted.request == request:
                wanted.request = 0
                wanted.code = code
                if HOST and code >= REFUSED and self.wire.with_properties:
                    wanted.packet = self.parser.buf[self.parser.start : self.parser.end]
                self._answered(topic_filter, wanted)
            if request >> 16 == SUBACK:
                self.events.on_suback(topic_filter, code)
            else:
                self.events.on_unsuback(topic_filter, code if code >= REFUSED else 0)

    def _answered(self, topic_filter: bytes, wanted: Subscription) -> None:
        store = self.session.store
        if wanted.qos >= 0 and wanted.code < REFUSED:
            if store:
                store.record(SUBSCRIBED, wanted.qos, topic_filter)
            return
        # An end that is refused: the broker will go on sending; to ask again on the next connection is no use.
        del self.subscriptions[topic_filter]
        if store and (wanted.qos >= 0 or wanted.code < REFUSED):
            store.record(UNSUBSCRIBED, 0, topic_filter)

    def _connack(self, buf: bytes, start: int, end: int) -> None:
        session_present, code, announced = self.wire.decode_connack(buf, start, end)
        if code:
            if HOST:
                from .telling import refused

                raise refused(self.wire, code, announced)
            from .rare_errors import RefusedError  # hardly ever needed, so not loaded before

            raise RefusedError(code, "connection refused: " + self.wire.refusal(code, announced))
        if session_present and self.clean_session:
            raise broken("MQTT-3.2.2-1")
        if V5 and announced is not None:
            if self.limits is None:
                from .announced import Limits

                self.limits = Limits(self)
            self.limits.take(announced)
        self.waiting_since = None
        self.is_connected = True
        self.session.connected(self.out, session_present)  # repeats first, then anything new
        self._subscribe_again(session_present)
        self.events.on_connected(session_present)

    def _subscribe_again(self, session_present: bool) -> None:
        """Ask for every subscription that the broker does not have, and for the end of those that it should not
        have.
        """
        missing = []
        if HOST and self.limits:
            from .telling import refuse_unfit

            refuse_unfit(self)
        for topic_filter, wanted in self.subscriptions.items():
            if wanted.qos < 0:
                self._request(UNSUBACK, [topic_filter])
            elif not session_present or wanted.request:
                missing.append(topic_filter)
        while missing:
            self._request(SUBACK, missing[:SUBSCRIBE_MAX])
            missing = missing[SUBSCRIBE_MAX:]

    def _request(self, answer: int, topic_filters: "list[bytes]") -> None:
        """Send SUBSCRIBE or UNSUBSCRIBE, whichever is answered by `answer`."""
        if V5 and self.limits and not self.limits.takes(topic_filters, self.subscriptions):
            for topic_filter in topic_filters:
                self._request(answer, [topic_filter])
            return
        packet_id = self.session.packet_id()
        request = answer << 16 | packet_id
        self.requests[request] = topic_filters
        pairs = []
        for topic_filter in topic_filters:
            wanted = self.subscriptions[topic_filter]
            wanted.request = request
            pairs.append((topic_filter, wanted.qos))
        if answer == SUBACK:
            self.out.append(self.wire.encode_subscribe(packet_id, pairs, wanted.properties if HOST else b""))
        else:
            self.out.append(self.wire.encode_unsubscribe(packet_id, topic_filters, wanted.properties if HOST else b""))

    def check_topic(self, topic: bytes) -> None:
        """Refuse a topic name that may not stand in PUBLISH."""
        check_topic_name(topic)

    def deliver(self, first: int, topic: bytes, payload: bytes, packet_id: int, properties: bytes) -> None:
        """Tell of a message; who is told acknowledges it when it has been handled."""
        self.events.on_message(first, topic, payload, packet_id, self.session.generation, properties)

    def get_outbound(self) -> "Outbound":
        """How messages leave (5.0): from now on by more than what is kept."""
        if self.outbound is None:
            from .outbound5 import Outbound

            self.outbound = self.session.form = Outbound(self.session, self.wall_ms)
        return self.outbound

    # -- requests of the application

    def _check(self, flags: int, topic: bytes, size: int) -> None:
        """Refuse what can be known to be refused. `size`: of what follows the topic name and packet identifier."""
        if topic != self._topic:
            check_topic_name(topic)
            check_plain(topic)
            self._topic = topic
        if size + len(topic) + 4 > self.parser.size_max:
            from .oversize import check_size

            check_size(self.parser.size_max, topic, size + len(topic) + (4 if flags & 6 else 2))

    def head(self, flags: int, topic: bytes, size: int) -> bytes:
        """The start of a PUBLISH packet (codec.publish_head). `size`: of the payload."""
        return publish_head(flags, topic, size)

    def publish(self, flags: int, topic: bytes, payload: bytes, key: bytes = b"", properties: bytes = b"") -> int:
        """Accept a message (`flags`: QoS << 1 | RETAIN; `key` as in records; `properties`: a block, 5.0); its sequence
        number, or -1 at QoS 0 (-2: QoS 0 and not connected). ProtocolError for a topic that is none or has control
        characters, PublishError for what is larger than `size_max`, or than a broker of 5.0 has said that it takes.
        """
        if V5 and self.wire.with_properties:
            payload = self.wire.with_properties(properties, payload)
        self._check(flags, topic, len(payload))
        head = self.head(flags, topic, len(payload)) if HOST else publish_head(flags, topic, len(payload))
        if V5 and self.limits and self.is_connected:
            self.limits.check(head, payload)
        if flags & 6:
            return self.session.publish(head, payload, key)
        if not self.is_connected:
            return -2
        self.out += self.outbound.aliased(head, payload) if HOST and self.outbound else (head, payload)
        return -1

    def subscribe(self, topic_filter: bytes, qos: int, properties: bytes = b"") -> Subscription:
        """Want a subscription, now and after every reconnection, or with QoS -1 its end. The topic filter has been
        checked. In what this returns the answer will be. `properties`: a block that goes with the request (5.0).
        """
        wanted = self.subscriptions[topic_filter] = Subscription(qos, UNASKED)
        if HOST and properties:
            wanted.properties = properties
        if self.is_connected:
            self._request(UNSUBACK if qos < 0 else SUBACK, [topic_filter])
        return wanted

    def disconnect(self) -> None:
        """Orderly end [MQTT-3.14.4-1]: nothing is sent after it, and what still arrives is left to be repeated."""
        self.out.append(self.goodbye if HOST and self.goodbye else self.wire.encode_disconnect())
        self.finished = True
        self.waiting_since = None
        self.end()

    # -- time

    def deadline(self) -> "int | None":
        """When `tick` has to be called at the latest; None: not before something else happens."""
        if self.waiting_since is not None:
            # What arrives before PINGRESP is a sign of life, too: on a slow line there may be a lot of it.
            return max(self.waiting_since, self.received_at) + self.timeout_ms
        if self.is_connected and self.keep_alive_ms:
            # Silence in one of the two directions: a broker that takes and never answers is gone, too.
            return min(self.sent_at, self.received_at) + self.keep_alive_ms
        return None

    def tick(self, now: int) -> None:
        """Send PINGREQ when it is time [MQTT-3.1.2-23]; ConnectError when the broker has not answered in time."""
        due = self.deadline()
        if due is None:
            return
        if now < due:
            # PINGRESP may be long in coming, behind what is not read; something has to leave all the same.
            if self.is_connected and not self.out and self.waiting_since is not None:
                half = 2 * (now - self.sent_at) >= self.keep_alive_ms > 0
                self.out += [bytes((PINGREQ, 0))] * half
            return
        if self.waiting_since is not None:
            what = "PINGREQ" if self.is_connected else "CONNECT"
            raise ConnectError("no answer to " + what + " within " + str(self.timeout_ms) + " ms")
        self.ping(now)

    def ping(self, now: int) -> None:
        """Ask the broker for a sign of life; `waiting_since` is None when it has come [MQTT-3.12.4-1]."""
        self.out.append(bytes((PINGREQ, 0)))
        self.waiting_since = now
