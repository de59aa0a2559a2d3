"""A client and a server end, as a script for MicroPython (it runs on CPython too): an echo over a line with cuts."""

import gc

from mqttlite.core.client import ClientProtocol
from mqttlite.core.codec import publish_head
from mqttlite.core.errors import ConnectError, ProtocolError, RefusedError
from mqttlite.core.matching import matches
from mqttlite.core.server import ServerConnection
from mqttlite.core.session import Session
from mqttlite.core.text import check_topic_name

if hasattr(gc, "threshold"):  # as docs/board.md has boards do it: collected often, the heap stays in one piece
    gc.threshold(1024)


class Application:
    def __init__(self, clean_session):
        self.messages = []
        self.finished = []
        self.subacks = 0
        fields = (b"board", clean_session, 10, None, None, (b"will", b"gone", 1, False))
        self.client = ClientProtocol(self, fields, Session(), 1000, 5000)

    def on_connected(self, session_present):
        pass

    def on_message(self, flags, topic, payload, packet_id, generation, properties):
        self.messages.append(bytes(payload))
        if packet_id:
            self.client.session.handled(packet_id, generation)

    def on_suback(self, topic_filter, code):
        self.subacks += 1

    def on_unsuback(self, topic_filter, code=0):
        pass

    def on_finished(self, seq, in_doubt):
        self.finished.append((seq, in_doubt))


class Broker:
    def __init__(self):
        self.session = Session()
        self.known = False
        self.topic_filters = {}
        self.seen = []

    def check_topic(self, topic):
        check_topic_name(topic)

    def on_connect(self, connection, connect):
        connection.accept(self.session, self.known and not connect.clean_session)
        self.known = True

    def on_publish(self, connection, flags, topic, payload):
        self.seen.append(bytes(payload))
        for topic_filter, granted in self.topic_filters.items():
            if matches(topic_filter, topic):
                qos = min(granted, flags >> 1)
                head = publish_head(qos << 1, topic, len(payload))
                if qos:
                    self.session.publish(head, payload)
                else:
                    connection.out += (head, payload)

    def on_subscribe(self, connection, subscriptions):
        for topic_filter, qos in subscriptions:
            self.topic_filters[topic_filter] = qos
        return bytes([qos for _, qos in subscriptions]), lambda: None

    def on_unsubscribe(self, connection, topic_filters):
        for topic_filter in topic_filters:
            self.topic_filters.pop(topic_filter, None)

    def on_disconnect(self, connection):
        self.seen.append(b"DISCONNECT")


class World:
    def __init__(self):
        self.app = Application(False)
        self.client = self.app.client
        self.broker = Broker()
        self.open()
        self.run()

    def open(self):
        self.server = ServerConnection(self.broker, 0, 1000)
        self.client.connect(0)

    def run(self):
        while self.client.out or self.server.out:
            self.move(10000, 10000)

    def move(self, up, down):
        data = b"".join(self.client.out)[:up]
        self.client.out.clear()
        self.server.receive(data, 0)
        data = b"".join(self.server.out)[:down]
        self.server.out.clear()
        self.client.receive(data, 0)

    def cut(self):
        self.client.closed()
        self.server.closed()


def echo(qos):
    world = World()
    world.client.subscribe(b"room/+", 2)
    world.run()
    assert world.app.subacks == 1
    seed = qos + 1
    for number in range(40):
        world.client.publish(qos << 1, b"room/1", b"%d" % number)
        seed = (seed * 75 + 74) % 65537
        world.move(seed % 30, seed // 30 % 30)
        world.cut()
        world.open()
        if seed & 4:
            world.run()
    world.run()
    wanted = [b"%d" % number for number in range(40)]
    if qos == 2:
        assert world.broker.seen == wanted and world.app.messages == wanted
    else:
        for number in wanted:
            assert number in world.broker.seen and number in world.app.messages
    assert not world.client.session.messages and not world.broker.session.messages
    world.client.disconnect()
    world.run()
    assert world.server.finished and world.server.will is None and world.broker.seen[-1] == b"DISCONNECT"
    return len(world.broker.seen), len(world.app.messages)


def quiet():
    """QoS 0, keep alive, refusals."""
    world = World()
    client = world.client
    client.subscribe(b"#", 0)
    world.run()
    assert client.publish(1, b"a", b"x") == -1
    world.run()
    assert world.app.messages == [b"x"]
    client.tick(8999)
    assert not client.out
    client.tick(9000)
    assert client.out == [b"\xc0\0"]
    world.run()
    assert client.waiting_since is None
    try:
        world.server.tick(15000)
        raise AssertionError("no keep alive")
    except ProtocolError as error:
        assert error.rule == "MQTT-3.1.2-24"
    world.cut()
    assert client.publish(0, b"a", b"x") == -2
    client.connect(0)
    try:
        client.tick(5000)
        raise AssertionError("no time-out")
    except ConnectError:
        pass
    try:
        client.receive(b"\x20\x02\0\x05", 0)
        raise AssertionError("not refused")
    except RefusedError as error:
        assert error.code == 5


for qos in (1, 2):
    gc.collect()
    print(qos, *echo(qos))
quiet()
print("all done")
