"""Retained messages (3.3.1.3)."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqttlite.broker.counting.ledger import Ledger
from mqttlite.broker.limits import Limits
from mqttlite.broker.messages.retained import RetainedMessages
from mqttlite.core.matching import matches
from tests.broker.topics.test_subscriptions import filters, names
from tests.broker.world import World
from tests.statements import statement


@statement("3.1.1", "MQTT-3.3.1-5", "MQTT-3.3.1-6", "MQTT-3.3.1-8", "MQTT-3.8.4-6")
def test_a_new_subscription_gets_the_last_retained_message_with_retain_1_at_the_lower_qos() -> None:
    world = World()
    publisher = world.connect("p")
    publisher.publish("t", b"old", qos=1, retain=True)
    publisher.publish("t", b"new", qos=2, retain=True)
    for granted in (0, 1, 2):
        client = world.connect(f"c{granted}")
        client.subscribe("t", qos=granted)
        assert client.messages() == [("t", b"new", granted, True)]


@statement("3.1.1", "MQTT-3.3.1-9")
def test_an_existing_subscription_gets_a_retained_message_with_retain_0() -> None:
    world = World()
    client = world.connect("c")
    client.subscribe("t")
    world.connect("p").publish("t", b"x", retain=True)
    assert client.messages() == [("t", b"x", 0, False)]


@statement("3.1.1", "MQTT-3.3.1-10", "MQTT-3.3.1-11")
def test_an_empty_retained_message_is_delivered_and_removes_what_was_retained() -> None:
    world = World()
    client, publisher = world.connect("c"), world.connect("p")
    publisher.publish("t", b"x", retain=True)
    client.subscribe("t")
    client.packets()
    publisher.publish("t", b"", retain=True)
    assert client.messages() == [("t", b"", 0, False)]
    client.subscribe("t")
    assert client.messages() == []
    assert world.engine.ledger.retained == 0


@statement("3.1.1", "MQTT-3.3.1-12")
def test_a_message_without_retain_neither_replaces_nor_removes_the_retained_one() -> None:
    world = World()
    publisher = world.connect("p")
    publisher.publish("t", b"kept", retain=True)
    publisher.publish("t", b"passing")
    publisher.publish("t", b"")
    client = world.connect("c")
    client.subscribe("t")
    assert client.payloads() == [b"kept"]


@statement("3.1.1", "MQTT-3.3.1-7")
def test_a_qos_0_retained_message_replaces_one_of_a_higher_qos() -> None:
    world = World()
    publisher = world.connect("p")
    publisher.publish("t", b"2", qos=2, retain=True)
    publisher.publish("t", b"0", qos=0, retain=True)
    client = world.connect("c")
    client.subscribe("t", qos=2)
    assert client.messages() == [("t", b"0", 0, True)]


@statement("3.1.1", "MQTT-3.8.4-3")
def test_subscribing_again_sends_retained_messages_again_and_replaces_the_subscription() -> None:
    world = World()
    publisher = world.connect("p")
    publisher.publish("t", b"x", qos=1, retain=True)
    client = world.connect("c")
    client.subscribe("t", qos=0)
    client.subscribe("t", qos=1)
    assert client.messages() == [("t", b"x", 0, True), ("t", b"x", 1, True)]
    publisher.publish("t", b"y", qos=1)
    assert client.messages() == [("t", b"y", 1, False)]


def test_retained_messages_follow_suback() -> None:
    world = World()
    world.connect("p").publish("t", b"x", retain=True)
    client = world.connect("c")
    client.send("subscribe", packet_id=1, subscriptions=[("t", 0)])
    assert client.kinds() == ["suback", "publish"]


def test_a_retained_message_outlives_its_publisher_and_reaches_a_resumed_session_only_when_it_subscribes() -> None:
    world = World()
    client = world.connect("c", clean=False)
    client.subscribe("t", qos=1)
    client.cut()
    publisher = world.connect("p")
    publisher.publish("t", b"x", retain=True)
    publisher.disconnect()
    client = world.connect("c", clean=False, present=True)
    assert client.messages() == []
    client.subscribe("t", qos=1)
    assert client.messages() == [("t", b"x", 0, True)]


@given(st.sets(names, max_size=10), filters)
def test_retained_messages_are_found_by_the_same_rules_as_subscriptions(
    topics: set[bytes], topic_filter: bytes
) -> None:
    retained = RetainedMessages(Limits(), Ledger())
    for topic in topics:
        retained.store(topic, b"x", 0)
    found = [message.topic for message in retained.matching(topic_filter) if message]
    assert sorted(found) == sorted(topic for topic in topics if matches(topic_filter, topic))


@given(st.lists(st.tuples(names, st.sampled_from([b"", b"x", b"longer"])), max_size=30))
def test_the_account_of_retained_messages_is_that_of_what_is_there(changes: list[tuple[bytes, bytes]]) -> None:
    retained = RetainedMessages(Limits(), ledger := Ledger())
    wanted: dict[bytes, bytes] = {}
    for topic, payload in changes:
        retained.store(topic, payload, 0)
        wanted[topic] = payload
    fresh = RetainedMessages(Limits(), other := Ledger())
    for topic, payload in wanted.items():
        fresh.store(topic, payload, 0)
    assert ledger.retained == other.retained
    assert {m.topic: m.payload for m in retained.matching(b"#") if m} == {
        t: p for t, p in wanted.items() if p and t[:1] != b"$"
    }
    for topic in wanted:
        retained.store(topic, b"", 0)
    assert ledger.retained == len(retained) == 0
    assert not retained._tree


def test_a_search_can_be_left_and_taken_up_whatever_happens_meanwhile() -> None:
    retained = RetainedMessages(Limits(), Ledger())
    for number in range(100):
        retained.store(b"a/%d/b" % number, b"x", 0)
    search = retained.matching(b"a/+/b")
    found = {message.topic for message in itertools.islice(search, 50) if message}
    for number in range(0, 100, 2):
        retained.store(b"a/%d/b" % number, b"", 0)
        retained.store(b"a/%d/b/c" % number, b"y", 0)
    found |= {message.topic for message in search if message}
    assert found >= {b"a/%d/b" % number for number in range(1, 100, 2)}


@pytest.mark.parametrize(
    ("limits", "topic", "size"), [({"retained_message_bytes": 100}, "t", 101), ({"retained_bytes": 5000}, "new", 4500)]
)
@pytest.mark.parametrize("qos", [1, 2])
def test_what_cannot_be_retained_is_refused_before_it_is_acknowledged_and_the_old_value_stays(
    limits: dict[str, int], topic: str, size: int, qos: int, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(**limits)
    client, publisher = world.connect("c"), world.connect("p")
    client.subscribe("#", qos=1)
    publisher.publish("t", b"old", qos=qos, retain=True, packet_id=1)
    publisher.publish("u", b"other", retain=True)
    assert client.finish() == [b"old", b"other"]
    assert len(publisher.packets()) == 1
    publisher.publish(topic, bytes(size), qos=qos, retain=True, packet_id=2)
    assert publisher.closed
    assert publisher.packets() == []
    assert client.payloads() == []
    (name,) = limits
    assert world.stats.limits[name] == 1
    assert f"retained message of {size} bytes for '{topic}': {name} is {limits[name]}" in caplog.text
    late = world.connect("late")
    late.subscribe("t")
    assert late.payloads() == [b"old"]


def test_at_qos_0_what_cannot_be_retained_is_dropped_counted_and_logged_and_its_connection_lives(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(retained_message_bytes=100)
    client, publisher = world.connect("c"), world.connect("p")
    client.subscribe("t")
    publisher.publish("t", b"old", retain=True)
    publisher.publish("t", bytes(101), retain=True)
    assert not publisher.closed
    assert client.payloads() == [b"old"]
    client.subscribe("t")
    assert client.payloads() == [b"old"]
    assert world.stats.dropped_refused == world.stats.limits["retained_message_bytes"] == 1
    assert "retained message of 101 bytes for 't'" in caplog.text


def test_a_will_that_cannot_be_retained_is_dropped_and_counted() -> None:
    world = World(retained_message_bytes=100)
    client = world.connect("c", will=("t", bytes(101), 1, True))
    watcher = world.connect("w")
    watcher.subscribe("t", qos=1)
    client.cut()
    assert watcher.messages() == []
    assert world.stats.dropped_refused == 1
    assert world.stats.failures == 0


def test_a_retained_message_may_shrink_and_be_removed_when_there_is_no_room() -> None:
    world = World(retained_bytes=5000)
    publisher = world.connect("p")
    publisher.publish("t", bytes(4000), qos=1, retain=True)
    publisher.publish("t", bytes(3999), qos=1, retain=True)
    publisher.publish("t", bytes(4100), qos=1, retain=True)
    publisher.publish("t", b"", qos=1, retain=True)
    publisher.publish("u", bytes(4200), qos=1, retain=True)
    assert publisher.kinds() == ["puback"] * 5
