"""The two ends of a connection in memory: owners that write down what they are told, and a wire between them."""

from collections.abc import Callable
from typing import Any

from mqttlite.core import wire4
from mqttlite.core.client import ClientProtocol
from mqttlite.core.codec import publish_head
from mqttlite.core.errors import MQTTError
from mqttlite.core.greeting import Connect
from mqttlite.core.matching import matches
from mqttlite.core.server import ServerConnection
from mqttlite.core.session import Session
from mqttlite.core.text import check_topic_name
from tests.core.packets import Packet, decode, encode

CLIENT_TIMEOUT_MS = 5000
SIZE_MAX = 100_000


class Owner:
    """Of an end. `told` is what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def take(self) -> list[tuple[Any, ...]]:
        """What it was told since the last call."""
        told, self.told = self.told, []
        return told


class Application(Owner):
    """Owner of a ClientProtocol; with `handles` it handles messages at once. `fields`: of CONNECT."""

    def __init__(
        self,
        handles: bool = True,
        *,
        session: Session | None = None,
        size_max: int = SIZE_MAX,
        wire: Any = wire4,
        **fields: Any,
    ) -> None:
        super().__init__()
        self.handles = handles
        wanted = {"client_id": b"c", "clean_session": False, "keep_alive_s": 60, "username": None, "password": None}
        wanted |= {"will": None} | fields
        self.client = ClientProtocol(
            self,  # type: ignore[arg-type]
            tuple(wanted.values()),  # type: ignore[arg-type]
            session or Session(),
            size_max,
            CLIENT_TIMEOUT_MS,
            wire,
        )

    def on_connected(self, session_present: bool, /) -> None:
        self.told.append(("connected", session_present))

    def on_message(
        self, flags: int, topic: bytes, payload: bytes, packet_id: int, generation: int, properties: bytes, /
    ) -> None:
        self.told.append(("message", topic, payload, flags))
        if packet_id and self.handles:
            self.client.session.handled(packet_id, generation)

    def on_suback(self, topic_filter: bytes, code: int, /) -> None:
        self.told.append(("suback", topic_filter, code))

    def on_unsuback(self, topic_filter: bytes, code: int = 0, /) -> None:
        self.told.append(("unsuback", topic_filter))

    def on_finished(self, seq: int, in_doubt: bool, /) -> None:
        self.told.append(("finished", seq, in_doubt))


def written(client: ClientProtocol) -> list[Packet]:
    """What the client has written since the last call, as its shell would take it."""
    data = b"".join(client.out)
    client.out.clear()
    return decode(data)


def online(application: Application, session_present: bool = False, now: int = 0) -> list[Packet]:
    """Connects the client; returns what it wrote after CONNACK."""
    application.client.connect(now)
    assert [packet.kind for packet in written(application.client)] == ["connect"]
    answer(application, "connack", now=now, session_present=session_present, code=0)
    application.client.sent_at = now
    return written(application.client)


def answer(application: Application, kind: str, now: int = 0, **fields: Any) -> None:
    """The broker sends a packet."""
    application.client.receive(encode(Packet(kind, fields)), now)


class Broker(Owner):
    """The least owner of a ServerConnection: sessions by client identifier, subscriptions, no retained messages."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions: dict[bytes, Session] = {}
        self.subscriptions: dict[bytes, int] = {}
        self.refuse_with = 0
        self.online: ServerConnection | None = None

    def check_topic(self, topic: bytes, /) -> None:
        check_topic_name(topic)

    def on_connect(self, connection: ServerConnection, connect: Connect, /) -> None:
        self.told.append(("connect", connect.client_id))
        if self.refuse_with:
            connection.refuse(self.refuse_with)
            return
        kept = None if connect.clean_session else self.sessions.get(connect.client_id)
        self.sessions[connect.client_id] = session = kept or Session()
        if not kept:
            self.subscriptions.clear()
        self.online = connection
        connection.accept(session, kept is not None)

    def on_publish(self, connection: ServerConnection, flags: int, topic: bytes, payload: bytes, /) -> None:
        self.told.append(("publish", flags, topic, payload))
        for topic_filter, granted in self.subscriptions.items():
            if matches(topic_filter, topic):
                qos = min(granted, flags >> 1 & 3)
                head = publish_head(qos << 1, topic, len(payload))
                if qos:
                    for session in self.sessions.values():
                        session.publish(head, payload)
                elif self.online:
                    self.online.out += (head, payload)

    def on_subscribe(
        self, connection: ServerConnection, subscriptions: list[tuple[bytes, int]], /
    ) -> tuple[bytes, Callable[[], None]]:
        self.told.append(("subscribe", subscriptions))
        self.subscriptions.update(subscriptions)
        return bytes(qos for _, qos in subscriptions), lambda: None

    def on_unsubscribe(self, connection: ServerConnection, topic_filters: list[bytes], /) -> None:
        self.told.append(("unsubscribe", topic_filters))
        for topic_filter in topic_filters:
            self.subscriptions.pop(topic_filter, None)

    def on_disconnect(self, connection: ServerConnection, /) -> None:
        self.told.append(("disconnect",))


class Wire:
    """A client and a broker with a wire between them. `run` carries everything until both are quiet."""

    def __init__(self, application: Application, broker: Broker) -> None:
        self.application = application
        self.client = application.client
        self.broker = broker
        self.server: ServerConnection | None = None

    def open(self, now: int = 0) -> None:
        self.server = ServerConnection(self.broker, now, SIZE_MAX)
        self.client.connect(now)

    def run(self, now: int = 0) -> None:
        assert self.server
        while self.client.out or self.server.out:
            up, down = b"".join(self.client.out), b"".join(self.server.out)
            self.client.out.clear()
            self.server.out.clear()
            if up:
                self.client.sent_at = now
                self.server.receive(up, now)
            if down:
                self.client.receive(down, now)

    def cut(self) -> None:
        assert self.server
        self.client.closed()
        self.server.closed()
        self.broker.online = None
        self.server = None


def refusal(call: Callable[[], object]) -> MQTTError:
    """The error that `call` raises."""
    try:
        call()
    except MQTTError as error:
        return error
    raise AssertionError("nothing was refused")
