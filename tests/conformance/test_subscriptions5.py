"""What a server of MQTT 5.0 has to do about subscriptions, statement by statement: byte sequences against the broker's
engine. What it refuses is in test_malformed5.py.
"""

import pytest

from tests.broker.five import (
    PUBACK,
    PUBREC,
    PUBREL,
    SUBACK,
    UNSUBACK,
    Five,
    Got,
    packet,
    prefixed,
)
from tests.broker.world import World
from tests.conformance.clients5 import KEPT, back, two
from tests.statements import statement


@statement("5.0", "MQTT-3.8.4-3", "MQTT-3.8.4-4", "MQTT-3.3.1-9")
def test_the_same_filter_again_replaces_its_subscription_and_loses_nothing() -> None:
    world, client, publisher = two(2, ReceiveMaximum=1)
    publisher.publish("t", b"kept", retain=True)
    publisher.publish("t", b"1", qos=1)
    publisher.publish("t", b"2", qos=1)
    assert client.payloads() == [b"kept", b"1"]
    assert client.subscribe("t", 1) == 1
    publisher.publish("t", b"3", qos=2)
    client.ack(PUBACK, 1)
    messages = client.messages()
    found = [(m.payload, m.retain) for m in messages]
    for n in (2, 3, 4):
        client.ack(PUBACK, n)
        found += [(m.payload, m.retain) for m in client.messages()]
    assert sorted(found) == [(b"2", False), (b"3", False), (b"kept", True)]
    assert len(world.engine.sessions[b"c"].subscriptions) == 1
    publisher.publish("t", b"4", qos=2)
    assert [m.qos for m in client.messages()] == [1]


@statement("5.0", "MQTT-3.8.4-5", "MQTT-3.8.4-7", "MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-3.8.4-6", "MQTT-3.9.3-1")
@statement("5.0", "MQTT-3.9.3-2", "MQTT-2.2.1-6", "MQTT-3.2.2-8")
def test_many_filters_in_a_subscribe_are_as_many_subscribes_with_one_answer() -> None:
    world = World(filters=3)
    Five(world, "p").publish("b", b"kept", retain=True)
    client = Five(world, "c")
    filters = [(b"a", 2), (b"b", 0), (b"a", 1), (b"a/" * 20, 1), (b"c", 0x29), (b"d", 1)]
    client.wire.raw(packet(0x82, b"\1\2\0" + b"".join(prefixed(each) + bytes((o,)) for each, o in filters)))
    suback, message = client.take()
    assert suback.plain == Got(SUBACK, 0, b"\1\2\0" + bytes((2, 0, 1, 0x8F, 1, 0x97)))
    assert message.body.endswith(b"kept")
    assert set(world.engine.sessions[b"c"].subscriptions) == {b"a", b"b", b"c"}


@statement("5.0", "MQTT-3.10.4-1", "MQTT-3.10.4-2", "MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-3.10.4-6", "MQTT-3.11.3-1")
@statement("5.0", "MQTT-3.11.3-2")
def test_an_unsubscribe_ends_exactly_the_filters_that_it_names() -> None:
    world = World()
    client = Five(world, "c")
    for each in ("a/#", "a/+", "a", "$share/g/a", "A"):
        client.subscribe(each, SubscriptionIdentifier=1)
    filters = (b"a/#", b"a/b", b"a", b"a", b"$share/g/a", b"$share/h/a")
    client.wire.raw(packet(0xA2, b"\1\2\0" + b"".join(map(prefixed, filters))))
    assert client.take() == [Got(UNSUBACK, 0, b"\1\2\0" + bytes((0, 0x11, 0, 0x11, 0, 0x11)))]
    publisher = Five(world, "p")
    for topic in ("a", "a/b", "A", "a/b/c"):
        publisher.publish(topic, b"x")
    assert [m.topic for m in client.messages()] == ["a/b", "A"]


@statement("5.0", "MQTT-3.10.4-2", "MQTT-3.10.4-3")
@pytest.mark.parametrize("qos", [1, 2])
def test_what_was_begun_is_finished_after_an_unsubscribe(qos: int) -> None:
    world, client, publisher = two(qos, **KEPT)
    publisher.publish("t", b"begun", qos=qos)
    (message,) = client.messages()
    assert client.unsubscribe("t") == 0
    publisher.publish("t", b"after", qos=qos)
    client.cut()
    client = back(world)
    assert [(m.payload, m.packet_id) for m in client.messages()] == [(b"begun", message.packet_id)]
    if qos == 2:
        client.ack(PUBREC, message.packet_id)
        assert client.take() == [Got(PUBREL, 2, message.packet_id.to_bytes(2, "big"))]
