"""Clean and persistent sessions, queueing while the client is away, resuming (3.1.2.4, 4.1, 4.4, 4.6)."""

import pytest

from tests.broker.world import World
from tests.statements import statement


@statement("3.1.1", "MQTT-3.1.2-4", "MQTT-3.2.2-2", "MQTT-3.2.2-3", "MQTT-4.1.0-1", "MQTT-3.1.3-2")
def test_a_persistent_session_and_its_subscriptions_outlive_the_connection() -> None:
    world = World()
    client = world.connect("c", clean=False, present=False)
    client.subscribe("t", qos=1)
    client.cut()
    world.connect("other", clean=False, present=False)
    client = world.connect("c", clean=False, present=True)
    world.connect("p").publish("t", b"x")
    assert client.payloads() == [b"x"]


@statement("3.1.1", "MQTT-3.1.2-5", "MQTT-4.5.0-1", "MQTT-4.6.0-6")
def test_qos_1_and_2_messages_wait_for_a_persistent_session_in_order() -> None:
    world = World()
    client = world.connect("c", clean=False)
    client.subscribe("t", qos=2)
    client.disconnect()
    publisher = world.connect("p")
    for number in range(50):
        publisher.publish("t", b"%d" % number, qos=1 + number % 2)
    client = world.connect("c", clean=False, present=True)
    assert client.finish() == [b"%d" % number for number in range(50)]


def test_qos_0_messages_do_not_wait_and_are_counted() -> None:
    world = World()
    client = world.connect("c", clean=False)
    client.subscribe("t", qos=2)
    client.disconnect()
    world.connect("p").publish("t", b"x")
    assert world.connect("c", clean=False, present=True).messages() == []
    assert world.stats.dropped_offline == 1


@statement("3.1.1", "MQTT-3.1.2-6", "MQTT-3.2.2-1", "MQTT-4.1.0-2")
@pytest.mark.parametrize("first_clean", [True, False])
def test_clean_session_1_discards_what_was_there(first_clean: bool) -> None:
    world = World()
    client = world.connect("c", clean=first_clean)
    client.subscribe("t", qos=1)
    world.connect("p").publish("t", b"x", qos=1)
    client.cut()
    client = world.connect("c", clean=True, present=False)
    world.connect("p").publish("t", b"y", qos=1)
    assert client.messages() == []
    client.cut()
    assert world.connect("c", clean=False, present=False).messages() == []


@statement("3.1.1", "MQTT-3.1.2-6")
def test_a_clean_session_is_never_resumed() -> None:
    world = World()
    client = world.connect("c", clean=True)
    client.subscribe("t", qos=1)
    client.disconnect()
    assert world.engine.sessions == {}
    world.connect("c", clean=False, present=False)


@statement("3.1.1", "MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-2.3.1-4", "MQTT-4.6.0-6", "MQTT-4.3.3-1")
def test_after_a_reconnect_unacknowledged_publish_and_pubrel_are_repeated_in_order_with_the_same_identifiers() -> None:
    world = World()
    client = world.connect("c", clean=False)
    client.subscribe("t", qos=2)
    publisher = world.connect("p")
    for payload, qos in ((b"a", 2), (b"b", 1), (b"c", 2)):
        publisher.publish("t", payload, qos=qos)
    ids = [fields["packet_id"] for _, fields in client.packets()]
    client.send("pubrec", packet_id=ids[0])
    client.cut()
    publisher.publish("t", b"d", qos=1)
    client = world.connect("c", clean=False, present=True)
    (first, *rest) = client.packets()
    assert first == ("pubrel", {"packet_id": ids[0]})
    said = [(f["payload"], f["qos"], f["dup"], f["packet_id"]) for _, f in rest]
    assert said[:2] == [(b"b", 1, True, ids[1]), (b"c", 2, True, ids[2])]
    assert said[2][:3] == (b"d", 1, False)
    assert said[2][3] not in ids


@statement("3.1.1", "MQTT-4.3.3-2", "MQTT-2.3.1-6")
def test_a_qos_2_message_repeated_on_a_new_connection_is_not_delivered_again() -> None:
    world = World()
    listener = world.connect("l")
    listener.subscribe("t")
    publisher = world.connect("p", clean=False)
    publisher.publish("t", b"x", qos=2, packet_id=9)
    publisher.cut()
    publisher = world.connect("p", clean=False, present=True)
    publisher.publish("t", b"x", qos=2, packet_id=9, dup=True)
    publisher.send("pubrel", packet_id=9)
    assert publisher.packets() == [("pubrec", {"packet_id": 9}), ("pubcomp", {"packet_id": 9})]
    assert listener.payloads() == [b"x"]


@statement("3.1.1", "MQTT-4.3.2-2", "MQTT-3.3.1-3")
def test_dup_of_an_incoming_message_is_not_passed_on() -> None:
    world = World()
    listener = world.connect("l")
    listener.subscribe("t", qos=1)
    world.connect("p").publish("t", b"x", qos=1, packet_id=9, dup=True)
    [(_, fields)] = listener.packets()
    assert not fields["dup"]


def test_a_session_whose_client_stays_away_too_long_is_removed(caplog: pytest.LogCaptureFixture) -> None:
    world = World(session_expiry_ms=60_000)
    client = world.connect("c", clean=False)
    client.subscribe("t")
    client.cut()
    world.wait(59_999)
    assert world.engine.sessions
    world.wait(1)
    assert not world.engine.sessions
    assert world.stats.limits["session_expiry_ms"] == 1
    assert "'c' (offline): session removed" in caplog.text


def test_what_an_unsubscribed_or_ended_session_leaves_is_nothing() -> None:
    world = World()
    for round_ in range(3):
        client = world.connect(f"c{round_}")
        client.subscribe("a/+/b", "#", "x")
        client.unsubscribe("#")
        client.cut()
    router = world.engine.router
    assert not router._tree
    assert not world.engine.sessions
    assert not world.engine.peers


def test_a_session_whose_connack_may_have_been_lost_is_not_announced_as_present() -> None:
    """Else the client would apply what it remembers of the session before to this one."""
    world = World()
    world.connect("a", clean=False).cut()
    again = world.connect("a", clean=False, present=False)
    again.send("pingreq")
    again.cut()
    world.connect("a", clean=False, present=True)
