"""MQTT 5.0: what clients of both versions get from each other, and what they are told."""

from typing import Any

import pytest

from tests.broker.five import DISCONNECT, PUBACK, PUBCOMP, PUBREC, PUBREL, Five, Message, packet
from tests.broker.world import World
from tests.statements import statement

NO_LOCAL, AS_PUBLISHED = 4, 8
RICH: dict[str, object] = {
    "PayloadFormatIndicator": 1,
    "ContentType": "text/plain",
    "ResponseTopic": "answers",
    "CorrelationData": b"\0\1",
    "UserProperty": [("a", "1"), ("a", "2"), ("ü", "")],
}


@statement("5.0", "MQTT-3.3.2-4", "MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-17", "MQTT-3.3.2-18", "MQTT-3.3.2-20")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_properties_arrive_as_they_were_sent_and_in_their_order(qos: int) -> None:
    world = World()
    a = Five(world, "a")
    assert a.subscribe("t", 2) == 2
    Five(world, "b").publish("t", b"x", qos=qos, **RICH)
    (message,) = a.messages()
    assert message[:4] == ("t", b"x", qos, False)
    assert message.properties == RICH


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_each_client_gets_a_message_in_the_version_that_it_speaks(qos: int) -> None:
    world = World()
    old, new = world.connect("old"), Five(world, "new")
    old.subscribe("t", qos=2)
    new.subscribe("t", 2)
    Five(world, "p5").publish("t", b"from 5", qos=qos, **RICH)
    world.connect("p4").publish("t", b"from 4", qos=qos)
    assert old.messages() == [("t", b"from 5", qos, False), ("t", b"from 4", qos, False)]
    assert [message.payload for message in new.messages()] == [b"from 5", b"from 4"]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_what_comes_in_one_read_with_its_connect_is_read_in_the_version_that_this_says(qos: int) -> None:
    """A client need not wait for CONNACK (3.1.4)."""
    world = World()
    a = Five(world, "a")
    a.subscribe("t", 2)
    connect = packet(0x10, b"\0\4MQTT\5\2\0\0\0\0\1b")
    body = b"\0\1t" + b"\0\1" * (qos > 0) + b"\x07\x26\0\1n\0\1v" + b"x"
    world.open().raw(connect + packet(0x30 | qos << 1, body))
    assert [(m.payload, m.properties) for m in a.messages()] == [(b"x", {"UserProperty": [("n", "v")]})]


def test_what_is_queued_is_sent_in_the_version_that_the_client_speaks_when_it_comes_back() -> None:
    world = World()
    away = world.connect("c", clean=False)
    away.subscribe("t", qos=1)
    away.disconnect()
    publisher = Five(world, "p")
    publisher.publish("t", b"1", qos=1, ContentType="a")
    world.connect("q").publish("t", b"2", qos=1)
    back = Five(world, "c", clean=False, present=True, SessionExpiryInterval=60)
    assert [(m.payload, m.properties) for m in back.messages()] == [(b"1", {"ContentType": "a"}), (b"2", {})]
    back.cut()
    again = world.connect("c", clean=False, present=True)
    assert again.messages() == [("t", b"1", 1, False), ("t", b"2", 1, False)]


@statement("5.0", "MQTT-3.3.2-5", "MQTT-3.3.2-6")
def test_a_message_goes_on_with_the_time_that_it_has_left_and_not_when_it_has_none() -> None:
    world = World()
    away = Five(world, "c", SessionExpiryInterval=600)
    away.subscribe("t", 1)
    away.cut()
    publisher = Five(world, "p")
    publisher.publish("t", b"short", qos=1, MessageExpiryInterval=5)
    publisher.publish("t", b"long", qos=1, MessageExpiryInterval=60)
    publisher.publish("t", b"for ever", qos=1)
    world.wait(20_000)
    back = Five(world, "c", clean=False, present=True, SessionExpiryInterval=600)
    found = [(m.payload, m.properties.get("MessageExpiryInterval")) for m in back.messages()]
    assert found == [(b"long", 40), (b"for ever", None)]
    assert world.stats.dropped_expired == 1


@statement("5.0", "MQTT-3.3.2-5")
def test_a_client_of_3_1_1_gets_no_message_that_has_expired() -> None:
    world = World()
    away = world.connect("c", clean=False)
    away.subscribe("t", qos=2)
    away.disconnect()
    Five(world, "p").publish("t", b"gone", qos=2, MessageExpiryInterval=1)
    world.wait(1000)
    assert world.connect("c", clean=False, present=True).messages() == []


def test_a_message_behind_one_that_has_expired_is_sent_and_the_window_is_free() -> None:
    world = World()
    away = Five(world, "c", SessionExpiryInterval=600)
    away.subscribe("t", 2)
    away.cut()
    publisher = Five(world, "p")
    for n in range(100):
        more = {"MessageExpiryInterval": 1} if n % 2 else {}
        publisher.publish("t", b"%d" % n, qos=2, **more)
        for got in publisher.take():
            publisher.ack(PUBREL, int.from_bytes(got.body[:2], "big")) if got.kind == PUBREC else None
    world.wait(2000)
    back = Five(world, "c", clean=False, present=True, SessionExpiryInterval=600)
    found = []
    while messages := back.messages():
        for message in messages:
            found.append(int(message.payload))
            back.ack(PUBREC, message.packet_id)
            back.ack(PUBCOMP, message.packet_id)
        world.engine.sessions[b"c"].session.check()
    assert found == list(range(0, 100, 2))


@statement("5.0", "MQTT-3.8.3-3")
def test_no_local_keeps_a_clients_own_messages_from_it_and_nobody_elses() -> None:
    world = World()
    a, b = Five(world, "a"), Five(world, "b")
    a.subscribe("t", 1, options=NO_LOCAL)
    b.subscribe("t", 1)
    a.publish("t", b"mine", qos=1)
    b.publish("t", b"yours", qos=1)
    assert a.payloads() == [b"yours"]
    assert b.payloads() == [b"mine", b"yours"]


@statement("5.0", "MQTT-3.8.3-4")
def test_no_local_for_a_shared_subscription_ends_the_connection() -> None:
    client = Five(World(), "c")
    client.subscribe("$share/g/t", 1, options=NO_LOCAL)
    assert client.closed
    assert [(got.kind, got.reason) for got in client.after] == [(DISCONNECT, 0x82)]


@statement("5.0", "MQTT-3.3.1-12", "MQTT-3.3.1-13")
def test_retain_as_published() -> None:
    world = World()
    a, b = Five(world, "a"), Five(world, "b")
    a.subscribe("t", options=AS_PUBLISHED)
    b.subscribe("t")
    publisher = Five(world, "p")
    publisher.publish("t", b"1", retain=True)
    publisher.publish("t", b"2")
    assert [m.retain for m in a.messages()] == [True, False]
    assert [m.retain for m in b.messages()] == [False, False]


@statement("5.0", "MQTT-3.3.1-9", "MQTT-3.3.1-10", "MQTT-3.3.1-11")
@pytest.mark.parametrize(("handling", "first", "second"), [(0, 1, 1), (1, 1, 0), (2, 0, 0)])
def test_retain_handling(handling: int, first: int, second: int) -> None:
    world = World()
    Five(world, "p").publish("t", b"kept", retain=True, ContentType="a")
    client = Five(world, "c")
    for count in (first, second):
        client.subscribe("t", 1, options=handling << 4)
        found = client.messages()
        assert found == [Message("t", b"kept", 0, True, {"ContentType": "a"})] * count


@statement("5.0", "MQTT-3.3.2-5", "MQTT-3.3.2-6")
def test_a_retained_message_expires() -> None:
    world = World()
    Five(world, "p").publish("t", b"kept", retain=True, MessageExpiryInterval=10)
    world.wait(4000)
    client = Five(world, "c")
    client.subscribe("t")
    assert [m.properties for m in client.messages()] == [{"MessageExpiryInterval": 6}]
    world.wait(6000)
    client.subscribe("t")
    assert client.messages() == []
    assert world.engine.router.retained.get(b"t") is None


@statement("5.0", "MQTT-3.3.4-2", "MQTT-3.3.4-3", "MQTT-3.3.4-4")
def test_overlapping_subscriptions_give_one_copy_with_the_highest_qos_and_all_identifiers() -> None:
    world = World()
    client = Five(world, "c")
    client.subscribe("t/#", 0, SubscriptionIdentifier=7)
    client.subscribe("t/1", 2, SubscriptionIdentifier=268435455)
    client.subscribe("+/1", 1)
    Five(world, "p").publish("t/1", b"x", qos=2)
    (message,) = client.messages()
    assert message.qos == 2
    assert sorted(message.properties["SubscriptionIdentifier"]) == [7, 268435455]


def test_a_subscription_again_has_the_new_options_alone() -> None:
    world = World()
    client = Five(world, "c")
    client.subscribe("t", 2, options=NO_LOCAL, SubscriptionIdentifier=7)
    client.subscribe("t", 1)
    client.publish("t", b"x", qos=2)
    (message,) = client.messages()
    assert (message.qos, message.properties) == (1, {})


@statement("5.0", "MQTT-3.1.2-24", "MQTT-3.1.2-25")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_what_is_larger_than_a_client_takes_is_not_sent_and_the_next_one_is(qos: int) -> None:
    world = World()
    client = Five(world, "c", MaximumPacketSize=100)
    client.subscribe("t", 2)
    publisher = Five(world, "p")
    publisher.publish("t", bytes(200), qos=qos)
    head = 1 + 1 + 2 + 1 + (2 if qos else 0) + 1
    publisher.publish("t", bytes(100 - head), qos=qos)
    publisher.publish("t", bytes(101 - head), qos=qos)
    assert [len(payload) for payload in client.payloads()] == [100 - head]
    assert world.stats.dropped_too_large == 2


@statement("5.0", "MQTT-3.3.4-9", "MQTT-3.1.2-11")
def test_no_more_than_the_receive_maximum_is_under_way_until_pubcomp() -> None:
    world = World()
    client = Five(world, "c", ReceiveMaximum=2)
    client.subscribe("t", 2)
    publisher = world.connect("p")
    for n in range(4):
        publisher.publish("t", b"%d" % n, qos=2)
    one, two = client.messages()
    assert (one.payload, two.payload) == (b"0", b"1")
    client.ack(PUBREC, one.packet_id)
    assert client.messages() == []
    client.ack(PUBCOMP, one.packet_id)
    assert client.payloads() == [b"2"]


def test_the_window_of_a_session_is_that_of_its_connection() -> None:
    world = World()
    Five(world, "c", ReceiveMaximum=2, SessionExpiryInterval=60).subscribe("t", 1)
    client = world.connect("c", clean=False, present=True)
    publisher = world.connect("p")
    for _ in range(30):
        publisher.publish("t", b"x", qos=1)
    assert len(client.messages()) == 20


@statement("5.0", "MQTT-3.3.2-8", "MQTT-3.3.2-10", "MQTT-3.3.2-12")
def test_topic_aliases_both_ways() -> None:
    world = World()
    client = Five(world, "c", TopicAliasMaximum=1)
    client.subscribe("#", 1)
    publisher = Five(world, "p")
    assert publisher.announced["TopicAliasMaximum"] == 32
    publisher.publish("a/long/topic", b"1", qos=1, TopicAlias=3)
    publisher.publish("", b"2", qos=1, TopicAlias=3)
    publisher.publish("another/topic", b"3", qos=1, TopicAlias=3)
    publisher.publish("", b"4", qos=1, TopicAlias=3)
    found = [(m.topic, m.payload, m.properties.get("TopicAlias")) for m in client.messages()]
    assert found == [
        ("a/long/topic", b"1", 1),
        ("", b"2", 1),
        ("another/topic", b"3", None),
        ("another/topic", b"4", None),
    ]


@pytest.mark.parametrize(
    ("topic", "alias", "reason"),
    [("t", 0, 0x94), ("t", 33, 0x94), ("", 1, 0x82), ("", None, 0x82), ("a/#", None, 0x81)],
)
def test_a_wrong_topic_alias_or_name_ends_the_connection_with_its_reason(
    topic: str, alias: int | None, reason: int
) -> None:
    client = Five(World(), "c")
    block = b"\x03\x23" + alias.to_bytes(2, "big") if alias is not None else b"\0"
    client.wire.raw(bytes((0x30, 2 + len(topic) + len(block))) + len(topic).to_bytes(2, "big") + topic.encode() + block)
    assert client.closed
    assert [(got.kind, got.reason) for got in client.take()] == [(DISCONNECT, reason)]


def test_aliases_end_with_the_connection() -> None:
    world = World()
    client = Five(world, "c", SessionExpiryInterval=60)
    client.publish("t", TopicAlias=1)
    client.cut()
    client = Five(world, "c", clean=False, present=True)
    client.publish("", TopicAlias=1)
    assert client.closed


@statement("5.0", "MQTT-3.1.3-6", "MQTT-3.1.3-7", "MQTT-3.2.2-16")
def test_a_client_without_an_identifier_is_told_the_one_that_it_has() -> None:
    world = World()
    client = Five(world, "", clean=False, SessionExpiryInterval=60)
    name = client.announced["AssignedClientIdentifier"]
    client.subscribe("t")
    client.cut()
    Five(world, name, clean=False, present=True)


@statement("5.0", "MQTT-3.1.2-28")
def test_response_information_is_given_to_who_asks_for_it() -> None:
    world = World()
    assert "ResponseInformation" not in Five(world, "a").announced
    assert Five(world, "b", RequestResponseInformation=1).announced["ResponseInformation"] == "responses/b"


def test_who_is_taken_over_is_told_so() -> None:
    world = World()
    first = Five(world, "c")
    Five(world, "c")
    assert [(got.kind, got.reason) for got in first.take()] == [(DISCONNECT, 0x8E)]


@statement("5.0", "MQTT-3.1.2-22")
def test_who_is_silent_is_told_so() -> None:
    world = World()
    client = Five(world, "c", keep_alive_s=1)
    world.wait(1500)
    assert [(got.kind, got.reason) for got in client.take()] == [(DISCONNECT, 0x8D)]


def test_an_unsubscribe_of_nothing_says_so() -> None:
    client = Five(World(), "c")
    client.subscribe("t")
    assert client.unsubscribe("t") == 0
    assert client.unsubscribe("t") == 0x11


def test_a_limit_is_told_in_the_acknowledgement_and_the_connection_goes_on() -> None:
    world = World(retained_message_bytes=10)
    client = Five(world, "c")
    client.publish("t", bytes(11), qos=1, retain=True)
    client.publish("t", bytes(11), qos=2, retain=True)
    client.publish("t/" * 20, qos=1)
    client.publish("t", b"x", qos=1)
    found = [(got.kind, got.reason) for got in client.take()]
    assert found == [(PUBACK, 0x97), (PUBREC, 0x97), (PUBACK, 0x90), (PUBACK, 0x10)]
    client.publish("t", b"x", qos=2, dup=True)
    assert not client.closed


def test_the_properties_of_a_retained_message_count_as_its_payload_does() -> None:
    world = World(retained_message_bytes=1000, retained_bytes=12_000)
    client = Five(world, "c")
    much: dict[str, Any] = {"UserProperty": [("k", "v" * 900)]}
    client.publish("large", b"x", qos=1, retain=True, UserProperty=[("k", "v" * 1000)])
    for number in range(10):
        client.publish(f"t/{number}", b"first", qos=1, retain=True)
    for number in range(10):
        client.publish(f"t/{number}", b"x", qos=1, retain=True, **much)  # less payload, and more of it all
    reasons = [got.reason for got in client.take()]
    assert reasons[:12] == [0x97] + 11 * [0x10]
    assert reasons[-5:] == 5 * [0x97]
    assert world.engine.ledger.retained <= 12_000
    client.publish("t/0", b"", qos=1, retain=True, **much)  # makes room, whatever comes with it
    assert [got.reason for got in client.take()] == [0x10]


@pytest.mark.parametrize("more", [{}, {"ContentType": "a"}])
def test_who_publishes_to_nobody_is_told_so(more: dict[str, object]) -> None:
    world = World()
    client = Five(world, "c")
    for filters, reason in ((), 0x10), (("t",), 0), (("$share/g/t",), 0):
        for each in filters:
            client.subscribe(each)
        for qos in (1, 2):
            client.publish("t", b"x", qos=qos, **more)
            client.publish("other", b"x", qos=qos, **more)
        acknowledged = [(got.kind, got.reason) for got in client.take() if got.kind in (PUBACK, PUBREC)]
        assert acknowledged == [(PUBACK, reason), (PUBACK, 0x10), (PUBREC, reason), (PUBREC, 0x10)]
        for each in filters:
            client.unsubscribe(each)
    world.engine.sessions[b"c"].session.check()
    number = len(world.engine.sessions[b"c"].session.inbound)
    assert number == 6
