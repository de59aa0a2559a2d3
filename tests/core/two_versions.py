"""The two ends of a connection in memory where the server speaks MQTT 3.1.1 and 5.0: its owner, and clients of both."""

from collections.abc import Callable
from typing import Any

from mqttlite.core import reason_codes, wire5
from mqttlite.core.codec import publish_head
from mqttlite.core.greeting import Connect
from mqttlite.core.matching import matches
from mqttlite.core.server import ServerConnection
from mqttlite.core.session import Session
from mqttlite.core.text import check_topic_name
from tests.core.ends import SIZE_MAX, Application, Owner

BOTH = b"\4\5"


class House(Owner):
    """An owner of connections in both versions; messages go to whoever has subscribed, each in the version of its
    connection. `answer`: what `on_publish` returns.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sessions: dict[bytes, Session] = {}
        self.online: dict[bytes, ServerConnection] = {}
        self.filters: dict[bytes, dict[bytes, int]] = {}
        self.answer: int | None = None
        self.announced = b""

    def check_topic(self, topic: bytes, /) -> None:
        check_topic_name(topic)

    def on_connect(self, connection: ServerConnection, connect: Connect, /) -> None:
        self.told.append(("connect", connect.level, connect.client_id))
        present = connect.client_id in self.sessions and not connect.clean_session
        if not present:
            self.sessions[connect.client_id] = Session()
            self.filters[connect.client_id] = {}
        self.online[connect.client_id] = connection
        connection.accept(self.sessions[connect.client_id], present, self.announced)

    def on_publish(
        self, connection: ServerConnection, flags: int, topic: bytes, payload: bytes, properties: bytes = b"", /
    ) -> int | None:
        self.told.append(("publish", flags, topic, payload, properties))
        if self.answer:
            return self.answer
        for client_id, filters in self.filters.items():
            for topic_filter, granted in filters.items():
                if matches(topic_filter, topic):
                    self.send(client_id, min(granted, flags >> 1 & 3), topic, payload, properties)
        return None

    def send(self, client_id: bytes, qos: int, topic: bytes, payload: bytes, properties: bytes = b"") -> None:
        connection = self.online[client_id]
        add = connection.wire.with_properties
        content = add(properties, payload) if add else payload
        head = publish_head(qos << 1, topic, len(content))
        if qos:
            self.sessions[client_id].publish(head, content)
        else:
            connection.out += (head, content)

    def on_subscribe(
        self, connection: ServerConnection, subscriptions: list[tuple[bytes, int]], properties: bytes = b"", /
    ) -> tuple[bytes, Callable[[], None]]:
        self.told.append(("subscribe", subscriptions, properties))
        assert connection.connect
        codes = bytearray()
        for topic_filter, options in subscriptions:
            refused = topic_filter == b"forbidden"
            codes.append(reason_codes.NOT_AUTHORISED if refused else options & 3)
            if not refused:
                self.filters[connection.connect.client_id][topic_filter] = options & 3
        return bytes(codes), lambda: None

    def on_unsubscribe(self, connection: ServerConnection, topic_filters: list[bytes], /) -> bytes | None:
        self.told.append(("unsubscribe", topic_filters))
        assert connection.connect
        filters = self.filters[connection.connect.client_id]
        return bytes(0 if filters.pop(each, None) is not None else 0x11 for each in topic_filters)

    def on_disconnect(self, connection: ServerConnection, /) -> None:
        self.told.append(("disconnect",))


class Guest(Application):
    """A client of one version and its connection to a House."""

    def __init__(
        self, house: House, client_id: bytes, wire: Any = wire5, session: Session | None = None, **fields: Any
    ) -> None:
        super().__init__(session=session, wire=wire, client_id=client_id, **fields)
        self.house = house
        self.server: ServerConnection

    def on_message(
        self, flags: int, topic: bytes, payload: bytes, packet_id: int, generation: int, properties: bytes, /
    ) -> None:
        self.told.append(("message", topic, payload, properties))
        if packet_id:
            self.client.session.handled(packet_id, generation)

    def on_unsuback(self, topic_filter: bytes, code: int = 0, /) -> None:
        self.told.append(("unsuback", topic_filter, code))

    def on_finished(self, seq: int, outcome: int, /) -> None:
        self.told.append(("finished", outcome))

    def arrive(self, levels: bytes = BOTH) -> "Guest":
        self.server = ServerConnection(self.house, 0, SIZE_MAX, levels)
        self.client.connect(0)
        return self.run()

    def up(self, size: int = SIZE_MAX) -> None:
        data = b"".join(self.client.out)[:size]
        self.client.out.clear()
        self.server.receive(data, 0)

    def down(self) -> None:
        data = b"".join(self.server.out)
        self.server.out.clear()
        self.client.receive(data, 0)

    def run(self) -> "Guest":
        while self.client.out or self.server.out:
            self.up()
            self.down()
        self.client.session.check()
        return self

    def leave(self) -> None:
        self.client.closed()
        self.server.closed()
