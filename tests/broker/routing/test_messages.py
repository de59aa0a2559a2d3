"""SUBSCRIBE, UNSUBSCRIBE, and messages on their way from publisher to subscriber (3.3, 3.8 to 3.11, 4.3 to 4.7)."""

import pytest

from tests.broker.world import World
from tests.statements import statement


@statement("3.1.1", "MQTT-3.8.4-6", "MQTT-4.5.0-1", "MQTT-3.3.2-3", "MQTT-4.3.1-1", "MQTT-3.3.1-2", "MQTT-2.3.1-5")
@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_a_message_arrives_with_the_lower_of_published_and_granted_qos(published: int, granted: int) -> None:
    world = World()
    client = world.connect("c")
    assert client.subscribe("t/+", qos=granted) == [granted]
    world.connect("p").publish("t/1", b"x", qos=published)
    [(kind, fields)] = client.packets()
    qos = min(published, granted)
    assert (kind, fields["topic"], fields["payload"], fields["qos"]) == ("publish", "t/1", b"x", qos)
    assert (fields["dup"], fields["retain"], fields["packet_id"] is None) == (False, False, qos == 0)


@statement("3.1.1", "MQTT-3.3.4-1", "MQTT-4.3.2-2", "MQTT-4.3.3-2", "MQTT-2.3.1-6", "MQTT-3.3.5-2")
def test_the_publisher_gets_what_its_qos_demands() -> None:
    publisher = World().connect("p")
    publisher.publish("t", b"0")
    publisher.publish("t", b"1", qos=1, packet_id=500)
    publisher.publish("t", b"2", qos=2, packet_id=600)
    publisher.send("pubrel", packet_id=600)
    assert publisher.packets() == [
        ("puback", {"packet_id": 500}),
        ("pubrec", {"packet_id": 600}),
        ("pubcomp", {"packet_id": 600}),
    ]


@statement("3.1.1", "MQTT-4.6.0-2", "MQTT-4.6.0-3")
def test_acknowledgements_leave_in_the_order_in_which_messages_came() -> None:
    publisher = World().connect("p")
    for packet_id in (9, 3, 7):
        publisher.publish("t", qos=1, packet_id=packet_id)
    for packet_id in (19, 13, 17):
        publisher.publish("t", qos=2, packet_id=packet_id)
    assert [fields["packet_id"] for _, fields in publisher.packets()] == [9, 3, 7, 19, 13, 17]


@statement("3.1.1", "MQTT-4.6.0-4", "MQTT-4.3.2-1", "MQTT-4.3.3-1")
def test_subscribers_get_pubrel_in_the_order_of_their_pubrec() -> None:
    world = World()
    client = world.connect("c")
    client.subscribe("t", qos=2)
    publisher = world.connect("p")
    for number in range(3):
        publisher.publish("t", b"%d" % number, qos=2)
    ids = [fields["packet_id"] for _, fields in client.packets()]
    assert len(set(ids)) == 3
    for packet_id in reversed(ids):
        client.send("pubrec", packet_id=packet_id)
    assert [(kind, f["packet_id"]) for kind, f in client.packets()] == [("pubrel", i) for i in reversed(ids)]


@statement("3.1.1", "MQTT-3.3.5-1")
def test_overlapping_subscriptions_of_one_client_give_one_message_at_the_highest_qos() -> None:
    world = World()
    client = world.connect("c")
    client.subscribe("#", qos=0)
    client.subscribe("t/#", qos=2)
    client.subscribe("t/1", qos=1)
    world.connect("p").publish("t/1", b"x", qos=2)
    assert client.messages() == [("t/1", b"x", 2, False)]


@statement("3.1.1", "MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-3.8.4-4", "MQTT-3.8.4-5", "MQTT-3.9.3-1", "MQTT-2.3.1-7")
def test_suback_has_a_code_for_each_filter_in_their_order() -> None:
    client = World().connect("c")
    wanted = [("a", 2), ("$share/+/a", 1), ("b/+", 0), ("c", 1)]
    client.send("subscribe", packet_id=77, subscriptions=wanted)
    assert client.packets() == [("suback", {"packet_id": 77, "codes": [2, 0x80, 0, 1]})]


@statement("3.1.1", "MQTT-3.9.3-2")
@pytest.mark.parametrize("topic_filter", ["$share/group", "$share//t", "$share/#", "$share/group/"])
def test_what_is_no_shared_subscription_and_begins_like_one_is_refused(topic_filter: str) -> None:
    assert World().connect("c").subscribe(topic_filter, qos=1) == [0x80]


@statement("3.1.1", "MQTT-3.8.4-3")
def test_the_same_filter_again_replaces_the_granted_qos() -> None:
    world = World()
    client = world.connect("c")
    client.subscribe("t", qos=2)
    client.subscribe("t", qos=0)
    world.connect("p").publish("t", b"x", qos=2)
    assert client.messages() == [("t", b"x", 0, False)]


@statement("3.1.1", "MQTT-3.10.4-1", "MQTT-3.10.4-2", "MQTT-3.10.4-4", "MQTT-3.10.4-6")
def test_unsubscribe_ends_the_subscriptions_with_exactly_these_filters() -> None:
    world = World()
    client, publisher = world.connect("c"), world.connect("p")
    client.subscribe("a", "a/b", "+/b")
    client.send("unsubscribe", packet_id=5, topic_filters=["+/b", "a/+", "a"])
    assert client.packets() == [("unsuback", {"packet_id": 5})]
    for topic in ("a", "x/b", "a/b"):
        publisher.publish(topic)
    assert [topic for topic, *_ in client.messages()] == ["a/b"]


@statement("3.1.1", "MQTT-3.10.4-5")
def test_unsubscribe_is_acknowledged_even_if_nothing_was_subscribed() -> None:
    client = World().connect("c")
    client.unsubscribe("t")
    assert client.kinds() == ["unsuback"]


@statement("3.1.1", "MQTT-3.10.4-3")
def test_messages_under_way_are_completed_after_unsubscribe() -> None:
    world = World()
    client = world.connect("c", clean=False)
    client.subscribe("t", qos=2)
    world.connect("p").publish("t", b"x", qos=2)
    [(_, message)] = client.packets()
    client.unsubscribe("t")
    client.cut()
    client = world.connect("c", clean=False, present=True)
    [(kind, again)] = client.packets()
    assert (kind, again["packet_id"], again["dup"]) == ("publish", message["packet_id"], True)
    client.send("pubrec", packet_id=message["packet_id"])
    assert client.kinds() == ["pubrel"]


@statement("3.1.1", "MQTT-3.8.3-3", "MQTT-3.10.3-2", "MQTT-2.3.1-1", "MQTT-3.8.3-1", "MQTT-3.10.3-1", "MQTT-4.7.1-2")
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x82\2\0\1", id="SUBSCRIBE without filter"),
        pytest.param(b"\xa2\2\0\1", id="UNSUBSCRIBE without filter"),
        pytest.param(b"\x82\6\0\0\0\1t\0", id="SUBSCRIBE with identifier 0"),
        pytest.param(b"\xa2\5\0\0\0\1t", id="UNSUBSCRIBE with identifier 0"),
        pytest.param(b"\x32\5\0\1t\0\0", id="PUBLISH with identifier 0"),
        pytest.param(b"\x82\6\0\1\0\1\xff\0", id="SUBSCRIBE with bad UTF-8"),
        pytest.param(b"\xa2\5\0\1\0\1\xff", id="UNSUBSCRIBE with bad UTF-8"),
        pytest.param(b"\x82\6\0\1\0\1t\3", id="QoS 3 requested"),
        pytest.param(b"\x82\x08\0\1\0\3#/a\0", id="# not last"),
        pytest.param(b"\x82\7\0\1\0\2a+\0", id="+ beside other characters"),
        pytest.param(b"\x36\5\0\1t\0\1", id="PUBLISH with QoS 3"),
        pytest.param(b"\x30\3\0\1+", id="PUBLISH to a wildcard"),
        pytest.param(b"\x30\2\0\0", id="PUBLISH to an empty topic"),
        pytest.param(b"\x30\3\0\1\0", id="PUBLISH to U+0000"),
        pytest.param(b"\x30\4\0\3ab", id="PUBLISH whose topic is longer than itself"),
        pytest.param(b"\x20\2\0\0", id="CONNACK from a client"),
    ],
)
def test_what_the_standard_forbids_ends_the_connection_and_reaches_nobody(data: bytes) -> None:
    world = World()
    listener, wire = world.connect("l"), world.connect("c")
    listener.subscribe("#")
    wire.raw(data)
    assert wire.closed
    assert wire.packets() == []
    assert listener.messages() == []


@statement("3.1.1", "MQTT-4.7.2-1")
def test_a_subscription_to_everything_does_not_get_topics_that_start_with_a_dollar() -> None:
    world = World()
    client = world.connect("c")
    client.subscribe("#", "+/b")
    world.connect("p").publish("$a/b", b"x")
    assert client.messages() == []
    client.subscribe("$a/#")
    world.connect("p").publish("$a/b", b"y")
    assert client.payloads() == [b"y"]


@statement("3.1.1", "MQTT-4.6.0-5", "MQTT-4.6.0-6")
def test_messages_of_a_topic_keep_their_order_at_every_qos() -> None:
    world = World()
    clients = [world.connect(f"c{qos}") for qos in (0, 1, 2)]
    for qos, client in enumerate(clients):
        client.subscribe("t", qos=qos)
    publisher = world.connect("p")
    sent = [b"%d" % number for number in range(200)]
    for payload in sent:
        publisher.publish("t", payload, qos=2)
    assert [client.finish() for client in clients] == [sent] * 3


@statement("3.1.1", "MQTT-4.5.0-1")
def test_a_client_gets_its_own_messages_if_it_subscribes_to_them() -> None:
    client = World().connect("c")
    client.subscribe("t", qos=1)
    client.publish("t", b"x", qos=1, packet_id=99)
    assert sorted(client.kinds()) == ["puback", "publish"]


def test_a_route_that_was_cached_follows_every_change_of_subscriptions() -> None:
    world = World()
    publisher, one, two = world.connect("p"), world.connect("1"), world.connect("2", clean=False)
    publisher.publish("t")
    one.subscribe("t")
    publisher.publish("t", b"a")
    two.subscribe("#", qos=1)
    publisher.publish("t", b"b")
    one.unsubscribe("t")
    publisher.publish("t", b"c")
    two.cut()
    publisher.publish("t", b"d", qos=1)
    two = world.connect("2", clean=True)
    publisher.publish("t", b"e")
    assert one.payloads() == [b"a", b"b"]
    assert two.payloads() == []


def test_heads_for_many_payload_sizes_stay_few_and_right() -> None:
    world = World(routes_bytes=3 * 1250)
    client, publisher = world.connect("c"), world.connect("p")
    client.subscribe("#")
    sent = [(f"t{n % 5}", bytes(n)) for n in range(0, 400, 7)]
    for topic, payload in sent:
        publisher.publish(topic, payload)
    assert [(topic, payload) for topic, payload, *_ in client.messages()] == sent
    assert len(world.engine.router._routes) <= 3


def test_the_broker_says_how_it_is_below_sys_and_nobody_else_may() -> None:
    world = World()
    client = world.connect("c")
    client.subscribe("$SYS/broker/clients/connected")
    world.wait(0)
    assert client.messages() == [("$SYS/broker/clients/connected", b"1", 0, False)]
    client.publish("$SYS/broker/clients/connected", b"1000", qos=1, retain=True)
    assert client.kinds() == ["puback"]
    assert world.stats.dropped_reserved == 1
    world.connect("other")
    world.wait(10_000)
    assert client.payloads() == [b"2"]


def test_counters_loads_and_what_is_held_are_told_each_ten_seconds() -> None:
    world = World()
    client = world.connect("c", clean=False)
    client.subscribe("t", "$share/g/t", qos=1)
    watcher = world.connect("w")
    watcher.subscribe("$SYS/#")

    def told() -> dict[str, str]:
        return {topic.removeprefix("$SYS/broker/"): payload.decode() for topic, payload, *_ in watcher.messages()}

    world.wait(0)
    before = told()
    assert (before["uptime"], before["clients/maximum"], before["load/sockets/1min"]) == ("0 seconds", "2", "0.00")
    assert (before["subscriptions/count"], before["shared_subscriptions/count"]) == ("2", "1")
    client.disconnect()
    publisher = world.connect("p")
    for _ in range(60):
        publisher.publish("t", bytes(100), qos=1)
    world.wait(10_000)
    after = told()
    assert after["uptime"] == "10 seconds"
    assert (after["clients/disconnected"], after["clients/inactive"], after["clients/maximum"]) == ("1", "1", "3")
    assert after["publish/messages/received"] == "60"
    assert 360 * 0.1 < float(after["load/publish/received/1min"]) < 360 * 0.16  # of 360 a minute, ten seconds
    assert float(after["load/publish/received/15min"]) < float(after["load/publish/received/5min"]) < 360 * 0.04
    assert int(after["bytes/received"]) > 6000 > int(before["bytes/received"])
    assert int(after["store/messages/count"]) >= 120
    assert int(after["held/queued"]) > 12_000
    world.wait(8 * 24 * 3600 * 1000)
    assert told()["clients/expired"] == "1"
