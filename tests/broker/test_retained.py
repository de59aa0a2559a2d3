"""Retained messages (3.3.1.3)."""

from hypothesis import given
from hypothesis import strategies as st

from mqttlite.broker.limits import Limits
from mqttlite.broker.retained import RetainedMessages
from mqttlite.core.matching import matches
from tests.broker.test_subscriptions import filters, names
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
    assert world.engine.router.retained.bytes == 0


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
    retained = RetainedMessages(Limits())
    for topic in topics:
        retained.store(topic, b"x", 0)
    assert {message.topic for message in retained.matching(topic_filter)} == {
        topic for topic in topics if matches(topic_filter, topic)
    }


def test_limits_of_retained_messages_are_counted_and_the_message_is_still_delivered() -> None:
    for limits, count in (
        ({"retained_topics": 2}, 2),
        ({"retained_message_bytes": 3}, 0),
        ({"retained_bytes": 11}, 2),
    ):
        world = World(**limits)
        client, publisher = world.connect("c"), world.connect("p")
        client.subscribe("#")
        for topic in ("a", "b", "c"):
            publisher.publish(topic, b"1234", retain=True)
        assert len(client.messages()) == 3
        assert len(world.engine.router.retained) == count
        assert world.stats.limits[next(iter(limits))] == 3 - count


def test_a_message_too_large_to_be_retained_still_removes_the_older_one() -> None:
    world = World(retained_message_bytes=3)
    publisher, client = world.connect("p"), world.connect("c")
    publisher.publish("t", b"old", retain=True)
    publisher.publish("t", b"newer", retain=True)
    client.subscribe("t")
    assert client.messages() == []
    assert world.engine.router.retained.bytes == 0
