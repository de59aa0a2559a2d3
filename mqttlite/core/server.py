"""The server end of one network connection: CONNECT first, keep alive, will, and the client's requests.

`ServerConnection` knows one client; what concerns others (routing, retained messages, sessions by client identifier) is
told to `events`, an object with the methods of events.ServerEvents. It knows no version of MQTT before CONNECT has been
read (versions.py), and asks `wire` (wire.ServerWire) afterwards.

Both runtimes; no I/O, no clock: `now` is in milliseconds. The owner closes the network connection when `receive` or
`tick` raises, or when `finished` is set, after it has written `out`. Rules are cited as 3.1.1 numbers them.
"""

from . import const, wire4_server
from .auth import METHOD
from .connection import Connection
from .errors import ProtocolError
from .greeting import IDENTIFIER_REJECTED, Unsupported
from .packet_types import CONNECT, DISCONNECT, PINGREQ, PINGRESP, SUBSCRIBE, UNSUBSCRIBE
from .reason_codes import BAD_METHOD, REFUSED
from .session import WINDOW
from .versions import wire_of

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .events import ServerEvents, Will
    from .greeting import Connect
    from .session import Session
    from .wire import ServerWire

CONNECT_SIZE_MAX = 8192  # largest CONNECT in bytes, with a will; before it nothing else is accepted
CONNECT_TIMEOUT_MS = 10000  # time for the whole CONNECT


class ServerConnection(Connection):
    """A server's half of one network connection, opened at `now` (ms). `size_max`: largest packet after CONNECT,
    bytes. `levels`: the protocol levels that are spoken (greeting.py); a CONNECT of another one is refused.
    """

    wire: "ServerWire"
    authenticates = False  # in more than one packet (5.0)

    def __init__(
        self, events: "ServerEvents[ServerConnection]", now: int, size_max: int, levels: bytes = b"\4"
    ) -> None:
        Connection.__init__(self, CONNECT_SIZE_MAX)
        self.events = events
        self.wire = wire4_server  # until CONNECT says which
        self.size_max = size_max
        self.levels = levels
        self.connect: "Connect | None" = None  # the CONNECT packet, once it has come
        self.will: "Will | None" = None  # published by the owner unless DISCONNECT clears it
        self.finished = False
        self.keep_alive_ms = 0  # one and a half times what the client said; 0: none
        self.opened_at = self.received_at = now

    def control(self, first: int, buf: bytes, start: int, end: int, now: int) -> None:
        """Every packet that is not part of a QoS handshake."""
        if self.finished:  # [MQTT-3.1.4-5], and nothing counts after DISCONNECT [MQTT-3.14.4-2]
            return
        wire = self.wire
        connect = self.connect
        if connect is None:
            self._connect(first, buf, start, end)
        elif first == SUBSCRIBE:
            packet_id, subscriptions, properties = wire.decode_subscribe(buf, start, end)
            more = (properties,) if properties else ()
            codes, after = self.events.on_subscribe(self, subscriptions, *more)
            self.out.append(wire.encode_suback(packet_id, codes))  # [MQTT-3.8.4-1]
            after()
        elif first == UNSUBSCRIBE:
            packet_id, topic_filters = wire.decode_unsubscribe(buf, start, end)
            codes = self.events.on_unsubscribe(self, topic_filters) or bytes(len(topic_filters))
            self.out.append(wire.encode_unsuback(packet_id, codes))  # [MQTT-3.10.4-4] [MQTT-3.10.4-5]
        elif first == PINGREQ:
            if start != end:
                raise ProtocolError("3.12", "PINGREQ with a body")
            self.out.append(bytes((PINGRESP, 0)))  # [MQTT-3.12.4-1]
        elif first == DISCONNECT:
            if not wire.decode_disconnect(buf, start, end, connect):
                self.will = None  # [MQTT-3.14.4-3]
            self.finished = True
            self.end()  # what follows in the same read goes to `control`, which ignores it
            self.events.on_disconnect(self)
        elif first == CONNECT:
            raise ProtocolError("MQTT-3.1.0-2", "second CONNECT")
        else:
            raise ProtocolError("2.1.2", "a client may not send packet type " + str(first >> 4))

    def _connect(self, first: int, buf: bytes, start: int, end: int) -> None:
        if first != CONNECT:
            raise ProtocolError("MQTT-3.1.0-1", "the first packet is not CONNECT")
        try:
            self.wire, start = wire_of(buf, start, end, self.levels)
            connect = self.wire.decode_connect(buf, start, end)
        except Unsupported as error:
            self.refuse(error.code)
            return
        self.connect = connect
        self.keep_alive_ms = connect.keep_alive_s * 1500  # [MQTT-3.1.2-24]
        self.will = connect.will  # [MQTT-3.1.2-8]
        if not connect.client_id and connect.session_expiry_s and not self.wire.has_reasons:
            self.refuse(IDENTIFIER_REJECTED)  # [MQTT-3.1.3-8]; in 5.0 the server may assign one
        elif METHOD in connect.properties and not self.authenticates:
            self.refuse(BAD_METHOD)  # of 5.0 [MQTT-4.12.0-1]
        else:
            self.events.on_connect(self, connect)

    def accept(self, session: "Session", session_present: bool, properties: bytes = b"") -> None:
        """Answer CONNECT with return code 0 [MQTT-3.1.4-4], then repeat what the session has unacknowledged.
        `properties`: a block, of what the owner announces besides its limits (5.0).
        """
        self.parser.size_max = self.size_max
        maximum = self.connect.receive_maximum if self.connect else 0
        session.window = min(WINDOW, maximum or WINDOW)  # 5.0 [MQTT-3.3.4-9]
        self.out.append(  # [MQTT-3.2.0-1]
            self.wire.encode_connack(session_present, 0, session.inbound_max, self.size_max, properties)
        )
        self.session = session
        self.is_connected = True
        session.connected(self.out, session_present)

    def refuse(self, code: int, properties: bytes = b"") -> None:
        """Answer CONNECT with a return code from 1 to 5, or a reason code and properties of 5.0, and finish
        [MQTT-3.2.2-5].
        """
        self.out.append(self.wire.encode_connack(False, code, properties=properties))
        self.will = None
        self.finished = True

    def check_topic(self, topic: bytes) -> None:
        """As its owner says."""
        self.events.check_topic(topic)

    def disconnect(self, reason: int) -> None:
        """End the connection, and say why with a reason code where the version has one (5.0: 3.14). The will stays the
        owner's to publish.
        """
        word = self.wire.encode_disconnect(reason) if self.is_connected else b""  # [MQTT-3.14.0-1] of 5.0
        if word:
            self.out.append(word)
        self.finished = True
        self.end()

    def deliver(self, first: int, topic: bytes, payload: bytes, packet_id: int, properties: bytes) -> None:
        """A message is the owner's, then it is acknowledged [MQTT-3.3.4-1]."""
        more = (properties,) if properties else ()
        try:
            reason = self.events.on_publish(self, first & 7, topic, payload, *more)
        except Exception:
            if packet_id:
                from .early_ends import not_taken

                not_taken(self.session, packet_id, 0)
            raise
        if packet_id and self.is_connected:  # else the message led to the end of this connection
            if reason and reason >= REFUSED and self.wire.has_reasons:
                from .early_ends import not_taken

                sent = len(self.out)
                not_taken(self.session, packet_id, reason)
                if len(self.out) > sent:
                    self.explain()
            else:
                self.session.handled(packet_id, self.session.generation)

    def explain(self) -> None:
        """The packet that stands last in `out` refuses a message: an owner that knows why may say it there."""

    def deadline(self) -> "int | None":
        """When `tick` has to be called at the latest; None: not before something else happens."""
        if not self.is_connected:
            return self.opened_at + CONNECT_TIMEOUT_MS
        if self.keep_alive_ms:
            return self.received_at + self.keep_alive_ms
        return None

    def tick(self, now: int) -> None:
        """ProtocolError when the client has been silent for too long [MQTT-3.1.2-24]."""
        if not self.is_connected:
            if now - self.opened_at >= CONNECT_TIMEOUT_MS:
                raise ProtocolError("3.1.4", "no CONNECT within " + str(CONNECT_TIMEOUT_MS) + " ms")
        elif self.keep_alive_ms and now - self.received_at >= self.keep_alive_ms:
            error = ProtocolError("MQTT-3.1.2-24", "silent for more than 1.5 times its keep alive")
            self.part(error)
            raise error
