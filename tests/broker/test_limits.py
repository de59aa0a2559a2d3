"""Limits: each bites where it should, is counted, spares everybody else. Queues:
test_backpressure; retained messages: test_retained.
"""

import itertools

import pytest

from mqttlite.broker.counting.ledger import MESSAGE
from tests.broker.world import World
from tests.core.packets import Packet, encode


def test_a_packet_above_the_limit_ends_the_connection_when_its_length_is_known() -> None:
    world = World(packet_bytes=100)
    wire = world.connect("c")
    wire.publish("t", bytes(97))
    assert not wire.closed
    wire.raw(b"\x30\x65")
    assert wire.closed
    assert world.stats.limits["packet_bytes"] == 1


def test_filters_with_too_many_levels_or_bytes_are_refused() -> None:
    world = World(topic_levels=4, topic_bytes=20)
    client = world.connect("c")
    assert client.subscribe("a/b/c/d", "a/b/c/d/e", "x" * 20, "x" * 21) == [0, 0x80, 0, 0x80]
    assert world.stats.limits == {"topic_levels": 1, "topic_bytes": 1}


@pytest.mark.parametrize("topic", ["a/b/c/d/e", "x" * 21])
def test_a_topic_name_with_too_many_levels_or_bytes_ends_the_connection(topic: str) -> None:
    world = World(topic_levels=4, topic_bytes=20)
    client = world.connect("c")
    client.publish("a/b/c/d")
    client.publish("x" * 20)
    assert not client.closed
    client.publish(topic, qos=1)
    assert client.closed
    assert client.packets() == []
    limit = "topic_bytes" if "/" not in topic else "topic_levels"
    assert world.stats.limits == {"closed": 1, limit: 1}


def test_a_client_has_a_limited_number_of_filters_and_can_still_change_them() -> None:
    world = World(filters=3)
    client = world.connect("c")
    assert client.subscribe("a", "b", "c", "d") == [0, 0, 0, 0x80]
    assert client.subscribe("c", qos=1) == [1]
    client.unsubscribe("a")
    assert client.subscribe("d", qos=1) == [1]
    assert world.stats.limits == {"filters": 1}


def test_a_connection_too_many_is_closed_at_once() -> None:
    world = World(connections=2)
    one = world.connect("1")
    world.connect("2")
    assert world.open("somewhere else:1").closed
    assert not one.closed
    one.cut()
    assert not world.open().closed
    assert world.stats.limits == {"connections": 1}


def test_the_oldest_connection_without_connect_makes_room_once_it_has_had_its_time() -> None:
    world = World(half_open=2, half_open_ms=1000)
    client = world.connect("c")
    silent = [world.open() for _ in range(3)]
    assert not any(wire.closed for wire in silent)  # a burst is no attack
    world.wait(1000)
    fresh = world.open()
    assert [wire.closed for wire in silent] == [True, True, False]
    assert not fresh.closed
    assert not client.closed
    assert world.stats.limits == {"half_open": 2}


def test_persistent_sessions_are_limited_clean_ones_are_not() -> None:
    world = World(persistent_sessions=2)
    a = world.connect("a", clean=False)
    a.subscribe("t", qos=1)
    a.cut()
    world.connect("b", clean=False).publish("t", b"x", qos=1)
    world.connect("c", clean=False, code=3)
    world.connect("d")
    world.connect("a", clean=False, present=True)
    assert world.stats.limits == {"persistent_sessions": 1}
    assert world.stats.refused == 1


def test_two_clients_that_fight_for_an_identifier_are_stopped_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    world = World(takeovers_a_minute=5)
    for _ in range(21):
        holder = world.connect("c")
    refused = world.connect("c", code=3)
    assert refused.closed
    assert not holder.closed
    assert "two clients share its identifier; refused address of c" in caplog.text
    world.wait(60_000)
    world.connect("c")
    assert holder.closed


def test_messages_of_qos_2_that_are_never_released_are_limited() -> None:
    world = World(inbound=3)
    client = world.connect("c")
    for packet_id in (1, 2, 3):
        client.publish("t", qos=2, packet_id=packet_id)
    assert not client.closed
    client.publish("t", qos=2, packet_id=4)
    assert client.closed
    assert client.kinds() == ["pubrec"] * 3
    assert world.stats.limits["inbound"] == 1


def test_a_publisher_that_loses_its_memory_again_and_again_is_never_locked_out() -> None:
    world = World(inbound=30)
    for life in range(20):  # each leaves 18 identifiers behind
        client = world.connect("c", clean=False, present=life > 0)
        for packet_id in range(life * 18 + 1, life * 18 + 19):
            client.publish("t", b"%d" % life, qos=2, packet_id=packet_id)
        assert client.kinds()[-18:] == ["pubrec"] * 18
        client.cut()
    client = world.connect("c", clean=False, present=True)
    client.publish("t", b"19", qos=2, packet_id=20 * 18, dup=True)
    assert client.kinds()[-1] == "pubrec", "the newest are remembered"
    assert len(world.engine.sessions[b"c"].session.inbound) == 30


def test_the_log_of_a_limit_is_one_line_in_ten_seconds_and_counts_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    world = World(filters=0)
    client = world.connect("c")
    for _ in range(50):
        client.subscribe("t")
    assert caplog.text.count("limit filters") == 1
    world.now += 10_000
    client.subscribe("t")
    assert "'c' at address of c: topic filter refused (50 times since the last such line)" in caplog.text


@pytest.mark.parametrize("limit", ["filters_bytes", "all_filters_bytes"])
def test_topic_filters_are_bounded_in_bytes_by_client_and_together_and_give_back_what_they_took(limit: str) -> None:
    world = World(**{limit: 5000})
    one, two = world.connect("1"), world.connect("2")
    codes = one.subscribe(*[f"a/b/{number}" for number in range(10)])
    granted = codes.count(0)
    assert 0 < granted < 10
    assert codes == [0] * granted + [0x80] * (10 - granted)
    assert two.subscribe("a/b/c") == ([0] if limit == "filters_bytes" else [0x80])
    one.unsubscribe("a/b/0")
    assert two.subscribe("a/b/d") == [0]
    assert world.stats.limits[limit] > 0
    one.disconnect()
    two.disconnect()
    assert world.engine.ledger.filters == 0


def test_ten_thousand_filters_are_granted_by_default() -> None:
    world = World()
    client = world.connect("home")
    assert client.subscribe(*[f"zigbee2mqtt/device{n}/availability" for n in range(10_000)]) == [0] * 10_000


def test_of_half_received_packets_who_has_most_pays() -> None:
    world = World(received_bytes=100_000)
    wires = [world.connect(f"c{n}") for n in range(4)]
    for size, wire in zip((100, 60_000, 30_000, 20_000), wires, strict=True):
        wire.raw(b"\x30\xff\xff\x03\x00\x01t" + bytes(size))
    assert [wire.closed for wire in wires] == [False, True, False, False]
    assert world.engine.ledger.received < 60_000
    wires[2].raw(bytes(65535))
    assert world.stats.limits["received_bytes"] == 1
    for wire in wires:
        wire.cut()
    assert world.engine.ledger.received == 0


def test_of_output_that_stands_who_has_most_pays() -> None:
    world = World(output_bytes=100_000)
    wires = [world.connect(f"c{n}") for n in range(3)]
    for size, wire in zip((30_000, 60_000, 20_000), wires, strict=True):
        wire.unwritten = size
        wire.writable(False)
    wires[2].send("pingreq")
    assert [wire.closed for wire in wires] == [False, True, False]
    wires[0].writable(True)
    assert world.engine.ledger.output == 20_000
    wires[2].cut()
    assert world.engine.ledger.output == 0


def test_output_is_bounded_while_one_message_is_written_to_many() -> None:
    world = World(output_bytes=100_000)
    wires = [world.connect(f"c{n}") for n in range(20)]
    engine = world.engine
    for wire in wires:  # in one turn of the shell, before the engine is called again
        wire.unwritten = 30_000
        engine.set_writable(wire.peer, False, world.now)
        assert engine.ledger.output <= 100_000
        while engine.cut_off:  # the shell throws away what was written to them
            engine.cut_off.pop().handle.unwritten = 0
    world.flush()
    assert sum(wire.closed for wire in wires) == 17


def test_a_topic_that_very_many_filters_match_costs_more_of_a_turn() -> None:
    world = World(turn_work=100)
    client, publisher = world.connect("c"), world.connect("p")
    for levels in itertools.product("a+", repeat=10):
        client.subscribe("/".join(levels))
    fields = {"payload": b"", "qos": 0, "retain": False, "dup": False, "packet_id": 0}
    packets = [encode(Packet("publish", {"topic": f"a/a/a/a/a/a/a/a/a/{n}", **fields})) for n in range(50)]
    world.engine.receive(publisher.peer, b"".join(packets), world.now)
    count = len(client.peer.out)
    assert 0 < count < 50
    world.flush()
    assert len(client.messages()) == 50


def test_an_idle_connection_keeps_nothing_of_what_it_has_read() -> None:
    world = World()
    client = world.connect("c")
    client.raw(b"\xc0\x00" * 30_000)
    assert len(client.peer.parser.buf) <= 4096


def test_forty_thousand_messages_for_a_subscriber_that_takes_none_are_kept_and_the_books_are_right() -> None:
    world = World(queue_bytes=8 << 20)
    reader = world.connect("reader", clean=False)
    reader.subscribe("t/#", qos=1)
    publishers = [world.connect(f"p{n}") for n in range(20)]
    for count in range(2000):
        for number, publisher in enumerate(publishers):
            packet = bytes((0x32, 4 + 4 + 100, 0, 4)) + b"t/%02d" % number + (count % 60 + 1).to_bytes(2, "big")
            world.engine.receive(publisher.peer, packet + bytes(100), world.now)
        if count % 100 == 99:
            world.flush()
            world.wait(1000)
    world.flush()
    assert world.stats.messages_received == 40_000
    assert world.stats.messages_dropped == 0
    state = world.engine.sessions[b"reader"].session
    assert state.bytes == world.engine.ledger.queued == 40_000 * (1 + 1 + 2 + 4 + 100 + MESSAGE)
    assert not reader.closed or len(state.messages) == 40_000
