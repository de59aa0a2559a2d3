"""Two sessions, a lossy wire, two applications, and a model that sees every packet and knows what must hold.

Each `End` runs the real Connection and Session. What they append to `out` is read by the model at once (`End.emitted`);
`flush` puts it in flight, `move` lets some bytes of it arrive, `cut` loses what is in flight and what was not written.
Messages are numbered through the whole world; a message's payload is its number. An epoch ends when a session is lost,
for both ends. A life ends when an end forgets all, and the other one nothing: then identifiers are used again.
"""

from dataclasses import dataclass, field

from mqttlite.core import codec, packet_types, wire4
from mqttlite.core.connection import Connection
from mqttlite.core.parser import Parser
from mqttlite.core.session import HELD, OWED1, Session

TOPIC = b"t"


@dataclass
class Message:
    number: int
    qos: int
    seq: int = -1
    packet_id: int = 0
    emitted_in: int = -1  # connection on which PUBLISH was emitted last, in this epoch
    mistakable: bool = False  # sent with DUP, and its identifier may stand for a message of an earlier life
    released: bool = False  # PUBREL has been emitted in this epoch
    finished: bool = False
    in_doubt: bool = False
    deliveries: list[tuple[int, int]] = field(default_factory=list)  # epoch, and life of the receiver, of each

    @property
    def live(self) -> bool:
        return self.emitted_in >= 0 and not self.finished


@dataclass
class Delivery:
    number: int
    packet_id: int
    generation: int
    handled: bool = False


class Wired(Connection):
    """A connection past its CONNECT: only PUBLISH and acknowledgements."""

    def __init__(self, end: "End") -> None:
        Connection.__init__(self, 1000)
        self.wire = wire4
        self.session = end.session
        self.is_connected = True
        self.check_topic = lambda topic: None
        self.deliver = end.delivered

    def control(self, first: int, buf: bytes, start: int, end: int, now: int) -> None:
        raise AssertionError(f"unexpected packet {first:#x}")


class End:
    """One end: a session, its connection, its application, and the model of what it owes."""

    def __init__(self, world: "World", name: str, window: int, inbound_max: int) -> None:
        self.world = world
        self.name = name
        self.window = window
        self.inbound_max = inbound_max
        self.peer: End
        # Newest messages that were ever delivered here: at QoS 0, which need not wait for the window, and above.
        self.newest = {False: 0, True: 0}
        self.life = 0
        self.restart()

    def restart(self) -> None:
        """The process starts again without a store: session and application forget everything."""
        self.life += 1
        self.session = Session(self.window, self.inbound_max)
        self.session.on_finished = self.finished
        self.connection: Wired | None = None
        self.incoming = bytearray()  # in flight towards this end
        self.messages: dict[int, Message] = {}  # accepted here, by sequence number
        self.inbox: list[Delivery] = []  # given to the application and not handled
        self.by_id: dict[int, tuple[int, Delivery]] = {}  # the last delivery of each packet identifier, with its place
        self.places = 0
        self._observe_from_here()

    # -- connection

    def connect(self, session_present: bool) -> None:
        if not session_present:
            for m in self.messages.values():
                m.in_doubt = m.in_doubt or (m.released and not m.finished)  # what the session has to report
                m.emitted_in = -1
                m.released = False
        self._observe_from_here()
        self.to_repeat = [m.number for m in sorted(self.messages.values(), key=lambda m: m.number) if m.live]
        self.connection = Wired(self)
        self.session.connected(self.connection.out, session_present)
        self.observe()
        assert not self.to_repeat, f"not repeated after a reconnect: {self.to_repeat}"
        for m in self.messages.values():
            assert not m.in_doubt or m.finished, f"{m} was released and is not reported in doubt"

    def _observe_from_here(self) -> None:
        self.seen = 0  # entries of `out` read by the model
        self.observer = Parser(1 << 20)
        self.arrivals: dict[int, int] = {}  # on this connection, place of the last PUBLISH by packet identifier
        self.arriving = Parser(1 << 20)
        self.acknowledged: dict[int, list[tuple[int, int]]] = {packet_types.PUBACK: [], packet_types.PUBREC: []}
        self.to_repeat: list[int] = []

    def close(self) -> None:
        if self.connection:
            self.connection.closed()
            self.connection = None
        self.incoming.clear()

    # -- application

    def publish(self, qos: int) -> Message:
        message = self.world.new_message(qos)
        payload = str(message.number).encode()
        head = codec.publish_head(qos << 1, TOPIC, len(payload))
        if qos:
            message.seq = self.session.next
            self.messages[message.seq] = message
            assert self.session.publish(head, payload) == message.seq
        elif self.connection:
            self.connection.out += (head, payload)
        self.observe()
        return message

    def delivered(self, first: int, topic: bytes, payload: bytes, packet_id: int, properties: bytes) -> None:
        message = self.world.messages[int(payload)]
        assert topic == TOPIC
        assert message.qos == first >> 1 & 3
        above = message.qos > 0
        if not message.deliveries:
            assert message.number > self.newest[above], f"{message} delivered for the first time after a newer one"
            self.newest[above] = message.number
        message.deliveries.append((self.world.epoch, self.life))
        if message.qos == 2:
            assert len(set(message.deliveries)) == len(message.deliveries), f"{message} delivered twice"
        if message.qos == 0:
            assert len(message.deliveries) == 1
            return
        delivery = Delivery(message.number, packet_id, self.session.generation)
        self.inbox.append(delivery)
        self.places += 1
        self.by_id[packet_id & 0xFFFF] = (self.places, delivery)

    def handle(self) -> None:
        """The application is done with the oldest message that it was given."""
        if self.inbox:
            delivery = self.inbox.pop(0)
            delivery.handled = True
            self.session.handled(delivery.packet_id, delivery.generation)
            self.observe()

    def finished(self, seq: int, in_doubt: bool) -> None:
        message = self.messages[seq]
        assert not message.finished
        assert message.in_doubt == in_doubt, f"{message} reported with in_doubt={in_doubt}"
        message.finished = True
        if not in_doubt:
            is_known = any(epoch == self.world.epoch for epoch, _ in message.deliveries)
            assert is_known or message.mistakable, f"{message} finished, but never delivered"

    # -- wire

    def flush(self) -> None:
        """Write what is in `out`."""
        if self.connection:
            self.peer.incoming += b"".join(self.connection.out)
            self.connection.out.clear()
            self.seen = 0

    def move(self, size: int) -> None:
        """Let the next `size` bytes arrive here."""
        if self.connection and size:
            data = bytes(self.incoming[:size])
            del self.incoming[:size]
            self._observe_arrivals(data)
            self.connection.receive(data, 0)
            self.observe()

    def _observe_arrivals(self, data: bytes) -> None:
        p = self.arriving
        p.feed(data)
        while first := p.next():
            if first & 0xF0 == packet_types.PUBLISH and first & 6:
                packet_id = codec.decode_packet_id(p.buf, p.start + 2 + len(TOPIC), p.end)
                self.places += 1
                self.arrivals[packet_id] = self.places

    # -- model of what is sent

    def observe(self) -> None:
        if not self.connection:
            return
        out = self.connection.out
        data = b"".join(out[self.seen :])
        self.seen = len(out)
        if data:
            self.observer.feed(data)
            while first := self.observer.next():
                self.emitted(first, self.observer.buf[self.observer.start : self.observer.end])

    def emitted(self, first: int, body: bytes) -> None:
        if first & 0xF0 == packet_types.PUBLISH:
            if first & 6:
                at = 2 + len(TOPIC)
                number = int(body[at + 2 :])
                self._publish_emitted(self.world.messages[number], body[at] << 8 | body[at + 1], first & 8 != 0)
            else:
                assert not first & 8
            return
        packet_id = body[0] << 8 | body[1]
        if first == packet_types.PUBREL:
            self._pubrel_emitted(packet_id)
        elif first in (packet_types.PUBACK, packet_types.PUBREC):
            self._acknowledgement_emitted(first, packet_id)

    def _acknowledgement_emitted(self, first: int, packet_id: int) -> None:
        """In the order of deliveries [MQTT-4.6.0-2] [MQTT-4.6.0-3].

        A message whose PUBACK was lost is delivered again, then behind those that came first while this connection's
        order has it before them; either order is right for it.
        """
        place, delivery = self.by_id[packet_id]
        arrival = self.arrivals[packet_id]
        assert delivery.handled, f"{self.name} acknowledged {delivery} before it was handled"
        for other_place, other_arrival in self.acknowledged[first]:
            assert place > other_place or arrival > other_arrival, "acknowledgements are not in order"
        self.acknowledged[first].append((place, arrival))

    def _publish_emitted(self, message: Message, packet_id: int, dup: bool) -> None:
        assert not message.finished, f"{message} sent after it was finished"
        assert not message.released, f"{message} sent after it was released"
        for other in self.messages.values():
            assert other is message or not other.live or other.packet_id != packet_id, f"{other} has this identifier"
        if message.emitted_in >= 0:
            assert dup, f"{message} sent again without DUP"
            message.mistakable = self.world.forgot
            assert message.packet_id == packet_id
            assert message.emitted_in < self.world.connection, f"{message} sent twice on one connection"
            assert self.to_repeat, f"{message} repeated late"
            assert self.to_repeat.pop(0) == message.number, "repeats are not in the original order"
        else:
            assert not dup, f"{message} carries DUP when it is first sent"
            assert not self.to_repeat, f"{message} sent before the repeats"
            newer = [m for m in self.messages.values() if m.emitted_in >= 0 and m.number > message.number]
            assert not newer, f"{message} sent after {newer}"
        message.emitted_in = self.world.connection
        message.packet_id = packet_id
        live = sum(m.live for m in self.messages.values())
        assert live <= self.window, f"{live} unfinished messages"

    def _pubrel_emitted(self, packet_id: int) -> None:
        for message in self.messages.values():
            if message.live and message.packet_id == packet_id:
                assert message.qos == 2
                if self.to_repeat:
                    assert self.to_repeat.pop(0) == message.number, "repeats are not in the original order"
                message.released = True


class World:
    def __init__(self, window_a: int = 20, window_b: int = 20, lives: bool = False) -> None:
        self.messages: list[Message] = [Message(0, 0)]  # number 0 is none
        self.epoch = 0
        self.connection = 0
        self.up = False
        self.forgot = False  # an end has begun another life, and the other has not
        # What was begun in an earlier life counts as well.
        self.a = End(self, "a", window_a, 65535 if lives else window_b)
        self.b = End(self, "b", window_b, 65535 if lives else window_a)
        self.a.peer, self.b.peer = self.b, self.a
        self.ends = (self.a, self.b)

    def new_message(self, qos: int) -> Message:
        message = Message(len(self.messages), qos)
        self.messages.append(message)
        return message

    def cut(self) -> None:
        for end in self.ends:
            end.close()
        self.up = False

    def connect(
        self,
        *,
        present: bool = True,
        restarted: End | None = None,
        forgetful: End | None = None,
        only: End | None = None,
    ) -> None:
        """Both ends come up again, or, where the answer to CONNECT is lost, `only` one does and sees a cut.

        `restarted` has lost everything; with `present` False both sessions are to start afresh, without a restart.
        `forgetful` has lost everything, and the session is to go on all the same.
        """
        assert not self.up
        self.connection += 1
        for end in (restarted, forgetful):
            if end:
                for message in end.messages.values():
                    message.finished = True  # of these nobody knows any more
                end.restart()
        if restarted:
            present = False
        self.forgot = present and (self.forgot or forgetful is not None)
        self.epoch += not present
        for end in self.ends:
            if only in (None, end):
                end.connect(present)
        if only:
            only.flush()
            self.cut()
        else:
            self.up = True

    def settle(self) -> None:
        """The wire stays up and the applications work: everything comes to its end."""
        if not self.up:
            self.connect()
        for _ in range(4 * len(self.messages) + 20):
            for end in self.ends:
                end.flush()
            for end in self.ends:
                end.move(len(end.incoming))
                while end.inbox:
                    end.handle()
            if not any(end.connection and end.connection.out for end in self.ends):
                break
        else:
            raise AssertionError("no end to it")
        for end in self.ends:
            s = end.session
            assert not s.messages, f"{end.name} still holds {s.messages}"
            kept = {value & 15 for value in s.inbound.values()}
            assert not kept or (self.forgot and kept <= {HELD, OWED1}), f"{end.name} still remembers {s.inbound}"
            assert s.unfinished == 0
            assert all(m.finished for m in end.messages.values())
        for message in self.messages[1:]:
            is_free = not message.qos or message.finished
            assert message.deliveries or is_free or message.mistakable, f"{message} never delivered"
