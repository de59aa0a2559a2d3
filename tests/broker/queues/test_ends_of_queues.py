"""How a named queue ends, and what another configuration makes of it."""

from typing import Any

import pytest

from mqttlite.broker.limits import Limits
from mqttlite.broker.named_rules import NamedRule
from tests.broker.queues.test_named_queues import JOBS, made, numbers, publish, rule
from tests.broker.world import World


def test_a_queue_that_nobody_wants_any_more_expires() -> None:
    here = World(named=(NamedRule("*", expiry_s=60),))
    made(here)
    publish(here, 3)
    here.wait(59_000)
    assert here.engine.depot.queues
    here.wait(2000)
    assert not here.engine.depot.queues
    assert here.engine.ledger.named == 0


def test_a_queue_of_the_configuration_exists_and_stays() -> None:
    here = World(**rule(filter="in/#", expiry_s=60))
    publish(here, 3)
    here.wait(120_000)
    client = here.connect("c")
    assert client.subscribe("$queue/jobs", qos=1) == [1]
    assert client.finish() == numbers(3)


def test_a_queue_that_leaves_the_configuration_has_its_expiry_from_then_on() -> None:
    here = World(**rule(filter="in/#", expiry_s=60))
    publish(here, 3)
    here.wait(120_000)
    here.engine.depot.set_limits(Limits(named=(NamedRule("*", expiry_s=60),)))
    here.wait(59_000)
    assert here.engine.depot.queues
    here.wait(2000)
    assert not here.engine.depot.queues


def test_a_queue_can_be_deleted_and_made_again_with_another_filter() -> None:
    here = World()
    depot = here.engine.depot
    client = here.connect("c")
    client.subscribe(JOBS, qos=1)
    publish(here, 1)
    assert depot.delete(b"jobs")
    assert not depot.delete(b"jobs")
    assert client.finish() == numbers(1)  # it had that already
    assert client.subscribe("$queue/jobs/other", qos=1) == [1]
    publish(here, 1, topic="other", start=1)
    assert client.finish() == numbers(1, 1)


def test_other_rules_hold_from_now_on() -> None:
    here = World()
    made(here)
    publish(here, 3)
    here.engine.depot.set_limits(Limits(named=(NamedRule("jobs", filter="in/#", max_messages=4),)))
    publish(here, 3, start=3)
    [queue] = here.engine.depot.describe()
    assert (queue["messages"], queue["configured"]) == (4, True)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"when_full": "explode"}, "when_full must be one of"),
        ({"max_bytes": 0}, "max_bytes must be 1 or more"),
        ({"filter": "in/#", "dead_topic": "in/dead"}, "is collected by the queue itself"),
    ],
)
def test_a_rule_that_cannot_be_says_why(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        NamedRule("jobs", **more)
