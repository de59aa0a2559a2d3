"""Sessions, wills and shared subscriptions of MQTT 5.0."""

import pytest

from tests.broker.five import DISCONNECT, PUBACK, PUBREC, Five
from tests.broker.sessions.test_version5 import RICH
from tests.broker.world import World
from tests.statements import statement


@statement("5.0", "MQTT-3.1.2-4", "MQTT-3.1.2-5", "MQTT-3.1.2-6")
def test_a_session_outlives_its_connection_by_its_expiry_interval() -> None:
    world = World()
    for wait_ms, present in ((9_000, True), (10_000, False)):
        Five(world, "c", SessionExpiryInterval=10).subscribe("t")
        world.engine.sessions[b"c"].peer.handle.cut()  # type: ignore[union-attr]
        world.wait(wait_ms)
        Five(world, "c", clean=False, present=present, SessionExpiryInterval=10)


def test_a_session_without_an_expiry_interval_ends_with_its_connection() -> None:
    world = World()
    client = Five(world, "c", clean=False)
    client.subscribe("t", 1)
    client.cut()
    assert b"c" not in world.engine.sessions


def test_a_disconnect_changes_the_expiry_interval() -> None:
    world = World()
    client = Five(world, "c", SessionExpiryInterval=10)
    client.subscribe("t")
    client.disconnect(SessionExpiryInterval=100)
    world.wait(60_000)
    client = Five(world, "c", clean=False, present=True, SessionExpiryInterval=10)
    client.disconnect(SessionExpiryInterval=0)
    assert b"c" not in world.engine.sessions


@statement("5.0", "MQTT-3.14.2-2")
def test_a_disconnect_cannot_keep_a_session_that_connect_did_not() -> None:
    client = Five(World(), "c")
    client.disconnect(SessionExpiryInterval=10)
    assert [(got.kind, got.reason) for got in client.take()] == [(DISCONNECT, 0x82)]


def test_a_client_is_told_of_a_shorter_expiry_interval_than_it_asked_for() -> None:
    world = World(session_expiry_ms=60_000)
    assert Five(world, "a", SessionExpiryInterval=0xFFFFFFFF).announced["SessionExpiryInterval"] == 60
    assert "SessionExpiryInterval" not in Five(world, "b", SessionExpiryInterval=59).announced


def test_the_old_protocol_name_is_understood() -> None:
    world = World()
    wire = world.open()
    wire.raw(b"\x10\x0f\0\6MQIsdp\3\2\0\0\0\1c")
    assert wire.packets() == [("connack", {"session_present": False, "code": 0})]
    wire.subscribe("t", qos=1)
    Five(world, "p").publish("t", b"x", qos=1, ContentType="a")
    assert wire.messages() == [("t", b"x", 1, False)]


def test_a_flag_that_the_old_version_does_not_use_is_not_looked_at() -> None:
    wire = World().open()
    wire.raw(b"\x10\x0f\0\6MQIsdp\3\3\0\0\0\1c")
    assert wire.packets() == [("connack", {"session_present": False, "code": 0})]


@pytest.mark.parametrize("level", [2, 4, 6])
def test_the_old_protocol_name_with_another_level_is_refused_in_words_of_the_protocol(level: int) -> None:
    wire = World().open()
    wire.raw(b"\x10\x0f\0\6MQIsdp" + bytes((level,)) + b"\2\0\0\0\1c")
    assert wire.packets() == [("connack", {"session_present": False, "code": 1})]
    assert wire.closed


# -- wills

WILL = ("w", b"gone", 1, False)


@statement("5.0", "MQTT-3.1.2-8", "MQTT-3.1.2-10")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_will_has_its_properties(qos: int) -> None:
    world = World()
    watcher = Five(world, "w")
    watcher.subscribe("w", 2)
    Five(world, "c", will=("w", b"gone", qos, False), will_properties=RICH | {"WillDelayInterval": 0}).cut()
    (message,) = watcher.messages()
    assert (message.payload, message.qos, message.properties) == (b"gone", qos, RICH)


@statement("5.0", "MQTT-3.1.3-9")
def test_a_will_waits_for_its_delay_and_is_forgotten_when_its_client_is_back() -> None:
    world = World()
    watcher = Five(world, "w")
    watcher.subscribe("w", 1)
    late = {"WillDelayInterval": 5}
    Five(world, "c", SessionExpiryInterval=60, will=WILL, will_properties=late).subscribe("t")
    world.engine.sessions[b"c"].peer.handle.cut()  # type: ignore[union-attr]
    world.wait(4999)
    assert watcher.messages() == []
    client = Five(world, "c", clean=False, present=True, SessionExpiryInterval=60, will=WILL, will_properties=late)
    world.wait(10_000)
    assert watcher.messages() == []
    client.cut()
    world.wait(4999)
    assert watcher.messages() == []
    world.wait(1)
    assert watcher.payloads() == [b"gone"]


@statement("5.0", "MQTT-3.1.3-9")
def test_a_will_is_forgotten_when_its_client_is_back_that_never_heard_of_its_session() -> None:
    """CONNACK may be lost: then the session is a new one, and the will all the same not due."""
    world = World()
    watcher = Five(world, "w")
    watcher.subscribe("w", 1)
    late = {"WillDelayInterval": 5}
    Five(world, "c", clean=False, SessionExpiryInterval=60, will=WILL, will_properties=late).cut()
    world.wait(1000)
    client = Five(world, "c", clean=False, SessionExpiryInterval=60, will=WILL, will_properties=late)
    world.wait(10_000)
    assert watcher.messages() == []
    client.cut()
    world.wait(5000)
    assert watcher.payloads() == [b"gone"]


@pytest.mark.parametrize("how", ["expires", "clean start", "no session"])
def test_a_will_does_not_wait_longer_than_its_session_lives(how: str) -> None:
    world = World()
    watcher = Five(world, "w")
    watcher.subscribe("w", 1)
    expiry_s = 0 if how == "no session" else 3
    client = Five(world, "c", SessionExpiryInterval=expiry_s, will=WILL, will_properties={"WillDelayInterval": 60})
    client.subscribe("t")
    client.cut()
    if how == "expires":
        world.wait(2999)
        assert watcher.messages() == []
        world.wait(1)
    elif how == "clean start":
        assert watcher.messages() == []
        Five(world, "c")
    assert watcher.payloads() == [b"gone"]


@statement("5.0", "MQTT-3.14.4-3")
@pytest.mark.parametrize(("reason", "count"), [(0, 0), (4, 1), (0x81, 1)])
def test_a_disconnect_deletes_the_will_unless_it_says_otherwise(reason: int, count: int) -> None:
    world = World()
    watcher = Five(world, "w")
    watcher.subscribe("w", 1)
    Five(world, "c", will=WILL).disconnect(reason)
    assert len(watcher.messages()) == count


# -- shared subscriptions


def test_members_of_a_share_take_turns_in_both_versions() -> None:
    world = World()
    a, b = Five(world, "a"), world.connect("b")
    a.subscribe("$share/g/t/#", 1)
    b.subscribe("$share/g/t/#", qos=1)
    other = Five(world, "other")
    other.subscribe("$share/h/t/#", 1)
    publisher = Five(world, "p")
    for n in range(4):
        publisher.publish("t/1", b"%d" % n, qos=1)
    assert sorted(a.payloads() + b.payloads()) == [b"0", b"1", b"2", b"3"]
    assert len(other.messages()) == 4


def test_a_member_that_is_not_there_or_has_a_full_window_is_passed_over() -> None:
    world = World()
    away, full, free = (Five(world, name, SessionExpiryInterval=60, ReceiveMaximum=1) for name in ("a", "b", "c"))
    for client in (away, full, free):
        client.subscribe("$share/g/t", 1)
    away.cut()
    publisher = Five(world, "p")
    publisher.publish("t", b"0", qos=1)
    (message,) = full.messages()
    for n in range(1, 4):
        publisher.publish("t", b"%d" % n, qos=1)
        (message,) = free.messages()
        free.ack(PUBACK, message.packet_id)


def test_nothing_is_lost_while_all_members_are_away() -> None:
    world = World()
    away = Five(world, "a", SessionExpiryInterval=60)
    away.subscribe("$share/g/t", 1)
    away.cut()
    Five(world, "p").publish("t", b"x", qos=1)
    assert Five(world, "a", clean=False, present=True, SessionExpiryInterval=60).payloads() == [b"x"]


@statement("5.0", "MQTT-4.8.2-5")
@pytest.mark.parametrize("qos", [1, 2])
def test_what_a_member_had_not_acknowledged_when_its_session_ended_goes_to_another(qos: int) -> None:
    """At QoS 2, what was never sent to it."""
    world = World()
    a = Five(world, "a", ReceiveMaximum=3 if qos == 1 else 1)
    a.subscribe("$share/g/t", qos)
    publisher = Five(world, "p")
    for n in range(3):
        publisher.publish("t", b"%d" % n, qos=qos, ContentType="a")
    messages = a.messages()
    assert [m.payload for m in messages] == ([b"0", b"1", b"2"] if qos == 1 else [b"0"])
    a.ack(PUBACK if qos == 1 else PUBREC, messages[0].packet_id)
    b = Five(world, "b")
    b.subscribe("$share/g/t", qos)
    a.cut()
    found = b.messages()
    assert [(m.payload, m.properties) for m in found] == [(b"1", {"ContentType": "a"}), (b"2", {"ContentType": "a"})]


@statement("5.0", "MQTT-3.3.4-3", "MQTT-3.8.4-8")
def test_what_goes_to_another_member_has_the_qos_and_the_identifier_of_its_own_subscription() -> None:
    world = World()
    a = Five(world, "a")
    a.subscribe("$share/g/t", 2, SubscriptionIdentifier=3)
    publisher = Five(world, "p")
    for payload in (b"0", b"1"):
        publisher.publish("t", payload, qos=1, ContentType="a")
    assert [m.properties["SubscriptionIdentifier"] for m in a.messages()] == [[3], [3]]
    b, c = Five(world, "b"), Five(world, "c")
    b.subscribe("$share/g/t", 0)
    c.subscribe("$share/g/t", 1, SubscriptionIdentifier=5)
    a.cut()
    (to_b,), (to_c,) = b.messages(), c.messages()
    assert (to_b.payload, to_b.qos, to_b.properties) == (b"0", 0, {"ContentType": "a"})
    assert (to_c.payload, to_c.qos) == (b"1", 1)
    assert to_c.properties == {"ContentType": "a", "SubscriptionIdentifier": [5]}


def test_a_share_gets_no_retained_messages() -> None:
    world = World()
    Five(world, "p").publish("t", b"kept", retain=True)
    client = Five(world, "c")
    assert client.subscribe("$share/g/t", 1) == 1
    assert client.messages() == []
    assert client.unsubscribe("$share/g/t") == 0
    world.connect("q").publish("t", b"x", qos=1)
    assert client.messages() == []
    assert not world.engine.router._tree
