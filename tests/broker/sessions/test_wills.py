"""Will messages (3.1.2.5): published when a connection ends in any way but DISCONNECT."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.broker.world import Wire, World
from tests.statements import statement

ENDS: dict[str, Callable[[World, Wire], Any]] = {
    "network failure": lambda world, wire: wire.cut(),
    "keep alive": lambda world, wire: world.wait(15_000),
    "protocol error": lambda world, wire: wire.raw(b"\xff\0"),
    "take-over": lambda world, wire: world.connect("c"),
}


@statement("3.1.1", "MQTT-3.1.2-8", "MQTT-3.1.2-9", "MQTT-3.1.2-10", "MQTT-3.1.2-16")
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_the_will_is_published_once_when_the_connection_ends_without_disconnect(
    end: Callable[[World, Wire], Any], qos: int
) -> None:
    world = World()
    listener = world.connect("l")
    listener.subscribe("w", qos=2)
    wire = world.connect("c", will=("w", b"gone", qos, False), keep_alive_s=10)
    assert listener.messages() == []
    end(world, wire)
    assert listener.messages() == [("w", b"gone", qos, False)]
    assert wire.closed or wire.peer.closed_because
    late = world.connect("late")
    late.subscribe("w")
    assert late.messages() == []
    assert world.stats.wills == 1


@statement("3.1.1", "MQTT-3.14.4-3", "MQTT-3.1.2-10")
def test_disconnect_discards_the_will() -> None:
    world = World()
    listener = world.connect("l")
    listener.subscribe("#")
    wire = world.connect("c", will=("w", b"gone", 1, True))
    wire.disconnect()
    assert wire.closed
    assert listener.messages() == []


@statement("3.1.1", "MQTT-3.1.2-12")
def test_without_a_will_nothing_is_published() -> None:
    world = World()
    listener = world.connect("l")
    listener.subscribe("#")
    world.connect("c").cut()
    assert listener.messages() == []


@statement("3.1.1", "MQTT-3.1.2-17")
def test_a_retained_will_is_retained() -> None:
    world = World()
    world.connect("c", will=("w", b"gone", 1, True)).cut()
    late = world.connect("late")
    late.subscribe("w", qos=1)
    assert late.messages() == [("w", b"gone", 1, True)]


def test_a_will_is_not_published_when_connect_was_refused() -> None:
    world = World(persistent_sessions=0)
    listener = world.connect("l")
    listener.subscribe("#")
    world.connect("c", clean=False, code=3, will=("w", b"gone", 0, False))
    assert listener.messages() == []


def test_a_will_to_a_topic_of_the_broker_is_refused() -> None:
    assert World().connect("c", code=5, will=("$SYS/broker/version", b"1", 0, True)).closed


def test_when_the_broker_stops_no_wills_are_published() -> None:
    world = World()
    listener, wire = world.connect("l"), world.connect("c", will=("w", b"gone", 0, True))
    listener.subscribe("#")
    world.engine.shut_down()
    world.flush()
    assert listener.closed
    assert wire.closed
    assert listener.messages() == []
    assert len(world.engine.router.retained) == 0


def test_the_will_of_a_persistent_session_waits_in_its_own_queue_if_it_subscribes_to_it() -> None:
    world = World()
    wire = world.connect("c", clean=False, will=("w", b"gone", 1, False))
    wire.subscribe("w", qos=1)
    wire.cut()
    assert world.connect("c", clean=False, present=True).payloads() == [b"gone"]
