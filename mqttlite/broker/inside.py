"""A connection to the broker from a program in the same process: a session of its own, without a socket. Imports
server, connection and core.

    async with Inside(broker, "archive", [("sensors/#", 2)]) as inside:
        async for taken in inside:
            await store(taken.topic, taken.payload)
            inside.acknowledge(taken)       # now it is the program's, and the broker forgets it

To the engine it is a client of 5.0 like any other: what is queued for it survives in the broker's store, its
acknowledgements are written with the next commit, and what the engine tells it leaves after the commit that it tells
of. It takes packets as long as `resume` holds; above its limit the engine sees a connection that is not writable. It
may publish and receive everything, whatever the rules are. Its client identifier begins with `$bridge/`, which is
refused to clients from outside; its session never expires by itself (`end_session`).

`Connection` is the same packet by packet, for who joins the session with something else (a bridge).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from ..core import wire5
from ..core.codec import REMAINING_MAX, acknowledgement
from ..core.errors import MQTTError
from ..core.packet_types import CONNACK, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK
from ..core.parser import Parser
from ..core.properties import parted, user_properties
from ..core.reason_codes import REFUSED
from .bounds.addresses import INSIDE
from .clients.client_session import INSIDE_IDS, ClientSession
from .connections.connection import Connection as NetworkConnection
from .connections.turns import READ_BYTES, now_ms
from .routing.delivery import RETAIN_HANDLING
from .server import Broker

AT_HAND = 100  # QoS 1 and 2 messages that a program has and has not acknowledged, where it does not say
HELD_BYTES = 64 * 1024  # that wait in a connection while it is not resumed; below it the engine goes on

Packets = list[tuple[int, bytes]]  # first byte and body of each


class InsideError(MQTTError):
    """The connection has ended, or did not come about; the text says why."""


def client_id_of(name: str) -> bytes:
    """The client identifier of the session called `name`."""
    return INSIDE_IDS + name.encode()


def session_of(broker: Broker, name: str) -> ClientSession | None:
    """The session called `name`, if there is one: what is queued, and more, as the engine has it."""
    return broker.engine.sessions.get(client_id_of(name))


def end_session(broker: Broker, name: str) -> bool:
    """End it, with all that is queued for it; whether there was one."""
    client = session_of(broker, name)
    if client is None:
        return False
    broker.engine.remove(client, "its program has ended it", REFUSED, now_ms())
    broker.changed()
    return True


def keep(broker: Broker, name: str, data: bytes) -> None:
    """Keep some bytes with the session called `name`, instead of those that were kept: durable with the next commit, so
    before anything that the engine says from now on. What the engine says first is CONNACK, or the answer to a ping.
    """
    topic = client_id_of(name) + b"/state"
    broker.engine.router.retained.store(topic, data, 0)
    if broker.store:
        broker.store.retain(topic, data, 0)


def kept(broker: Broker, name: str) -> bytes:
    """What was kept last."""
    found = broker.engine.router.retained.get(client_id_of(name) + b"/state")
    return found.payload if found else b""


class Connection:
    """A network connection without a network, as `connection.Connection` knows transports (each method as asyncio
    describes it). `received(packets)` is called in a turn of the loop of its own with what the engine has sent, CONNACK
    first; `ended(why)` once.
    """

    def __init__(self, broker: Broker, received: Callable[[Packets], None], ended: Callable[[str], None]) -> None:
        self._broker = broker
        self._received = received
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._parser = Parser(REMAINING_MAX)
        self._waiting: deque[bytes] = deque()  # from the engine
        self._size = 0  # of these, in bytes
        self._high = HELD_BYTES
        self._is_held = False  # the program takes nothing now
        self._is_full = False
        self._is_called = False  # `_deliver` will be
        self._is_closing = False
        self._is_over = False
        self._unread: deque[bytes] = deque()  # for the engine, which does not read now
        self._is_paused = False
        self._has_room: asyncio.Future[None] | None = None  # somebody waits for it
        self._connection = NetworkConnection(broker._turns)
        self._connection.connection_made(self)

    # -- the program's side

    def connect(self, name: str, window: int = AT_HAND, clean: bool = False, packet_max: int = 0) -> bool:
        """Begin the session called `name`; whether there was one already. CONNACK follows, after the commit of it.
        `window`: QoS 1 and 2 messages that the engine sends before they are acknowledged; `packet_max`: the largest
        packet that is taken, 0: any.
        """
        client = session_of(self._broker, name)
        is_there = client is not None and not clean and not client.is_unheard_of
        self.send(wire5.encode_connect(client_id_of(name), clean, 0, None, None, None, min(window, 65535), packet_max))
        client = self._connection.peer.client
        if client is not None and window > client.session.window:  # the engine is more careful with strangers
            client.session.window = window
            client.session.go_on()
            self._broker.engine.dirty[self._connection.peer] = None
            self._broker.changed()
        return is_there

    def send(self, data: bytes) -> None:
        """Packets for the engine, whole ones; while `is_full`, they wait."""
        if self._is_closing or not data:
            return
        if self._is_paused or self._unread:
            self._unread.append(data)
        else:
            self._give(data)

    def _give(self, data: bytes) -> None:
        connection = self._connection
        for at in range(0, len(data), READ_BYTES):
            piece = data[at : at + READ_BYTES]
            connection.buffer[: len(piece)] = piece
            connection.buffer_updated(len(piece))

    @property
    def is_full(self) -> bool:
        """Whether the engine does not read now: who sends should wait."""
        return self._is_paused or bool(self._unread)

    async def has_room(self) -> None:
        """Wait until the engine reads."""
        while self.is_full and not self._is_closing:
            self._has_room = self._loop.create_future()
            await self._has_room

    def _gives_room(self) -> None:
        if self._has_room is not None and not self._has_room.done():
            self._has_room.set_result(None)

    def hold(self) -> None:
        """Take nothing more until `resume`."""
        self._is_held = True

    def resume(self) -> None:
        """Take what comes."""
        self._is_held = False
        self._call()

    def close(self) -> None:
        """End it in good order; nothing is received any more."""
        if not self.is_full:
            self.send(wire5.encode_disconnect())
        self.abort()

    @property
    def client(self) -> ClientSession | None:
        """The session, as the engine has it, while it is connected."""
        client: ClientSession | None = self._connection.peer.client
        return client

    # -- the engine's side

    def write(self, data: Any) -> None:
        self._waiting.append(bytes(data))
        self._size += len(data)
        self._call()
        if self._size > self._high and not self._is_full:
            self._is_full = True
            self._connection.pause_writing()

    def _call(self) -> None:
        if not self._is_called and self._waiting and not self._is_held:
            self._is_called = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._is_called = False
        if self._is_held or self._is_over:
            return
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        parser = self._parser
        parser.feed(data)
        packets: Packets = []
        while first := parser.next():
            packets.append((first, bytes(parser.buf[parser.start : parser.end])))
        if self._is_full:
            self._is_full = False
            self._connection.resume_writing()
        if packets:
            self._received(packets)

    def write_eof(self) -> None:
        self._loop.call_soon(self.close)

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return self._size

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = HELD_BYTES if high is None else high

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        while self._unread and not self._is_paused:
            self._give(self._unread.popleft())
        if not self.is_full:
            self._gives_room()

    def is_closing(self) -> bool:
        return self._is_closing

    def abort(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._waiting.clear()
            self._size = 0
            self._unread.clear()
            self._gives_room()
            self._loop.call_soon(self._end)

    def _end(self) -> None:
        why = self._connection.peer.closed_because
        self._connection.connection_lost(None)
        if not self._is_over:
            self._is_over = True
            self._ended(why or "its program has closed it")

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return INSIDE if name == "peername" else default


@dataclass(slots=True)
class Taken:
    """A message that the broker has given to a program. `properties`: its block of 5.0 (core.properties), with the time
    that it had left `at_ms` (as now_ms), when the broker gave it. `is_repeat`: it may have been taken before.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    is_repeat: bool
    packet_id: int
    properties: bytes
    at_ms: int

    @property
    def expires_after_s(self) -> int | None:
        """The time that it had left then; None: it does not expire."""
        seconds = parted(self.properties)[0] if self.properties else -1
        return None if seconds < 0 else seconds

    @property
    def user_properties(self) -> list[tuple[str, str]]:
        """In order."""
        return [(name.decode(), value.decode()) for name, value in user_properties(self.properties)]


def taken_of(first: int, body: bytes) -> Taken:
    """What a PUBLISH of the engine says."""
    at = 2 + (body[0] << 8 | body[1])
    topic = body[2:at].decode()
    packet_id = 0
    if first & 6:
        packet_id = body[at] << 8 | body[at + 1]
        at += 2
    start, end = wire5.properties_of(body, at, len(body))
    flags = (first >> 1 & 3, bool(first & 1), bool(first & 8))
    return Taken(topic, body[end:], *flags, packet_id, body[start:end], now_ms())


def subscribe(connection: Connection, filters: Iterable[tuple[str, int]]) -> bool:
    """Have the session subscribe to exactly these filters, with their options (maximum QoS and above, 3.8.3.1 of 5.0);
    whether anything was different, so that SUBACK or UNSUBACK follows.
    """
    client = connection.client
    assert client is not None, "not connected"
    wanted = list(filters)
    asked = {topic_filter.encode() for topic_filter, _ in wanted}
    gone = [topic_filter for topic_filter in client.subscriptions if topic_filter not in asked]
    new = _new(client, wanted)
    if gone:
        connection.send(wire5.encode_unsubscribe(1, gone))
    if new:
        connection.send(wire5.encode_subscribe(1, new))
    return bool(gone or new)


def enrol(broker: Broker, name: str, filters: Iterable[tuple[str, int]], has_qos_0: bool = False) -> bool:
    """Have a session called `name` with subscriptions to exactly these filters (as `subscribe`), for which messages are
    queued from now on, and which nobody takes from yet; whether there was one. What is queued in one that is there
    counts as sent, up to a window of it, where a filter is new: then the session is connected for a moment, so that
    retained messages are queued, too. `has_qos_0`: messages of QoS 0 are queued, too, as of QoS 1.
    """
    wanted = list(filters)
    client = session_of(broker, name)
    is_there = client is not None and not client.is_unheard_of
    if is_there and client is not None and client.peer is None:
        asked = {topic_filter.encode() for topic_filter, _ in wanted}
        for topic_filter in [each for each in client.subscriptions if each not in asked]:
            broker.engine.router.unsubscribe(client, topic_filter)
            broker.engine.depot.unsubscribe(client, topic_filter)
            broker.changed()
    if not is_there or client is None or client.peer is not None or _new(client, wanted):
        connection = Connection(broker, lambda packets: None, lambda why: None)
        connection.connect(name)
        client = connection.client
        if client is not None:
            _lift(broker, client, has_qos_0)
            subscribe(connection, wanted)
        connection.close()
    else:
        _lift(broker, client, has_qos_0)
    return is_there


def _lift(broker: Broker, client: ClientSession, has_qos_0: bool) -> None:
    lifted = broker.engine.router.lifted
    if has_qos_0:
        lifted[client] = None
    else:
        lifted.pop(client, None)


def _new(client: ClientSession, filters: Iterable[tuple[str, int]]) -> list[tuple[bytes, int]]:
    """What it is not subscribed to, or with other options."""
    had = client.subscriptions
    return [
        (topic_filter.encode(), options)
        for topic_filter, options in filters
        if had.get(topic_filter.encode()) != options & ~RETAIN_HANDLING
    ]


class Inside:
    """The session called `name` of a broker, with subscriptions to `filters` (with options as `subscribe` has them) and
    to nothing else: `async with`, then `async for`. `window`: messages that are taken before the first of them is
    acknowledged. When the broker ends the connection, the next message is InsideError.
    """

    def __init__(self, broker: Broker, name: str, filters: Iterable[tuple[str, int]], *, window: int = AT_HAND) -> None:
        self._broker = broker
        self.name = name
        self._filters = list(filters)
        self._window = window
        self._taken: deque[Taken] = deque()
        self._news = asyncio.Event()
        self._why = ""  # it has ended
        self._connection: Connection | None = None

    async def __aenter__(self) -> Self:
        connection = self._connection = Connection(self._broker, self._received, self._ended)
        self.is_new = not connection.connect(self.name, self._window)
        if connection.client is None:
            connection.close()
            raise InsideError(f"{self.name}: {connection._connection.peer.refused_because or 'the broker stops'}")
        subscribe(connection, self._filters)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection:
            self._connection.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Taken:
        """The next message. InsideError: the connection has ended."""
        while not self._taken:
            if self._why:
                raise InsideError(f"{self.name}: {self._why}")
            self._news.clear()
            await self._news.wait()
        return self._taken.popleft()

    @property
    def waiting(self) -> int:
        """How many can be had at once: for who takes several together."""
        return len(self._taken)

    def acknowledge(self, taken: Taken) -> None:
        """The message is the program's: the broker may forget it. Of QoS 0 there is nothing to say."""
        if taken.qos and self._connection:
            self._connection.send(acknowledgement(PUBACK if taken.qos == 1 else PUBREC, taken.packet_id))

    def _received(self, packets: Packets) -> None:
        answers = b""
        for first, body in packets:
            if first & 0xF0 == PUBLISH:
                self._taken.append(taken_of(first, body))
            elif first == PUBREL:
                answers += acknowledgement(PUBCOMP, body[0] << 8 | body[1])
            elif first == SUBACK and any(code >= REFUSED for code in wire5.decode_suback(body, 0, len(body))[1]):
                self._why = "a subscription is refused, as the broker's log says"
            elif first == CONNACK and body[1]:
                self._why = wire5.refusal(body[1], {})
        if answers and self._connection:
            self._connection.send(answers)
        self._news.set()

    def _ended(self, why: str) -> None:
        self._why = self._why or why
        self._news.set()
