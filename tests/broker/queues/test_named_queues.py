"""Named queues, without sockets: `$queue/NAME/FILTER`. How they end: test_ends_of_queues.py; with a store and under
kills: test_queues_kept.py.
"""

from typing import Any

import pytest

from mqttlite.broker.named_rules import NamedRule
from mqttlite.broker.topics.names import NamedError, delayed, inner, parted
from mqttlite.core.codec import acknowledgement
from tests.broker.access.guarded import Guarded, allow
from tests.broker.five import PUBACK, PUBREC, Five
from tests.broker.world import Wire, World

JOBS = "$queue/jobs/in/#"


def rule(**more: Any) -> dict[str, Any]:
    return {"named": (NamedRule("jobs", **more),)}


def numbers(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


def publish(world: World, count: int, qos: int = 1, start: int = 0, topic: str = "in/a") -> None:
    publisher = world.connect()
    for payload in numbers(count, start):
        publisher.publish(topic, payload, qos=qos)
        if qos == 2:
            publisher.finish()
    publisher.disconnect()


def made(world: World) -> None:
    """The queue is there, and nobody is subscribed."""
    first = world.connect("first")
    assert first.subscribe(JOBS, qos=2) == [2]
    first.disconnect()


def take(client: Wire, count: int) -> list[bytes]:
    """Some messages, acknowledged at QoS 1; what is left has been sent, and is not."""
    found = client.packets()[:count]
    for packet in found:
        client.send("puback", packet_id=packet.fields["packet_id"])
    return [packet.fields["payload"] for packet in found]


# -- names


def test_a_name_is_between_the_prefix_and_the_filter() -> None:
    assert parted(b"$queue/jobs/in/#") == (0, b"jobs", b"in/#", b"")
    assert parted(b"$queue/jobs") == (0, b"jobs", b"", b"")
    assert parted(b"$queue/jobs//x") == (0, b"jobs", b"/x", b"")
    assert parted(b"$stream/log@earliest/#") == (1, b"log", b"#", b"earliest")
    assert inner(b"$queue/jobs/in/#") == b"in/#"
    assert inner(b"in/#") == b"in/#"
    assert delayed(b"$delayed/5/in/a") == (5, b"in/a")


@pytest.mark.parametrize("wrong", [b"$queue/", b"$queue/a b/x", b"$queue/+/x", b"$queue/jobs/", b"$stream/@1/x"])
def test_what_has_no_name_is_refused(wrong: bytes) -> None:
    with pytest.raises(NamedError):
        parted(wrong)
    client = World().connect("c")
    assert client.subscribe(wrong.decode(), qos=1) == [0x80]


def test_a_name_stands_for_one_filter() -> None:
    here = World()
    made(here)
    client = here.connect("c")
    assert client.subscribe("$queue/jobs/other/#", qos=1) == [0x80]
    assert client.subscribe("$queue/jobs", qos=1) == [1]
    assert client.subscribe("$queue/unknown", qos=1) == [0x80]


def test_nobody_publishes_to_a_queue_itself() -> None:
    here = World()
    made(here)
    here.connect("p").publish("$queue/jobs/in/a", b"x", qos=1)
    assert here.stats.dropped_reserved == 1
    assert not here.engine.depot.queues[b"jobs"].items


# -- delivery


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_it_keeps_messages_while_nobody_is_subscribed(qos: int) -> None:
    here = World()
    made(here)
    publish(here, 50, qos)
    client = here.connect("c")
    client.subscribe(JOBS, qos=2)
    assert client.finish() == numbers(50)
    queue = here.engine.depot.queues[b"jobs"]
    assert (queue.items, queue.bytes, here.engine.ledger.named) == ({}, 0, 0)


@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_a_message_has_the_lower_qos_and_its_own_topic(published: int, granted: int) -> None:
    here = World()
    client = here.connect("c")
    client.subscribe(JOBS, qos=granted)
    publisher = here.connect("p")
    publisher.publish("in/a/b", b"x", qos=published, retain=True)
    assert client.messages() == [("in/a/b", b"x", min(published, granted), False)]


def test_each_message_goes_to_one_consumer_and_they_take_turns() -> None:
    here = World()
    consumers = [here.connect(f"c{number}") for number in range(3)]
    for consumer in consumers:
        consumer.subscribe(JOBS, qos=1)
    publish(here, 30)
    found = [consumer.finish() for consumer in consumers]
    assert sorted([payload for each in found for payload in each], key=int) == numbers(30)
    assert [len(each) for each in found] == [10, 10, 10]
    assert all(each == sorted(each, key=int) for each in found)


def test_other_subscribers_get_the_message_too() -> None:
    here = World()
    made(here)
    reader = here.connect("r")
    reader.subscribe("in/#", qos=1)
    publish(here, 3)
    assert reader.finish() == numbers(3)
    assert len(here.engine.depot.queues[b"jobs"].items) == 3


def test_a_consumer_that_does_not_acknowledge_has_a_window_of_messages_and_no_more() -> None:
    here = World()
    slow, quick = here.connect("slow"), here.connect("quick")
    slow.subscribe(JOBS, qos=1)
    publish(here, 100)
    assert len(slow.packets()) == 20
    assert len(here.engine.sessions[b"slow"].session.messages) == 20
    quick.subscribe(JOBS, qos=1)
    assert quick.finish() == numbers(80, 20)


@pytest.mark.parametrize("qos", [1, 2])
def test_acknowledgements_that_come_in_one_read_count_each(qos: int) -> None:
    here = World()
    client = here.connect("c")
    client.subscribe(JOBS, qos=qos)
    publish(here, 30, qos)
    got = [packet.fields["packet_id"] for packet in client.packets()]
    answers = [acknowledgement(0x40 if qos == 1 else 0x50, number) for number in got]
    client.raw(b"".join(answers))
    if qos == 2:
        client.raw(b"".join([acknowledgement(0x70, number) for number in got]))
    assert len(here.engine.depot.queues[b"jobs"].items) == 10
    client.cut()
    other = here.connect("o")
    other.subscribe(JOBS, qos=qos)
    assert other.finish() == numbers(10, 20)


def test_receive_maximum_bounds_what_a_consumer_has() -> None:
    here = World()
    client = Five(here, "c", ReceiveMaximum=3)
    client.subscribe(JOBS, 1)
    publish(here, 10)
    got = client.messages()
    assert [message.payload for message in got] == numbers(3)
    client.ack(PUBACK, got[0].packet_id)
    assert client.payloads() == numbers(1, 3)


# -- it goes back


@pytest.mark.parametrize("qos", [1, 2])
def test_what_is_not_acknowledged_when_the_session_ends_goes_to_another_in_its_place(qos: int) -> None:
    here = World()
    one, two = here.connect("one"), here.connect("two")
    one.subscribe(JOBS, qos=qos)
    publish(here, 30, qos)
    assert len(one.messages()) == 20
    two.subscribe(JOBS, qos=qos)
    one.cut()
    assert two.finish() == [*numbers(10, 20), *numbers(20)]


def test_what_its_consumer_has_received_at_qos_2_is_never_given_to_another() -> None:
    here = World()
    one = here.connect("one")
    one.subscribe(JOBS, qos=2)
    publish(here, 2, 2)
    first, _ = one.packets()
    one.send("pubrec", packet_id=first.fields["packet_id"])
    one.cut()
    two = here.connect("two")
    two.subscribe(JOBS, qos=2)
    assert two.finish() == numbers(1, 1)


def test_a_session_that_is_kept_keeps_its_messages_until_it_has_been_away_for_long() -> None:
    here = World(queue_return_ms=5000)
    one = here.connect("one", clean=False)
    one.subscribe(JOBS, qos=1)
    publish(here, 2)
    assert len(one.packets()) == 2
    one.cut()
    two = here.connect("two")
    two.subscribe(JOBS, qos=1)
    here.wait(4000)
    assert two.finish() == []
    one = here.connect("one", clean=False, present=True)
    assert take(one, 1) == numbers(1)
    one.cut()
    here.wait(5000)
    assert two.finish() == numbers(1, 1)
    again = here.connect("one", clean=False, present=True)
    assert again.payloads() == []


def test_unsubscribing_ends_nothing_but_the_subscription() -> None:
    here = World()
    client = here.connect("c")
    client.subscribe(JOBS, qos=1)
    publish(here, 1)
    client.unsubscribe(JOBS)
    publish(here, 1, start=1)
    assert client.finish() == numbers(1)
    client.subscribe("$queue/jobs", qos=1)
    assert client.finish() == numbers(1, 1)


# -- dead letters


def test_after_some_tries_a_message_is_published_below_dead_with_the_cause() -> None:
    here = World(**rule(tries=2))
    watcher = Five(here, "w")
    watcher.subscribe("$dead/jobs/#", 1)
    made(here)
    publish(here, 2)
    for _ in range(2):
        consumer = here.connect("c")
        consumer.subscribe(JOBS, qos=1)
        consumer.cut()
        here.wait(1)
    [dead] = watcher.messages()
    assert (dead.topic, dead.payload) == ("$dead/jobs/in/a", b"0")
    assert dead.properties["UserProperty"] == [
        ("dead-queue", "jobs"),
        ("dead-cause", "its consumer's session ended"),
        ("queue-tries", "2"),
        ("dead-topic", "in/a"),
    ]
    consumer = here.connect("c")
    consumer.subscribe(JOBS, qos=1)
    assert consumer.finish() == [b"1"]  # what had only been got, and not handled, is not to blame
    assert here.stats.dead_letters == 1


def test_a_consumer_that_goes_in_good_order_uses_up_no_try() -> None:
    here = World(**rule(tries=1))
    made(here)
    publish(here, 5)
    for number in range(5):  # as mosquitto_sub -C 1 does
        consumer = here.connect("c")
        consumer.subscribe(JOBS, qos=1)
        assert take(consumer, 1) == numbers(1, number)
        consumer.disconnect()
    assert not here.engine.depot.queues[b"jobs"].dead


def test_a_message_that_is_refused_by_its_consumer_has_been_tried() -> None:
    here = World(**rule(tries=2, dead_topic="failed"))
    watcher = Five(here, "w")
    watcher.subscribe("failed/#", 1)
    consumer = Five(here, "c")
    consumer.subscribe(JOBS, 2)
    publish(here, 1, 2)
    [got] = consumer.messages()
    consumer.ack(PUBREC, got.packet_id, 0x83)
    [got] = consumer.messages()
    assert got.properties["UserProperty"] == [("queue-tries", "1")]
    consumer.ack(PUBREC, got.packet_id, 0x83)
    [dead] = watcher.messages()
    assert dead.topic == "failed/in/a"
    assert dead.properties["UserProperty"][1] == ("dead-cause", "refused with 0x83")


def test_what_is_dead_stays_until_somebody_is_there_to_get_it() -> None:
    here = World(**rule(tries=1))
    made(here)
    publish(here, 1)
    consumer = here.connect("c")
    consumer.subscribe(JOBS, qos=1)
    consumer.cut()
    here.wait(1000)
    assert list(here.engine.depot.queues[b"jobs"].dead.values()) == ["its consumer's session ended"]
    other = here.connect("o")
    other.subscribe(JOBS, qos=1)
    assert other.finish() == []  # and blocks nobody
    watcher = here.connect("w")
    watcher.subscribe("$dead/jobs/#", qos=1)
    here.wait(1000)
    assert watcher.finish() == numbers(1)


def test_whoever_operates_it_can_have_the_dead_tried_again_or_deleted() -> None:
    here = World(**rule(tries=1))
    depot = here.engine.depot
    made(here)
    publish(here, 2)
    for _ in range(2):
        consumer = here.connect("c")
        consumer.subscribe(JOBS, qos=1)
        consumer.cut()
        here.wait(1)
    assert depot.describe()[0]["dead"] == 2
    assert depot.retry(b"jobs") == 2
    consumer = here.connect("c")
    consumer.subscribe(JOBS, qos=1)
    assert consumer.packets()
    consumer.cut()
    assert depot.drop_dead(b"jobs") == 1
    assert depot.describe()[0]["messages"] == 1


# -- bounds


@pytest.mark.parametrize(("when_full", "kept"), [("drop-newest", range(4)), ("drop-oldest", range(6, 10))])
def test_a_queue_that_is_full_drops_what_its_rule_says(when_full: str, kept: range) -> None:
    here = World(**rule(max_messages=4, when_full=when_full))
    made(here)
    publish(here, 10)
    assert here.stats.dropped_queue_full == 6
    client = here.connect("c")
    client.subscribe(JOBS, qos=1)
    assert client.finish() == [b"%d" % number for number in kept]


def test_a_queue_that_refuses_says_so_in_the_acknowledgement() -> None:
    here = World(**rule(max_bytes=200, when_full="refuse"))
    made(here)
    publisher = Five(here, "p")
    reader = here.connect("r")
    reader.subscribe("in/#", qos=1)
    for number in range(4):
        publisher.publish("in/a", b"%d" % number, qos=1)
    assert [got.reason for got in publisher.take()] == [0, 0, 0x97, 0x97]
    assert reader.finish() == numbers(2)  # a message is one: taken, or not


@pytest.mark.parametrize("missing", [0, 1, 70])
def test_what_is_acknowledged_is_in_all_queues_however_little_room_they_have_together(missing: int) -> None:
    cost = 2 + 2 + len("in/a") + 1 + 64
    rules = tuple(NamedRule(name, when_full="refuse") for name in ("jobs", "copies"))
    here = World(named=rules, named_bytes=4 * cost - missing)
    for name in ("jobs", "copies"):
        client = here.connect(name)
        client.subscribe(f"$queue/{name}/in/#", qos=1)
        client.disconnect()
    publisher = Five(here, "p")
    for number in range(3):
        publisher.publish("in/a", b"%d" % number, qos=1)
    reasons = [got.reason for got in publisher.take()]
    assert reasons == ([0, 0, 0x97] if not missing else [0, 0x97, 0x97])
    kept = [len(queue.items) for queue in here.engine.depot.queues.values()]
    assert kept == [reasons.count(0)] * 2
    assert here.engine.stats.dropped_queue_full == 0


def test_a_queue_that_holds_makes_its_publishers_wait_until_half_of_it_is_taken() -> None:
    here = World(**rule(max_bytes=300, when_full="hold"))
    made(here)
    publisher = here.connect("p")
    for number in range(6):
        publisher.publish("in/a", b"%d" % number, qos=1)
    assert publisher.held
    assert len(here.engine.depot.queues[b"jobs"].items) == 4
    client = here.connect("c")
    client.subscribe(JOBS, qos=1)
    assert client.finish() == numbers(6)
    assert not publisher.held


def test_messages_that_are_too_old_leave() -> None:
    here = World(**rule(max_age_s=10))
    made(here)
    publish(here, 2)
    here.wait(5000)
    publish(here, 1, start=2)
    here.wait(5000)
    client = here.connect("c")
    client.subscribe(JOBS, qos=1)
    assert client.finish() == numbers(1, 2)


def test_a_message_that_has_expired_is_not_handed_out() -> None:
    here = World()
    made(here)
    Five(here, "p").publish("in/a", b"short", qos=1, MessageExpiryInterval=2)
    publish(here, 1)
    here.wait(2000)
    client = here.connect("c")
    client.subscribe(JOBS, qos=1)
    assert client.finish() == numbers(1)
    assert here.stats.dropped_expired == 1


def test_there_are_so_many_queues_and_no_more() -> None:
    here = World(named_queues=2)
    client = Five(here, "c")
    assert [client.subscribe(f"$queue/q{number}/t", 1) for number in range(3)] == [1, 1, 0x97]


def test_no_user_makes_more_than_half_of_all_queues() -> None:
    here = Guarded(allow("#"), limits={"named_queues": 4})
    anna, bert = here.five("anna"), here.five("bert")
    assert [anna.subscribe(f"$queue/a{number}/t", 1) for number in range(3)] == [1, 1, 0x97]
    assert anna.subscribe("$stream/a/t", 1) == 0x97
    assert [bert.subscribe(f"$queue/b{number}/t", 1) for number in range(3)] == [1, 1, 0x97]
    assert bert.subscribe("$queue/a0", 1) == 1, "one that is there is open to all"


@pytest.mark.parametrize("kind", ["queue", "stream"])
def test_who_may_not_have_the_topics_does_not_hear_of_the_queue(kind: str) -> None:
    here = Guarded(allow("#", user="anna"), allow("mine/#", user="bert"), limits={"named_queues": 2})
    assert here.five("anna").subscribe(f"${kind}/q/in/#", 1) == 1, "now one more would be above half of them"
    bert = here.five("bert")
    for name in ("q", "r"):
        assert bert.subscribe(f"${kind}/{name}/out/#", 1) == 0x87
    assert bert.subscribe(f"${kind}/q/mine/#", 1) == 0x8F
    assert bert.subscribe(f"${kind}/r/mine/#", 1) == 1


@pytest.mark.parametrize("kind", ["queue", "stream"])
def test_a_queue_that_has_all_the_room_that_there_is_costs_others_no_message(kind: str) -> None:
    here = World(named_bytes=10_000)
    for name in ("small", "large"):
        here.connect(name).subscribe(f"${kind}/{name}/{name}/#", qos=1)
        here.engine.sessions[name.encode()].peer.handle.cut()  # type: ignore[union-attr]
    publisher = here.connect("p")
    publisher.publish("small/a", b"first", qos=1)
    for _ in range(100):
        publisher.publish("large/a", bytes(1000), qos=1)
    for _ in range(5):
        publisher.publish("small/a", bytes(500), qos=1)
    found = {each["name"]: each["messages"] for each in here.engine.depot.describe()}
    assert found == {"small": 6, "large": 9}
    assert here.engine.ledger.named < 15_000
