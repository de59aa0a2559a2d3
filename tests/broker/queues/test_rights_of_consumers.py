"""Rules and consumers of `$queue` and `$stream`: who may not receive a message is passed over, at nobody's cost."""

from typing import Any

from mqttlite.broker.named_rules import NamedRule
from mqttlite.broker.queues.named_queue import NamedQueue
from tests.broker.access.guarded import PUBLISH, RECEIVE, Guarded, allow, deny
from tests.broker.world import Wire

JOBS = "$queue/jobs/in/#"
SECRET = deny("in/secret", RECEIVE, user="anna")


def worker(here: Guarded, user: str, present: bool = False) -> Wire:
    """A client whose session is kept."""
    return here.enter(user, user, False, present=present)


def say(here: Guarded, *topics: str) -> None:
    publisher = here.enter(None, "publisher")
    for topic in topics:
        publisher.publish(topic, topic.encode(), qos=1)
    publisher.disconnect()


def jobs(here: Guarded) -> NamedQueue:
    return here.engine.depot.queues[b"jobs"]


def test_what_a_consumer_may_not_receive_any_more_goes_to_another_and_has_not_been_tried() -> None:
    here = Guarded(allow("#"))
    anna = worker(here, "anna")
    anna.subscribe(JOBS, qos=1)
    say(here, "in/secret")
    assert anna.payloads() == [b"in/secret"]
    anna.cut()
    here.set(allow("#"), SECRET)
    anna = worker(here, "anna", True)
    assert anna.payloads() == []
    assert [item.tries for item in jobs(here).items.values()] == [0]
    bert = worker(here, "bert")
    bert.subscribe(JOBS, qos=1)
    assert bert.finish() == [b"in/secret"]
    assert not jobs(here).items


def test_what_nobody_there_may_receive_does_not_hold_up_the_rest() -> None:
    here = Guarded(allow("#"), SECRET)
    anna = worker(here, "anna")
    anna.subscribe(JOBS, qos=1)
    say(here, "in/secret", "in/a", "in/b")
    assert anna.finish() == [b"in/a", b"in/b"]
    assert (len(jobs(here).items), jobs(here).ready) == (1, 1)
    bert = worker(here, "bert")
    bert.subscribe(JOBS, qos=1)
    assert bert.finish() == [b"in/secret"]


def test_who_comes_back_gets_what_nobody_else_may_receive() -> None:
    here = Guarded(allow("#"), SECRET)
    anna, bert = worker(here, "anna"), worker(here, "bert")
    anna.subscribe(JOBS, qos=1)
    bert.subscribe(JOBS, qos=1)
    bert.cut()
    say(here, "in/secret", "in/a")
    assert anna.finish() == [b"in/a"]
    assert worker(here, "bert", True).finish() == [b"in/secret"]


def test_new_rules_let_go_what_nobody_was_allowed_to_receive() -> None:
    here = Guarded(allow("#"), SECRET)
    anna = worker(here, "anna")
    anna.subscribe(JOBS, qos=1)
    say(here, "in/secret")
    assert anna.finish() == []
    here.set(allow("#"))
    here.wait(1100)
    assert anna.finish() == [b"in/secret"]


def test_what_nobody_may_receive_makes_room_where_the_oldest_goes() -> None:
    limits: dict[str, Any] = {"named": (NamedRule("jobs", max_messages=2, when_full="drop-oldest"),)}
    here = Guarded(allow("#"), SECRET, limits=limits)
    anna = worker(here, "anna")
    anna.subscribe(JOBS, qos=1)
    say(here, "in/secret", "in/secret", "in/secret", "in/a")
    assert anna.finish() == [b"in/a"]
    assert list(jobs(here).items) == [2]


def test_a_consumer_and_a_reader_without_the_right_to_subscribe_get_nothing_until_they_have_it_again() -> None:
    here = Guarded(allow("#"))
    anna = worker(here, "anna")
    anna.subscribe(JOBS, qos=1)
    anna.subscribe("$stream/log/in/#", qos=1)
    here.set(allow("#", PUBLISH, RECEIVE))
    say(here, "in/a")
    assert anna.finish() == []
    here.set(allow("#"))
    here.wait(1100)
    assert anna.finish() == [b"in/a", b"in/a"]
