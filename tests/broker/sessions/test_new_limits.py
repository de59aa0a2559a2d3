"""Other limits while the broker runs: `Engine.set_limits`."""

import gc
from dataclasses import fields
from typing import Any

import pytest

from mqttlite.broker.limits import NAMES, Limits, QueueRule
from tests.broker.world import World

NUMBERS = [each.name for each in fields(Limits) if each.name in NAMES and not isinstance(each.default, bool)]


def marked(base: int) -> Limits:
    """Limits of which each has a value of its own, which nothing else has."""
    return Limits(**{name: base + 7919 * at for at, name in enumerate(NUMBERS)})


def numbers_in(root: object) -> dict[int, list[str]]:
    """All whole numbers that are reached from `root` within the broker, and in whom they are."""
    found: dict[int, list[str]] = {}
    waiting, seen = [root], {id(root)}
    while waiting:
        each = waiting.pop()
        values: list[Any] = list(gc.get_referents(each))
        for value in values:
            if type(value) is int:
                found.setdefault(value, []).append(type(each).__name__)
            elif id(value) not in seen and str(type(value).__module__).startswith(
                ("mqttlite.broker", "builtins", "collections")
            ):
                if isinstance(value, type) or callable(value):
                    continue
                seen.add(id(value))
                waiting.append(value)
    return found


@pytest.mark.source("numbers in compiled objects are no references")
def test_no_part_of_the_broker_goes_on_with_an_old_limit() -> None:
    before, after = marked(100_000_007), marked(200_000_011)
    world = World(**{name: getattr(before, name) for name in NUMBERS})
    away = world.connect("away", clean=False)
    away.subscribe("t", qos=1)
    away.cut()
    world.connect("p").publish("t", b"x", qos=1)
    held = numbers_in(world.engine)
    assert all(getattr(before, name) in held for name in NUMBERS), "the walk has to find them"
    world.engine.set_limits(after, world.now)
    world.wait(1000)
    held = numbers_in(world.engine)
    left = {name: held[value] for name in NUMBERS if (value := getattr(before, name)) in held}
    # What a connection was opened with it keeps.
    assert set(left) <= {"packet_bytes", "parked_bytes"}, left
    assert {owner for owners in left.values() for owner in owners} <= {"Peer", "QuickParser", "dict"}, left
    missing = [name for name in NUMBERS if getattr(after, name) not in held]
    assert not missing


def test_a_queue_has_its_new_budget_and_keeps_what_is_in_it() -> None:
    world = World(queue_bytes=10_000)
    away = world.connect("away", clean=False)
    away.subscribe("t", qos=1)
    away.cut()
    publisher = world.connect("p")
    for number in range(5):
        publisher.publish("t", b"%d" % number + bytes(900), qos=1)
    world.engine.set_limits(Limits(queue_bytes=2000), world.now)
    for number in range(5, 8):
        publisher.publish("t", b"%d" % number + bytes(900), qos=1)
    world.engine.set_limits(Limits(queue_bytes=7500), world.now)
    for number in range(8, 10):
        publisher.publish("t", b"%d" % number + bytes(900), qos=1)
    away = world.connect("away", clean=False, present=True)
    assert [payload[:1] for payload in away.finish()] == [b"0", b"1", b"2", b"3", b"4", b"8", b"9"]


def test_another_rule_for_full_queues_holds_for_those_that_are_there() -> None:
    world = World(queue_bytes=2000)
    away = world.connect("pump-1", clean=False)
    away.subscribe("t", qos=1)
    away.cut()
    publisher = world.connect("p")
    publisher.publish("t", b"1" + bytes(900), qos=1)
    world.engine.set_limits(Limits(queue_bytes=2000, queues=(QueueRule("pump-*", "drop-oldest"),)), world.now)
    for number in range(2, 5):
        publisher.publish("t", b"%d" % number + bytes(900), qos=1)
    assert [payload[:1] for payload in world.connect("pump-1", clean=False, present=True).finish()] == [b"3", b"4"]


def test_a_session_that_is_away_ends_when_a_shorter_expiry_says_so() -> None:
    world = World(session_expiry_ms=1_000_000)
    world.connect("away", clean=False).cut()
    world.wait(10_000)
    assert b"away" in world.engine.sessions
    world.engine.set_limits(Limits(session_expiry_ms=20_000), world.now)
    world.wait(5000)
    assert b"away" in world.engine.sessions
    world.wait(6000)
    assert b"away" not in world.engine.sessions


def test_whoever_has_more_than_a_lower_limit_keeps_it_and_gets_no_more() -> None:
    world = World()
    client = world.connect("c")
    for number in range(5):
        client.subscribe(f"t/{number}", qos=1)
    world.engine.set_limits(Limits(filters=3), world.now)
    world.connect("p").publish("t/4", b"x", qos=0)
    assert client.payloads() == [b"x"]
    assert client.subscribe("t/9", qos=1) == [0x80]
