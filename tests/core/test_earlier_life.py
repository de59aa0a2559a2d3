"""After the loss of its store, a session has the peer give up the identifiers that it may hold: before they are used,
in small steps beside what is sent, all around, and over restarts.
"""

import pytest

from mqttlite.core import codec
from mqttlite.core import records as r
from mqttlite.core.earlier_life import WANTED
from mqttlite.core.packet_types import PUBACK, PUBCOMP, PUBREC, PUBREL
from mqttlite.core.records import State
from mqttlite.core.session import SPAN, Session
from mqttlite.store.base import Store
from tests.core.packets import Packet, decode

HEAD = {qos: codec.publish_head(qos << 1, b"t", 1) for qos in (1, 2)}


class Kept(Store):
    """A store in memory, of what was recorded."""

    def __init__(self) -> None:
        self.state = State()
        self.count = 0

    def record(self, kind: int, number: int, head: bytes = b"", payload: bytes = b"", key: bytes = b"") -> None:
        self.state.apply(kind, number, head, payload, key)
        self.count += kind == r.CLEARING


class Life:
    """One life of a client, online, at a peer that answers when it is told to."""

    def __init__(self, store: Kept, start: int = 0, present: bool = True) -> None:
        self.store = store
        self.session = Session(start=start)
        self.session.store = store
        self.session.load(store.state)
        self.released: list[int] = []  # identifiers, in order, but for those of messages
        self.sent: list[Packet] = []
        self.connect(present)

    def connect(self, present: bool = True) -> None:
        self.out: list[bytes] = []
        self.session.connected(self.out, present)

    def take(self) -> list[Packet]:
        packets = decode(b"".join(self.out))
        self.out.clear()
        return packets

    def answer(self) -> bool:
        """The peer answers all that has come; whether there was anything."""
        packets = self.take()
        for packet in packets:
            packet_id = packet.fields["packet_id"]
            if packet.kind == "publish":
                self.sent.append(packet)
                self.session.acknowledged(PUBREC if packet.fields["qos"] == 2 else PUBACK, packet_id)
            else:
                assert packet.kind == "pubrel"
                if not self.session.releasing or packet_id not in [p.fields["packet_id"] for p in self.sent[-1:]]:
                    self.released.append(packet_id)
                self.session.acknowledged(PUBCOMP, packet_id)
        return bool(packets)

    def publish(self, qos: int, payload: bytes = b"x") -> int:
        return self.session.publish(HEAD[qos], payload) % SPAN + 1


@pytest.fixture
def store() -> Kept:
    store = Kept()
    store.record(r.CLEARING, WANTED)
    return store


@pytest.mark.parametrize("start", [0, 1, 40_000, SPAN - 1])
def test_the_first_message_leaves_after_one_step_and_its_identifier_is_among_the_first(store: Kept, start: int) -> None:
    life = Life(store, start)
    packet_id = life.publish(2)
    step = life.take()
    assert [packet.kind for packet in step] == ["pubrel"] * 128
    assert step[0].fields["packet_id"] == packet_id
    for packet in step[:-1]:
        life.session.acknowledged(PUBCOMP, packet.fields["packet_id"])
    assert life.take() == []
    life.session.acknowledged(PUBCOMP, step[-1].fields["packet_id"])
    assert [packet.kind for packet in life.take()] == ["publish"] + ["pubrel"] * 128
    assert store.state.clearing >> 16 == start + 128, "what the message depends on is recorded"


@pytest.mark.parametrize("start", [0, 70_000])
def test_every_identifier_is_released_once_while_messages_pass_one_at_a_time(store: Kept, start: int) -> None:
    life = Life(store, start)
    numbers = []
    for _ in range(40):
        numbers.append(life.publish(2))
        assert life.session.unfinished <= 1
        life.answer()
    while life.answer():
        assert life.session.unfinished <= 1 or not life.session.clearing
    assert [packet.fields["packet_id"] for packet in life.sent] == numbers
    assert not life.session.messages
    assert life.session.clearing == store.state.clearing == 0
    wanted = [(start + number) % SPAN + 1 for number in range(SPAN)]
    assert [number for number in life.released if number not in numbers] == [n for n in wanted if n not in numbers]
    assert store.count < 60, "few records: each costs a board a write to its flash"
    for _ in range(5):
        life.publish(2)
    assert life.session.unfinished == 5, "then they go as ever"


def test_who_publishes_at_qos_1_alone_releases_nothing_and_is_not_held_up(store: Kept) -> None:
    life = Life(store)
    for _ in range(30):
        life.publish(1)
    assert life.session.unfinished == life.session.window
    while life.answer():
        pass
    assert not life.released
    assert store.state.clearing == WANTED


def test_messages_of_qos_1_pass_beside_the_steps_whatever_their_identifiers(store: Kept) -> None:
    life = Life(store)
    life.publish(2)
    for _ in range(10):
        life.answer()
    assert not life.session.messages
    for number in range(300):  # faster than the steps
        life.publish(1, b"%d" % (number % 10))
        if not number % 20:
            life.answer()
    life.publish(2)
    while life.answer():
        assert life.session.unfinished <= life.session.window
    assert not life.session.messages
    assert [packet.fields["qos"] for packet in life.sent] == [2] + [1] * 300 + [2]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_restart_goes_on_where_what_is_recorded_ends_and_a_cut_where_the_step_began(store: Kept, cut: int) -> None:
    life = Life(store)
    life.publish(2)
    for _ in range(cut):
        life.answer()
    swept = getattr(life.session, "swept", 0)
    life.session.disconnected()
    life.connect()
    life.publish(2)
    first = next(packet.fields["packet_id"] for packet in decode(b"".join(life.out)) if packet.kind == "pubrel")
    assert first in (swept + 1, 1), "or a released message comes first"
    recorded = store.state.clearing >> 16 if store.state.clearing != WANTED else 0
    again = Life(store, 5)
    again.publish(2)
    while again.answer():
        pass
    assert not again.session.messages
    assert store.state.clearing == 0
    assert set(again.released) >= set(range(recorded + 1, SPAN + 1))
    assert recorded == 0 or 3 not in again.released, "1 and 2 are messages"


def test_a_session_that_the_peer_has_lost_has_nothing_to_clear(store: Kept) -> None:
    life = Life(store, present=False)
    assert store.state.clearing == 0
    life.publish(2)
    assert [packet.kind for packet in life.take()] == ["publish"]
    store.record(r.CLEARING, WANTED)
    life = Life(store)
    life.publish(2)
    life.answer()
    life.session.disconnected()
    life.connect(present=False)
    assert store.state.clearing == 0
    assert [packet.kind for packet in life.take()] == ["publish"] * 2


def test_the_state_of_a_session_says_how_far_it_has_got(store: Kept) -> None:
    life = Life(store)
    life.publish(2)
    for _ in range(4):
        life.answer()
    state = State()
    life.session.save(state)
    assert state.clearing == life.session.clearing != WANTED
    assert [number for kind, number, *_ in state.records() if kind == r.CLEARING] == [state.clearing]
    kind, number, *_ = r.decode(r.encode(r.CLEARING, (1 << 31) << 16 | SPAN))
    assert (kind, number) == (r.CLEARING, (1 << 31) << 16 | SPAN), "in 48 bits"


def test_pubrel_is_what_the_steps_are_made_of() -> None:
    assert codec.acknowledgement(PUBREL, 5) == b"\x62\x02\x00\x05"
