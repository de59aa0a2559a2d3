"""A repeat of a producer with an idempotency key is acknowledged, and not delivered again."""

from typing import Any

import pytest

from mqttlite.broker.limits import Limits
from mqttlite.core.keys import PROPERTY, wrap
from tests.broker.five import PUBACK, Five
from tests.broker.world import World


def world(**limits: Any) -> World:
    """A broker that looks for repeats without a store."""
    return World(deduplicate_in_memory=True, **limits)


def keyed(number: int, payload: bytes = b"x", producer: bytes = b"till", epoch: int = 0) -> bytes:
    return wrap((producer, epoch, number), payload)


@pytest.mark.parametrize("qos", [1, 2])
def test_a_repeat_in_another_session_is_acknowledged_and_goes_to_nobody(qos: int) -> None:
    here = world()
    reader = here.connect("r")
    reader.subscribe("t", qos=2)
    for _ in range(3):
        producer = here.connect("p")
        for number in range(2):
            producer.publish("t", keyed(number), qos=qos)
        kinds = producer.kinds()
        assert kinds == ["puback" if qos == 1 else "pubrec"] * 2
        producer.cut()
    assert reader.finish() == [keyed(0), keyed(1)]
    assert here.stats.repeats == 4


def test_in_5_0_the_key_is_a_user_property() -> None:
    here = world()
    reader = here.connect("r")
    reader.subscribe("t", qos=1)
    for _ in range(2):
        producer = Five(here, "p")
        for number in range(2):
            key = [("unit", "C"), (PROPERTY.decode(), f"till/0/{number}")]
            producer.publish("t", b"%d" % number, qos=1, UserProperty=key)
        assert [got.kind for got in producer.take()] == [PUBACK, PUBACK]
        producer.cut()
    assert reader.finish() == [b"0", b"1"]


def test_messages_without_a_key_are_as_they_were() -> None:
    here = world()
    reader = here.connect("r")
    reader.subscribe("t", qos=1)
    producer = here.connect("p")
    for payload in (b"same", b"same", b"\xfc", b"\xfc", b"\xfc\x01", b""):
        producer.publish("t", payload, qos=1)
    assert len(reader.finish()) == 6


def test_a_key_counts_for_its_client_and_its_topic_alone() -> None:
    here = world()
    reader = here.connect("r")
    reader.subscribe("#", qos=1)
    for name, topic in (("p", "t"), ("p", "u"), ("stranger", "t")):
        producer = here.connect(name)
        producer.publish(topic, keyed(7), qos=1)
        producer.cut()
    assert len(reader.finish()) == 3


def test_what_was_not_taken_is_not_a_repeat_when_it_comes_again() -> None:
    here = world(retained_message_bytes=20)
    reader = here.connect("r")
    reader.subscribe("t", qos=1)
    producer = here.connect("p")
    producer.publish("t", keyed(1, b"x" * 40), qos=1, retain=True)
    assert producer.closed
    producer = here.connect("p")
    producer.publish("t", keyed(1, b"x" * 40), qos=1)
    assert reader.finish() == [keyed(1, b"x" * 40)]


def test_what_is_remembered_is_bounded_by_bytes_and_by_time() -> None:
    here = world(deduplicate_bytes=4 * 512, deduplicate_ms=60_000)
    assert here.engine.depot.repeats is not None
    producer = here.connect("p")
    for number in range(10):
        producer.publish(f"t/{number}", keyed(1), qos=1)
    assert len(here.engine.depot.repeats) == 4
    assert here.stats.limits["deduplicate_bytes"] == 6
    here.wait(61_000)
    assert len(here.engine.depot.repeats) == 0


def test_without_a_store_it_is_off_unless_it_is_wanted() -> None:
    here = World()
    reader = here.connect("r")
    reader.subscribe("t", qos=1)
    producer = here.connect("p")
    for _ in range(2):
        producer.publish("t", keyed(1), qos=1)
    assert len(reader.finish()) == 2


def test_a_reload_turns_it_on_and_off() -> None:
    here = World()
    reader = here.connect("r")
    reader.subscribe("t", qos=1)
    producer = here.connect("p")
    found = []
    for wanted in (False, True, False):
        here.engine.set_limits(Limits(deduplicate_in_memory=wanted), here.now)
        for _ in range(2):
            producer.publish("t", keyed(1), qos=1)
        found.append(len(reader.finish()))
    assert found == [2, 1, 2]
