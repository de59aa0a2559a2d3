"""Packet identifiers: unused ones only, past the end of their range, beside those of SUBSCRIBE, for every window."""

import random

import pytest

from mqttlite.core import codec, packet_types
from mqttlite.core.session import SPAN, Session
from tests.core.session_world import World
from tests.statements import statement

HEAD1 = codec.publish_head(2, b"t", 1)
HEAD2 = codec.publish_head(4, b"t", 1)


def test_a_message_is_sent_however_many_subscribe_packets_went_before_it() -> None:
    session = Session()
    out: list[bytes] = []
    session.connected(out, False)
    for _ in range(2 * SPAN + 5):
        session.packet_id()
    session.publish(HEAD1, b"x")
    assert out
    session.acknowledged(packet_types.PUBACK, int.from_bytes(out[1], "big"))
    assert not session.messages


def test_a_message_that_stays_unfinished_holds_its_identifier_whatever_comes_after_it() -> None:
    session = Session(window=3)
    out: list[bytes] = []
    session.connected(out, False)
    first = session.publish(HEAD2, b"x") % SPAN + 1
    for _ in range(SPAN - 1):
        assert session.packet_id() != first
    del out[:]
    session.publish(HEAD1, b"y")
    assert out == [], "its identifier is that of the first message"
    session.acknowledged(packet_types.PUBREC, first)
    session.acknowledged(packet_types.PUBCOMP, first)
    assert out[1] == HEAD1, "now it is free"


@statement("3.1.1", "MQTT-2.3.1-2", "MQTT-4.3.2-1", "MQTT-4.3.3-1")
@pytest.mark.parametrize("window", [1, 2, 20, SPAN])
def test_identifiers_wrap_past_live_ones(window: int) -> None:
    """More messages than there are identifiers, one of each thousand left unfinished as long as it can be."""
    seeded = random.Random(window)
    session = Session(window)
    out: list[bytes] = []
    session.connected(out, False)
    live: dict[int, int] = {}  # number of the message by identifier, in the order of sending
    total = 3 * SPAN // 2
    accepted = sent = 0
    while sent < total or live:
        while accepted < total and accepted - sent < 50:
            session.publish(HEAD1, accepted.to_bytes(4, "big"))
            accepted += 1
        for at in range(0, len(out), 3):
            packet_id = int.from_bytes(out[at + 1], "big")
            assert 1 <= packet_id <= SPAN
            assert packet_id not in live
            assert int.from_bytes(out[at + 2], "big") == sent
            live[packet_id] = sent
            sent += 1
        out.clear()
        assert len(live) <= window
        assert live, "an endless wait"
        keep = window - 1 if sent < total else 0
        ids = list(live)
        done = ids[: max(1, len(ids) - keep // 2)] if seeded.random() < 0.5 else ids[max(0, keep // 2) :] or ids[:1]
        for packet_id in done:
            del live[packet_id]
            session.acknowledged(packet_types.PUBACK, packet_id)
    assert not session.messages
    assert session.unfinished == 0


def test_the_promises_hold_while_identifiers_wrap() -> None:
    seeded = random.Random(1)
    world = World()
    world.connect(present=False)
    for end in world.ends:  # just before the wrap, as after 65,520 finished messages
        end.session.next = end.session.sent = end.session.first = SPAN - 15
    for _ in range(60):
        for end in world.ends:
            for _ in range(seeded.randrange(4)):
                end.publish(seeded.choice((1, 2)))
            end.flush()
            end.move(seeded.randrange(100))
            if seeded.random() < 0.7:
                end.handle()
        if seeded.random() < 0.2:
            world.cut()
            world.connect()
    world.settle()
    assert world.a.session.next > SPAN + 20


def test_a_queue_longer_than_the_identifiers_is_sent_in_order() -> None:
    session = Session(window=20)
    for number in range(SPAN + 100):
        session.publish(HEAD1, number.to_bytes(4, "big"))
    out: list[bytes] = []
    session.connected(out, False)
    seen = 0
    while out:
        batch = out[:]
        out.clear()
        for at in range(0, len(batch), 3):
            assert int.from_bytes(batch[at + 2], "big") == seen
            seen += 1
            session.acknowledged(packet_types.PUBACK, int.from_bytes(batch[at + 1], "big"))
    assert seen == SPAN + 100
