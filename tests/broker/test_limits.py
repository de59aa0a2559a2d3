"""Limits: each bites where it should, is counted, spares everybody else. Queues: test_flow; retained: test_retained."""

import pytest

from tests.broker.world import World


def test_a_packet_above_the_limit_ends_the_connection_when_its_length_is_known() -> None:
    world = World(packet_bytes=100)
    wire = world.connect("c")
    wire.publish("t", bytes(97))
    assert not wire.closed
    wire.raw(b"\x30\x65")
    assert wire.closed


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
    assert world.stats.limits == {"closed": 1}


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
    one, _, three = world.open(), world.open(), world.open()
    assert three.closed
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
    assert [wire.closed for wire in silent] == [True, False, False]
    assert not fresh.closed
    assert not client.closed
    assert world.stats.limits == {"half_open": 1}


def test_persistent_sessions_are_limited_clean_ones_are_not() -> None:
    world = World(persistent_sessions=2)
    a = world.connect("a", clean=False)
    a.send("pingreq")
    a.cut()
    world.connect("b", clean=False)
    world.connect("c", clean=False, code=3)
    world.connect("d")
    world.connect("a", clean=False, present=True)
    assert world.stats.limits == {"persistent_sessions": 1}
    assert world.stats.refused == 1


def test_two_clients_that_fight_for_an_identifier_are_stopped_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    world = World(takeovers_a_minute=5)
    for _ in range(6):
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


def test_the_log_of_a_limit_is_one_line_in_ten_seconds_and_counts_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    world = World(filters=0)
    client = world.connect("c")
    for _ in range(50):
        client.subscribe("t")
    assert caplog.text.count("limit filters") == 1
    world.now += 10_000
    client.subscribe("t")
    assert "'c' at address of c: topic filter refused (50 times since the last such line)" in caplog.text
