"""A broker as small as the standard (3.1.1) lets one be, written for these tests alone: it shares no line with what it
is to check. It loses nothing, and remembers every message that it has taken.
"""

CONNECT, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 3, 4, 5, 6, 7
SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT = 8, 10, 12, 14
RETRIES_AT_ONCE = 20


class Session:
    """What is kept of a client while it is away."""

    def __init__(self):
        self.filters = {}
        self.queue = []  # messages to it: [identifier or 0, topic, payload, QoS, state]
        self.held = set()  # identifiers of QoS 2 that it has sent and not released
        self.last = 0


class Connection:
    """One connection; `send` takes bytes, `close` ends it."""

    def __init__(self, broker, send, close):
        self.broker = broker
        self.send = send
        self.close = close
        self.session = None
        self.name = ""
        self.will = None
        self._bytes = b""

    def feed(self, data):
        self._bytes += data
        while True:
            size, shift, at = 0, 0, 1
            while True:
                if at >= len(self._bytes):
                    return
                size |= (self._bytes[at] & 127) << shift
                at += 1
                if self._bytes[at - 1] < 128:
                    break
                shift += 7
            if len(self._bytes) < at + size:
                return
            head, body = self._bytes[0], self._bytes[at : at + size]
            self._bytes = self._bytes[at + size :]
            self.broker.packet(self, head >> 4, head & 15, body)

    def lost(self):
        """It has ended without DISCONNECT."""
        if self.broker.by_name.get(self.name) is self:
            del self.broker.by_name[self.name]
            if self.will:
                self.broker.take(*self.will)


def text(body, at):
    size = body[at] << 8 | body[at + 1]
    return body[at + 2 : at + 2 + size], at + 2 + size


def packet(head, body):
    size, rest = b"", len(body)
    while True:
        digit = rest & 127
        rest >>= 7
        size += bytes([digit | (128 if rest else 0)])
        if not rest:
            return bytes([head]) + size + body


class Broker:
    """`received`: every message that was taken, (topic, payload, QoS), in that order. `accepts(name, user, password)`
    decides who may connect; `on_message(topic, payload)` is told of each message.
    """

    def __init__(self):
        self.received = []
        self.sessions = {}
        self.by_name = {}
        self.accepts = lambda name, user, password: True
        self.on_message = lambda topic, payload: None
        self.connects = 0
        self.refused = 0

    def publish(self, topic, payload, qos=2):
        """A message from somewhere else: to whoever has subscribed."""
        for name, session in self.sessions.items():
            if topic in session.filters:
                session.queue.append([0, topic, payload, min(qos, session.filters[topic]), "new"])
                if name in self.by_name:
                    self.pump(self.by_name[name])

    def pump(self, connection):
        session = connection.session
        for message in session.queue[:RETRIES_AT_ONCE]:
            if message[4] == "new":
                session.last = session.last % 65535 + 1
                message[0] = session.last
                message[4] = "sent"
                self._send_publish(connection, message, 0)

    def _send_publish(self, connection, message, dup):
        identifier, topic, payload, qos, _ = message
        body = len(topic).to_bytes(2, "big") + topic.encode() + identifier.to_bytes(2, "big") + payload
        connection.send(packet(0x30 | dup << 3 | qos << 1, body))

    def take(self, topic, payload, qos):
        self.received.append((topic, payload, qos))
        self.on_message(topic, payload)

    def packet(self, connection, kind, flags, body):
        if kind == CONNECT:
            self._connect(connection, body)
            return
        session = connection.session
        if session is None:
            connection.close()
        elif kind == PUBLISH:
            self._publish(connection, flags, body)
        elif kind in (PUBACK, PUBREC, PUBCOMP):
            self._answered(connection, kind, body[0] << 8 | body[1])
        elif kind == PUBREL:
            session.held.discard(body[0] << 8 | body[1])
            connection.send(packet(0x70, body[:2]))
        elif kind == SUBSCRIBE:
            at, granted = 2, b""
            while at < len(body):
                name, at = text(body, at)
                session.filters[name.decode()] = body[at]
                granted += bytes([body[at]])
                at += 1
            connection.send(packet(0x90, body[:2] + granted))
        elif kind == UNSUBSCRIBE:
            at = 2
            while at < len(body):
                name, at = text(body, at)
                session.filters.pop(name.decode(), None)
            connection.send(packet(0xB0, body[:2]))
        elif kind == PINGREQ:
            connection.send(b"\xd0\0")
        elif kind == DISCONNECT:
            connection.will = None
            connection.lost()
            connection.close()

    def _connect(self, connection, body):
        self.connects += 1
        assert body[:7] == b"\0\4MQTT\4", body
        flags = body[7]
        name, at = text(body, 10)
        will = user = password = None
        if flags & 4:
            topic, at = text(body, at)
            payload, at = text(body, at)
            will = topic.decode(), payload, flags >> 3 & 3
        if flags & 0x80:
            user, at = text(body, at)
        if flags & 0x40:
            password, at = text(body, at)
        name = name.decode()
        if not self.accepts(name, user, password):
            self.refused += 1
            connection.send(b"\x20\2\0\5")
            connection.close()
            return
        old = self.by_name.get(name)
        if old:
            old.lost()
            old.close()
        if flags & 2:
            self.sessions.pop(name, None)
        present = name in self.sessions
        session = self.sessions.setdefault(name, Session())
        connection.name, connection.session, connection.will = name, session, will
        self.by_name[name] = connection
        connection.send(bytes([0x20, 2, present, 0]))
        for message in session.queue:
            if message[4] == "sent":
                self._send_publish(connection, message, 1)
            elif message[4] == "released":
                connection.send(packet(0x62, message[0].to_bytes(2, "big")))
        self.pump(connection)

    def _publish(self, connection, flags, body):
        topic, at = text(body, 0)
        qos = flags >> 1 & 3
        session = connection.session
        identifier = b""
        if qos:
            identifier, at = body[at : at + 2], at + 2
        number = int.from_bytes(identifier, "big")
        if qos < 2 or number not in session.held:
            self.take(topic.decode(), body[at:], qos)
        if qos == 1:
            connection.send(packet(0x40, identifier))
        elif qos == 2:
            session.held.add(number)
            connection.send(packet(0x50, identifier))

    def _answered(self, connection, kind, identifier):
        session = connection.session
        for message in session.queue:
            if message[0] == identifier:
                break
        else:
            if kind == PUBREC:
                connection.send(packet(0x62, identifier.to_bytes(2, "big")))
            return
        if kind == PUBREC:
            message[4] = "released"
            connection.send(packet(0x62, identifier.to_bytes(2, "big")))
        else:
            session.queue.remove(message)
            self.pump(connection)
