"""What a server of MQTT 5.0 has to do about messages, to subscribers and from clients, statement by statement: byte
sequences against the broker's engine. What it refuses is in test_malformed5.py.
"""

import pytest

from tests.broker.five import (
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    Five,
    Got,
    Message,
    packet,
    prefixed,
)
from tests.broker.world import World
from tests.conformance.clients5 import KEPT, back, two
from tests.statements import statement

# -- PUBLISH to subscribers


@statement("5.0", "MQTT-2.2.1-2", "MQTT-2.2.1-4", "MQTT-3.3.1-1", "MQTT-3.3.1-2", "MQTT-3.3.1-3", "MQTT-4.3.1-1")
@statement("5.0", "MQTT-4.3.2-1", "MQTT-4.3.2-2", "MQTT-4.3.3-1", "MQTT-4.3.3-2", "MQTT-4.5.0-1")
@pytest.mark.parametrize("dup", [False, True])
def test_a_message_goes_out_with_its_qos_dup_0_and_an_identifier_of_its_own_if_it_needs_one(dup: bool) -> None:
    _, client, publisher = two()
    for n in range(3):
        for qos in (0, 1, 2):
            publisher.publish("t", b"%d" % n, qos=qos, dup=dup and qos > 0)
    got = client.take()
    assert [each.kind for each in got] == [PUBLISH] * 9
    assert [each.flags for each in got] == [0, 2, 4] * 3
    numbers = [int.from_bytes(each.body[3:5], "big") for each in got if each.flags]
    assert len(set(numbers)) == 6 and all(numbers)
    assert all(each.body == b"\0\1t\0%d" % n for n, each in enumerate(got[::3]))


@statement("5.0", "MQTT-4.3.2-3", "MQTT-4.3.3-3", "MQTT-4.3.3-5", "MQTT-4.3.3-6", "MQTT-4.4.0-1", "MQTT-3.3.1-1")
@statement("5.0", "MQTT-4.1.0-1")
def test_what_is_not_acknowledged_is_sent_again_on_the_next_connection_as_it_was_and_in_order() -> None:
    world, client, publisher = two(**KEPT)
    for n, qos in enumerate((1, 2, 2, 1, 2)):
        publisher.publish("t", b"%d" % n, qos=qos)
    messages = client.messages()
    client.ack(PUBREC, messages[2].packet_id)
    client.ack(PUBREC, messages[1].packet_id)
    client.ack(PUBACK, messages[3].packet_id)
    numbers = [message.packet_id for message in messages]
    assert [(got.kind, int.from_bytes(got.body, "big")) for got in client.take()] == [
        (PUBREL, numbers[2]),
        (PUBREL, numbers[1]),
    ]
    for _ in range(2):
        client.cut()
        client = back(world)
        found = [(got.kind, got.flags, got.body[3:5] if got.kind == PUBLISH else got.body) for got in client.take_all()]
        expected = [(PUBLISH, 8 | 2, 0), (PUBREL, 2, 1), (PUBREL, 2, 2), (PUBLISH, 8 | 4, 4)]
        assert found == [(kind, flags, numbers[n].to_bytes(2, "big")) for kind, flags, n in expected]
    for number in numbers[1:3]:
        client.ack(PUBCOMP, number)
    client.ack(PUBACK, numbers[0])
    client.ack(PUBREC, numbers[4])
    client.ack(PUBCOMP, numbers[4])
    client.cut()
    assert back(world).take_all() == []


@statement("5.0", "MQTT-4.3.3-7", "MQTT-4.3.3-13", "MQTT-4.4.0-1")
def test_a_message_that_was_sent_does_not_expire_any_more() -> None:
    world, client, publisher = two(**KEPT)
    publisher.publish("t", b"1", qos=1, MessageExpiryInterval=5)
    publisher.publish("t", b"2", qos=2, MessageExpiryInterval=5)
    assert client.payloads() == [b"1", b"2"]
    world.wait(10_000)
    client.cut()
    client = back(world)
    one, second = client.messages()
    assert [(m.payload, m.properties) for m in (one, second)] == [
        (b"1", {"MessageExpiryInterval": 0}),
        (b"2", {"MessageExpiryInterval": 0}),
    ]
    client.ack(PUBREC, second.packet_id)
    assert [got.kind for got in client.take()] == [PUBREL]
    client.ack(PUBCOMP, second.packet_id)
    client.ack(PUBACK, one.packet_id)
    client.cut()
    assert back(world).take_all() == []


@statement("5.0", "MQTT-3.3.4-10", "MQTT-4.9.0-1", "MQTT-4.9.0-2", "MQTT-4.9.0-3")
def test_a_full_window_holds_back_publish_and_nothing_else() -> None:
    _, client, publisher = two(ReceiveMaximum=1)
    publisher.publish("t", b"1", qos=2)
    publisher.publish("t", b"2", qos=1)
    publisher.publish("t", b"3", qos=0)
    (first, third) = client.messages()
    assert (first.payload, third.payload) == (b"1", b"3")
    client.wire.raw(b"\xc0\0")
    assert client.subscribe("u", 1) == 1
    client.publish("x", qos=1)
    client.publish("x", qos=2)
    client.ack(PUBREC, first.packet_id)
    kinds = [got.kind for got in client.after + client.take()]
    client.after.clear()
    assert kinds == [13, PUBACK, PUBREC, PUBREL]
    client.ack(PUBCOMP, first.packet_id)
    assert client.payloads() == [b"2"]


@statement("5.0", "MQTT-4.6.0-5", "MQTT-4.6.0-6")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_of_a_topic_arrive_in_the_order_in_which_each_client_sent_them(qos: int) -> None:
    world, client, publisher = two(ReceiveMaximum=3)
    other = world.connect("other")
    for n in range(20):
        publisher.publish("t", b"a%02d" % n, qos=qos, **({"ContentType": "x"} if n % 3 else {}))
        other.publish("t", b"b%02d" % n, qos=qos)
    found: list[Message] = []
    while messages := client.messages():
        found += messages
        for message in messages:
            if qos == 1:
                client.ack(PUBACK, message.packet_id)
            elif qos:
                client.ack(PUBREC, message.packet_id)
                client.ack(PUBCOMP, message.packet_id)
    for letter in (b"a", b"b"):
        assert [m.payload for m in found if m.payload.startswith(letter)] == [letter + b"%02d" % n for n in range(20)]


@statement("5.0", "MQTT-3.3.2-3", "MQTT-4.7.2-1", "MQTT-4.7.3-4", "MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-3.3.4-5")
def test_only_what_matches_is_sent_character_by_character_and_wildcards_pass_over_dollar() -> None:
    world = World()
    filters = ["#", "+/b", "$a/#", "$a/+", "A", "a", "\u00e9", "e\u0301", "/", "+", "a/", "a/#"]
    clients = {each: Five(world, f"c{n}") for n, each in enumerate(filters)}
    for each, client in clients.items():
        assert client.subscribe(each) == 0
    publisher = Five(world, "p")
    expected = {
        "a": {"#", "a", "+", "a/#"},
        "A": {"#", "A", "+"},
        "\u00e9": {"#", "\u00e9", "+"},
        "e\u0301": {"#", "e\u0301", "+"},
        "a/b": {"#", "+/b", "a/#"},
        "a/": {"#", "a/", "a/#"},
        "/": {"#", "/"},
        "$a/b": {"$a/#", "$a/+"},
        "$a": {"$a/#"},
        "/b": {"#", "+/b"},
    }
    for topic, wanted in expected.items():
        publisher.publish(topic, b"x")
        assert {each for each, client in clients.items() if client.messages()} == wanted, topic


@statement("5.0", "MQTT-4.7.3-3", "MQTT-1.5.4-3")
def test_a_topic_name_may_have_65535_bytes_and_a_zero_width_no_break_space_stays() -> None:
    world = World(topic_bytes=65535)
    client = Five(world, "c")
    for topic in ("t" * 65535, "\ufeff", "a\ufeff/\ufeffb"):
        assert client.subscribe(topic, 1) == 1
        client.publish(topic, b"x", qos=1)
        assert [m.topic for m in client.messages()] == [topic]


@statement("5.0", "MQTT-3.1.2-26", "MQTT-3.1.2-27", "MQTT-3.3.2-8", "MQTT-3.3.2-11")
@pytest.mark.parametrize("most", [0, 1, 3])
def test_no_topic_alias_is_above_what_the_client_takes_nor_used_before_it_is_set(most: int) -> None:
    world = World()
    client = Five(world, "c", TopicAliasMaximum=most) if most else Five(world, "c")
    client.subscribe("#", 1)
    publisher = Five(world, "p")
    known: dict[int, str] = {}
    for n in range(20):
        publisher.publish(f"a/long/topic/{n % 5}", b"x", qos=n % 2)
        (message,) = client.messages()
        client.ack(PUBACK, message.packet_id) if message.packet_id else None
        alias = message.properties.get("TopicAlias")
        if alias is not None:
            assert 0 < alias <= most
            if message.topic:
                known[alias] = message.topic
        assert (message.topic or known[alias or 0]) == f"a/long/topic/{n % 5}"
    assert len(known) == most


@statement("5.0", "MQTT-3.3.2-7")
def test_topic_aliases_are_those_of_one_connection_in_both_directions() -> None:
    world = World()
    client = Five(world, "c", TopicAliasMaximum=5, **KEPT)
    client.subscribe("a/long/topic", 1)
    client.publish("a/long/topic", b"1", qos=1, TopicAlias=1)
    (message,) = client.messages()
    assert message.properties["TopicAlias"] == 1
    client.cut()
    client = back(world, TopicAliasMaximum=5)
    (message,) = client.messages()
    assert (message.topic, message.properties["TopicAlias"]) == ("a/long/topic", 1)
    client.publish("", b"2", qos=1, TopicAlias=1)
    assert client.closed


# -- PUBLISH from clients


@statement("5.0", "MQTT-3.3.4-1", "MQTT-2.2.1-5", "MQTT-4.3.2-4", "MQTT-4.3.3-8", "MQTT-4.3.3-11")
def test_each_qos_has_its_answer_with_the_same_packet_identifier() -> None:
    world = World()
    Five(world, "subscriber").subscribe("t")
    client = Five(world, "c")
    for number in (1, 255, 256, 65535):
        identifier = number.to_bytes(2, "big")
        for qos, answers in ((0, []), (1, [PUBACK]), (2, [PUBREC])):
            client.wire.raw(packet(0x30 | qos << 1, prefixed(b"t") + (identifier if qos else b"") + b"\0x"))
            assert client.take() == [Got(kind, 0, identifier) for kind in answers]
        client.ack(PUBREL, number)
        assert client.take() == [Got(PUBCOMP, 0, identifier)]


@statement("5.0", "MQTT-4.3.3-10", "MQTT-4.3.3-12", "MQTT-4.3.2-5", "MQTT-4.3.3-9")
def test_a_repeat_is_not_delivered_again_and_the_same_identifier_is_new_after_its_handshake() -> None:
    _, client, publisher = two(2)
    send = [packet(0x34 | dup, prefixed(b"t") + b"\0\7\0x") for dup in (0, 8)]
    for _ in range(2):
        publisher.wire.raw(send[0])
        publisher.wire.raw(send[1])
        assert publisher.take() == [Got(PUBREC, 0, b"\0\7")] * 2
        publisher.ack(PUBREL, 7)
        publisher.ack(PUBREL, 7)
        assert publisher.take() == [Got(PUBCOMP, 0, b"\0\7")] * 2
    assert client.payloads() == [b"x", b"x"]
    for dup in (0, 8, 8):
        publisher.wire.raw(packet(0x32 | dup, prefixed(b"t") + b"\0\7\0y"))
    assert publisher.take() == [Got(PUBACK, 0, b"\0\7")] * 3
    assert client.payloads() == [b"y"] * 3


@statement("5.0", "MQTT-4.3.3-9")
def test_a_message_that_was_refused_is_a_new_one_when_it_comes_again() -> None:
    world = World(retained_message_bytes=3)
    client = Five(world, "c")
    client.subscribe("t", 2)
    for payload, reason in ((b"long", b"\x97"), (b"x", b"")):
        client.wire.raw(packet(0x35, prefixed(b"t") + b"\0\7\0" + payload))
        assert Got(PUBREC, 0, b"\0\7" + reason) in (got := [each.plain for each in client.take()])
        assert len(got) == (1 if reason else 2)


@statement("5.0", "MQTT-3.3.1-5", "MQTT-3.3.1-6", "MQTT-3.3.1-7", "MQTT-3.3.1-8")
def test_a_retained_message_is_the_last_that_was_published_so_and_an_empty_one_removes_it() -> None:
    world = World()
    watcher, publisher = Five(world, "w"), Five(world, "p")
    watcher.subscribe("t", 1)
    seen = []
    for n, (payload, retain, qos) in enumerate(
        [(b"1", True, 1), (b"2", True, 0), (b"3", False, 1), (b"", False, 0), (b"", True, 2), (b"4", False, 0)]
    ):
        publisher.publish("t", payload, qos=qos, retain=retain, **({"ContentType": str(n)} if payload else {}))
        late = Five(world, f"late {n}")
        late.subscribe("t", 2)
        seen.append([(m.payload, m.qos, m.retain, m.properties["ContentType"]) for m in late.messages()])
    assert seen == [[(b"1", 1, True, "0")], *[[(b"2", 0, True, "1")]] * 3, [], []]
    assert watcher.payloads() == [b"1", b"2", b"3", b"", b"", b"4"]


@statement("5.0", "MQTT-4.4.0-2", "MQTT-4.8.2-6")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_that_a_client_refuses_is_over_and_goes_to_nobody_else(qos: int) -> None:
    world = World()
    member, other = (Five(world, name, **KEPT) for name in ("c", "d"))
    for client in (member, other):
        client.subscribe("$share/g/t", qos)
    Five(world, "p").publish("t", b"x", qos=qos)
    (message,) = member.messages()
    member.ack(PUBACK if qos == 1 else PUBREC, message.packet_id, 0x80)
    member.cut()
    assert back(world).take_all() == []
    world.wait(120_000)
    assert other.messages() == []


@statement("5.0", "MQTT-4.8.2-4", "MQTT-4.8.2-5")
def test_a_message_of_qos_2_that_was_begun_is_finished_with_its_member_or_with_nobody() -> None:
    world = World()
    member, other = (Five(world, name, **KEPT) for name in ("c", "d"))
    for client in (member, other):
        client.subscribe("$share/g/t", 2)
    publisher = Five(world, "p")
    publisher.publish("t", b"x", qos=2)
    (message,) = member.messages()
    member.cut()
    member = back(world)
    assert [(m.payload, m.packet_id) for m in member.messages()] == [(b"x", message.packet_id)]
    member.cut()
    world.wait(60_000)
    assert b"c" not in world.engine.sessions
    assert other.messages() == []


@statement("5.0", "MQTT-4.8.2-3", "MQTT-3.8.4-8")
def test_each_member_gets_no_more_than_the_qos_that_it_was_granted() -> None:
    world = World()
    members = [Five(world, f"c{qos}") for qos in range(3)]
    for qos, client in enumerate(members):
        assert client.subscribe("$share/g/t", qos) == qos
    publisher = Five(world, "p")
    for qos in range(3):
        for _ in members:
            publisher.publish("t", b"x", qos=qos)
    for granted, client in enumerate(members):
        assert [m.qos for m in client.messages()] == [min(qos, granted) for qos in range(3)]


@statement("5.0", "MQTT-3.3.4-5")
def test_a_copy_for_a_shared_subscription_has_its_identifier_alone() -> None:
    world = World()
    client = Five(world, "c")
    client.subscribe("t", 1, SubscriptionIdentifier=1)
    client.subscribe("+", 1, SubscriptionIdentifier=2)
    client.subscribe("$share/g/t", 1, SubscriptionIdentifier=3)
    Five(world, "p").publish("t", b"x", qos=1)
    found = [m.properties["SubscriptionIdentifier"] for m in client.messages()]
    assert sorted(map(sorted, found)) == [[1, 2], [3]]
