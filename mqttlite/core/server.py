"""The server end of one network connection (MQTT 3.1.1): CONNECT first, keep alive, will, and the client's requests.

`ServerConnection` knows one client; what concerns others (routing, retained messages, sessions by client identifier)
is the `owner`'s, an object with the methods of `events.ServerEvents`.

Both runtimes; no I/O, no clock: `now` is in milliseconds. The owner closes the network connection when `receive` or
`tick` raises, or when `finished` is set, after it has written `out`.
"""

from . import const
from .codec import acknowledgement
from .codec_server import (
    BAD_PROTOCOL_LEVEL,
    IDENTIFIER_REJECTED,
    UnsupportedLevel,
    decode_connect,
    decode_subscribe,
    decode_unsubscribe,
    encode_connack,
    encode_suback,
)
from .connection import Connection
from .errors import ProtocolError
from .packet_types import CONNECT, DISCONNECT, PINGREQ, PINGRESP, SUBSCRIBE, UNSUBACK, UNSUBSCRIBE

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .codec_server import Connect
    from .events import ServerEvents
    from .session import Session

CONNECT_SIZE_MAX = 8192  # largest CONNECT in bytes, with a will; before it nothing else is accepted
CONNECT_TIMEOUT_MS = 10000  # time for the whole CONNECT


class ServerConnection(Connection):
    """A server's half of one network connection, opened at `now` (ms). `size_max`: largest packet after CONNECT,
    bytes.
    """

    def __init__(self, owner: "ServerEvents", now: int, size_max: int) -> None:
        Connection.__init__(self, CONNECT_SIZE_MAX)
        self.owner = owner
        self.size_max = size_max
        self.connect: "Connect | None" = None  # the CONNECT packet, once it has come
        self.will: "tuple[bytes, bytes, int, bool] | None" = (
            None  # topic name, payload, QoS, retain: published by the owner unless DISCONNECT clears it
        )
        self.finished = False
        self.keep_alive_ms = 0  # one and a half times what the client said; 0: none
        self.opened_at = self.received_at = now

    def control(self, first: int, buf: bytes, start: int, end: int, now: int) -> None:
        """Every packet that is not part of a QoS handshake."""
        if self.finished:  # [MQTT-3.1.4-5], and nothing counts after DISCONNECT [MQTT-3.14.4-2]
            return
        if self.connect is None:
            self._connect(first, buf, start, end)
        elif first == SUBSCRIBE:
            packet_id, subscriptions = decode_subscribe(buf, start, end)
            codes, after = self.owner.on_subscribe(self, subscriptions)
            self.out.append(encode_suback(packet_id, codes))  # [MQTT-3.8.4-1]
            after()
        elif first == UNSUBSCRIBE:
            packet_id, topic_filters = decode_unsubscribe(buf, start, end)
            self.owner.on_unsubscribe(self, topic_filters)
            self.out.append(acknowledgement(UNSUBACK, packet_id))  # [MQTT-3.10.4-4] [MQTT-3.10.4-5]
        elif first == PINGREQ:
            if start != end:
                raise ProtocolError("3.12", "PINGREQ with a body")
            self.out.append(bytes((PINGRESP, 0)))  # [MQTT-3.12.4-1]
        elif first == DISCONNECT:
            if start != end:
                raise ProtocolError("3.14", "DISCONNECT with a body")
            self.will = None  # [MQTT-3.14.4-3]
            self.finished = True
            if self.session:
                self.session.disconnected()
            self.session = None  # what follows in the same read goes to `control`, which ignores it
            self.owner.on_disconnect(self)
        elif first == CONNECT:
            raise ProtocolError("MQTT-3.1.0-2", "second CONNECT")
        else:
            raise ProtocolError("4.8", "a client may not send packet type " + str(first >> 4))

    def _connect(self, first: int, buf: bytes, start: int, end: int) -> None:
        if first != CONNECT:
            raise ProtocolError("MQTT-3.1.0-1", "the first packet is not CONNECT")
        try:
            connect = decode_connect(buf, start, end)
        except UnsupportedLevel:
            self.refuse(BAD_PROTOCOL_LEVEL)
            return
        self.connect = connect
        self.keep_alive_ms = connect.keep_alive_s * 1500  # [MQTT-3.1.2-24]
        self.will = connect.will  # [MQTT-3.1.2-8]
        if not connect.client_id and not connect.clean_session:
            self.refuse(IDENTIFIER_REJECTED)  # [MQTT-3.1.3-8]
        else:
            self.owner.on_connect(self, connect)

    def accept(self, session: "Session", session_present: bool) -> None:
        """Answer CONNECT with return code 0 [MQTT-3.1.4-4], then repeat what the session has unacknowledged."""
        self.parser.size_max = self.size_max
        self.out.append(encode_connack(session_present, 0))  # [MQTT-3.2.0-1]
        self.session = session
        session.connected(self.out, session_present)

    def refuse(self, code: int) -> None:
        """Answer CONNECT with a return code from 1 to 5, and finish [MQTT-3.2.2-5]."""
        self.out.append(encode_connack(False, code))
        self.will = None
        self.finished = True

    def check_topic(self, topic: bytes) -> None:
        """As its owner says."""
        self.owner.check_topic(topic)

    def deliver(self, first: int, topic: bytes, payload: bytes, packet_id: int) -> None:
        """A message is the owner's, then it is acknowledged [MQTT-3.3.4-1]."""
        session = self.session
        try:
            self.owner.on_publish(self, first & 7, topic, payload)
        except Exception:  # not taken: its repeat has to be delivered, not recognised
            if session:
                session.inbound.pop(packet_id & 0xFFFF, None)
            raise
        session = self.session  # None when the message led to the end of this connection
        if packet_id and session:
            session.handled(packet_id, session.generation)

    def deadline(self) -> "int | None":
        """When `tick` has to be called at the latest; None: not before something else happens."""
        if self.session is None:
            return self.opened_at + CONNECT_TIMEOUT_MS
        if self.keep_alive_ms:
            return self.received_at + self.keep_alive_ms
        return None

    def tick(self, now: int) -> None:
        """ProtocolError when the client has been silent for too long [MQTT-3.1.2-24]."""
        if self.session is None:
            if now - self.opened_at >= CONNECT_TIMEOUT_MS:
                raise ProtocolError("3.1.4", "no CONNECT within " + str(CONNECT_TIMEOUT_MS) + " ms")
        elif self.keep_alive_ms and now - self.received_at >= self.keep_alive_ms:
            raise ProtocolError("MQTT-3.1.2-24", "silent for more than 1.5 times its keep alive")
