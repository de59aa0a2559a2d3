"""Topics that clients may not use: the broker's own, and those with characters that harm others."""

import logging

import pytest

from tests.broker.world import World

BRIDGE = "$SYS/broker/connection/home.up/state"
UNWANTED = ["\x01", "\t", "\n", "\x1f", "\x7f", "\x80", "\x9f", "\ufdd0", "\ufdef", "\ufffe", "\uffff", "\U0010ffff"]


def test_a_mosquitto_bridge_may_have_its_state_as_its_will_and_publish_it_retained() -> None:
    world = World()
    watcher = world.connect("watcher")
    watcher.subscribe("$SYS/broker/connection/#", qos=1)
    bridge = world.connect("home.up", will=(BRIDGE, b"0", 1, True))
    bridge.publish(BRIDGE, b"1", qos=1, retain=True)
    assert watcher.messages() == [(BRIDGE, b"1", 1, False)]
    bridge.cut()
    assert watcher.messages() == [(BRIDGE, b"0", 1, False)]
    late = world.connect("late")
    late.subscribe(BRIDGE)
    assert late.messages() == [(BRIDGE, b"0", 0, True)]


@pytest.mark.parametrize(
    "topic",
    [
        "$SYS/broker/connection/a/b/state",
        "$SYS/broker/connection/state",
        "$SYS/broker/connection/a/state/x",
        "$SYS/broker/connection/a/status",
        "$SYS/broker/uptime",
        "$SYS/broker/x/a/state",
        "$SYS/x/connection/a/state",
    ],
)
def test_nothing_else_below_sys_is_a_clients(topic: str, caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    watcher = world.connect("watcher")
    watcher.subscribe("$SYS/#")
    world.connect("a").publish(topic, b"1", qos=1, retain=True)
    assert watcher.messages() == []
    assert world.stats.dropped_reserved == 1
    world.connect("b", code=5, will=(topic, b"0", 0, True))
    assert any(f"its will topic '{topic}' is the broker's own" in text for text in caplog.messages)


@pytest.mark.parametrize("character", UNWANTED, ids=ascii)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_control_character_or_non_character_in_a_topic_ends_the_publishers_connection_alone(
    character: str, qos: int, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    subscriber = world.connect("subscriber")
    subscriber.subscribe("#", qos=2)
    publisher = world.connect("publisher")
    publisher.publish(f"a{character}b", b"x", qos=qos, retain=True)
    assert publisher.closed
    assert publisher.packets() == []
    assert subscriber.messages() == []
    assert world.stats.limits["control_characters"] == 1
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"topic name {f'a{character}b'!a} has U+{ord(character):04X}" in said[-1]
    assert character not in said[-1]
    world.connect("other").publish("a/b", b"good")
    assert subscriber.payloads() == [b"good"]


def test_a_will_with_a_control_character_is_not_taken() -> None:
    world = World()
    wire = world.open()
    fields = {"keep_alive_s": 0, "username": None, "password": None, "will": ("a\nb", b"", 0, False)}
    wire.send("connect", client_id="c", clean_session=True, **fields)
    assert wire.closed
    assert wire.packets() == []


def test_a_filter_with_a_control_character_is_refused_alone(caplog: pytest.LogCaptureFixture) -> None:
    client = World().connect("client")
    assert client.subscribe("a\tb/#", "good") == [0x80, 0]
    assert "topic filter refused: 'a\\tb/#'" in caplog.text


@pytest.mark.parametrize("topic", ["a b", "ü/\u00a0", "\ufffd", "\u200b", "\ufeff", "\U0001f600", "~"])
def test_other_characters_are_taken(topic: str) -> None:
    world = World()
    client = world.connect("client")
    assert client.subscribe(topic) == [0]
    client.publish(topic, b"x")
    assert client.payloads() == [b"x"]


def test_the_operator_can_let_control_characters_pass() -> None:
    world = World(control_characters=True)
    client = world.connect("client")
    assert client.subscribe("a\tb") == [0]
    client.publish("a\tb", b"x")
    assert client.payloads() == [b"x"]
