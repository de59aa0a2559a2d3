"""Budgets of queues: what becomes of a message for which there is no room, who is told, and who is not harmed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqttlite.broker.clients.queue import Queue
from mqttlite.broker.counting.ledger import IDENTIFIER, MESSAGE, Ledger
from mqttlite.broker.limits import QueueRule
from mqttlite.broker.sessions.status import gap_topic
from mqttlite.core.records import State
from mqttlite.core.session import SPAN
from tests.broker.routing.test_backpressure import SIZE, acknowledged, assert_tidy, fill
from tests.broker.world import World


def rule(when_full: str, messages: int = 10) -> dict[str, object]:
    """Limits with a rule for clients "c..." and room for so many messages of two digits."""
    return {"queues": (QueueRule("c*", when_full, messages * (SIZE + 2)),)}


def away(world: World, name: str = "c", clean: bool = False) -> None:
    """A session whose client is offline."""
    client = world.connect(name, clean=clean)
    client.subscribe("t", qos=1)
    client.send("pingreq")
    client.cut()


def numbers(count: int) -> list[bytes]:
    return [b"%02d" % number for number in range(count)]


@pytest.mark.parametrize(("when_full", "kept"), [("drop-newest", numbers(13)[:10]), ("drop-oldest", numbers(13)[3:])])
def test_the_queue_of_a_client_that_is_away_drops_the_newest_or_the_oldest_counted_and_logged(
    when_full: str, kept: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    world = World(**rule(when_full))
    away(world)
    publisher = world.connect("p")
    for payload in numbers(13):
        publisher.publish("t", payload, qos=1)
    assert not publisher.held
    assert len(acknowledged(publisher)) == 13
    assert world.stats.dropped_queue_full == world.stats.limits["queue_bytes"] == 3
    assert f"'c' (offline): queue is full: the {when_full[5:]} message is dropped, number 1" in caplog.text
    assert world.connect("c", clean=False, present=True).finish() == kept
    assert_tidy(world.engine)


def test_a_queue_is_bounded_in_bytes_alone_whatever_their_number() -> None:
    world = World()
    away(world)
    publisher = world.connect("p")
    for number in range(5000):
        publisher.publish("t", b"%05d" % number, qos=1, packet_id=number + 1)
    assert world.stats.messages_dropped == 0
    assert len(world.connect("c", clean=False, present=True).finish()) == 5000


@pytest.mark.parametrize("qos", [1, 2])
def test_drop_oldest_never_drops_what_was_sent(qos: int) -> None:
    world = World(**rule("drop-oldest", 30), hold_ms=0)
    client, publisher = world.connect("c", clean=False), world.connect("p")
    client.subscribe("t", qos=qos)
    sent = numbers(40)
    for number, payload in enumerate(sent):
        publisher.publish("t", payload, qos=qos, packet_id=number + 1)
    assert client.closed  # its session dies with the broker, so it is disconnected, and its queue as an offline one
    assert world.stats.dropped_queue_full == 10
    again = world.connect("c", clean=False, present=True)
    got = again.packets()
    assert [packet.fields["dup"] for packet in got] == [True] * 20
    for packet_id in [packet.fields["packet_id"] for packet in got]:
        again.send("puback" if qos == 1 else "pubrec", packet_id=packet_id)
        if qos == 2:
            again.send("pubcomp", packet_id=packet_id)
    payloads = [packet.fields["payload"] for packet in got] + again.finish()
    assert payloads == sent[:20] + sent[30:]
    state = world.engine.sessions[b"c"].session
    assert state.unfinished == 0
    assert not state.messages
    assert_tidy(world.engine)


def test_refuse_closes_the_publisher_before_the_message_is_acknowledged_or_given_to_anybody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(**rule("refuse"))
    away(world)
    other, publisher, bystander = world.connect("other"), world.connect("p"), world.connect("b")
    other.subscribe("t", qos=1)
    for payload in numbers(11):
        publisher.publish("t", payload, qos=1)
    assert publisher.closed
    assert len(acknowledged(publisher)) == 10
    assert other.finish() == numbers(10)
    assert "the queue of 'c' (offline) is full (queue_bytes)" in caplog.text
    bystander.publish("t", b"QoS 0 is not for the queue")
    bystander.publish("elsewhere", b"x", qos=2)
    assert not bystander.closed
    client = world.connect("c", clean=False, present=True)
    assert client.finish() == numbers(10)
    again = world.connect("p")
    again.publish("t", b"again", qos=1)
    assert client.payloads() == [b"again"]
    assert world.stats.dropped_queue_full == 0


@pytest.mark.parametrize("qos", [1, 2])
def test_hold_makes_publishers_of_that_topic_wait_until_half_is_taken(qos: int) -> None:
    world = World(**rule("hold"))
    away(world)
    publisher, other = world.connect("p", keep_alive_s=10), world.connect("other")
    for number, payload in enumerate(numbers(15)):
        publisher.publish("t", payload, qos=qos, packet_id=number + 1)
    for _ in range(10):
        world.wait(10_000)
        publisher.send("pingreq")
    assert publisher.held
    assert not publisher.closed
    assert publisher.kinds() == ["puback" if qos == 1 else "pubrec"] * 10 + ["pingresp"] * 10
    other.publish("elsewhere", b"x", qos=1)
    assert other.kinds() == ["puback"]
    client = world.connect("c", clean=False, present=True)
    assert client.finish() == numbers(15)
    assert not publisher.held
    assert len(acknowledged(publisher)) == 5
    assert world.stats.messages_received == 16
    assert_tidy(world.engine)


def test_a_slow_client_that_comes_back_to_publishers_that_wait_has_its_time_to_take_something() -> None:
    world = World(**rule("hold"))
    away(world)
    publisher = world.connect("p")
    fill(publisher, "t", 20)
    assert publisher.held
    world.wait(100_000)
    client = world.connect("c", clean=False, present=True)
    assert publisher.held
    world.wait(29_000)
    assert not client.closed
    world.wait(1000)
    assert client.closed  # it has taken nothing
    client = world.connect("c", clean=False, present=True)
    assert client.packets()
    world.wait(29_000)
    assert not client.closed


def test_hold_ends_with_the_session() -> None:
    world = World(**rule("hold"))
    away(world)
    publisher = world.connect("p")
    fill(publisher, "t", 15)
    assert publisher.held
    world.connect("c")  # a clean session
    assert not publisher.held
    assert_tidy(world.engine)


def test_a_client_at_its_budget_with_a_clean_session_is_disconnected_and_nobody_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(queue_bytes=5000)
    hung = world.connect("hung", will=("w", b"", 0, False))
    good, publisher = world.connect("good"), world.connect("p")
    hung.subscribe("t", qos=1)
    good.subscribe("t", "w", qos=1)
    sent: list[bytes] = []
    got: list[bytes] = []
    for number in range(10):
        sent.append(bytes(1000) + bytes((number,)))
        publisher.publish("t", sent[-1], qos=1)
        got += good.finish()
    assert hung.closed
    assert not publisher.closed
    assert len(acknowledged(publisher)) == 10
    assert sorted(got) == sorted([*sent, b""])  # and its will
    assert "4 messages end with its clean session" in caplog.text
    assert b"hung" not in world.engine.sessions
    assert_tidy(world.engine)


def test_who_feeds_itself_harms_only_itself() -> None:
    world = World(queue_bytes=100_000)
    attacker, honest = world.connect("attacker"), world.connect("honest")
    attacker.subscribe("#", qos=1)
    for number in range(3000):
        if attacker.closed:
            break
        attacker.publish("x", qos=1, packet_id=1 + number)
        world.wait(1)
    for qos in (0, 1, 2):
        honest.publish("house", b"21", qos=qos)
    assert attacker.closed
    assert not honest.closed
    assert honest.kinds() == ["puback", "pubrec"]


def test_wills_go_through_the_same_account_and_a_chain_of_them_ends() -> None:
    world = World(queue_bytes=2000)
    chain = []
    for number in range(60):  # each one's will is what brings the next to its end
        wire = world.connect(f"c{number}", will=(f"to/{number + 1}", bytes(1900), 1, False))
        wire.subscribe(f"to/{number}", qos=1)
        world.connect(f"filler{number}").publish(f"to/{number}", bytes(500), qos=1)
        chain.append(wire)
    chain[0].cut()
    assert all(wire.closed for wire in chain[1:])
    assert world.stats.failures == 0
    world.engine.backpressure.settle()
    assert world.engine.ledger.queued == 0


def test_all_queues_together_have_a_budget_and_a_fair_share_stays_for_each() -> None:
    world = World(queue_bytes=50_000, queues_bytes=100_000)
    for name in ("hoard1", "hoard2", "hoard3", "modest"):
        client = world.connect(name, clean=False)
        client.subscribe(name, qos=1)
        client.cut()
    publisher = world.connect("p")
    for _ in range(60):
        for name in ("hoard1", "hoard2", "hoard3"):
            publisher.publish(name, bytes(1000), qos=1)
    assert world.engine.ledger.queued <= 100_000
    assert world.stats.limits["queues_bytes"] > 0
    before = world.stats.messages_dropped
    for _ in range(10):
        publisher.publish("modest", bytes(1000), qos=1)
    assert world.stats.messages_dropped == before


def test_a_subscriber_is_told_of_its_gap_with_its_causes_and_the_log_sums_it_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(**rule("drop-newest"))
    away(world, "c/+ü")
    publisher = world.connect("p")
    for payload in numbers(17):
        publisher.publish("t", payload, qos=1)
    topic = gap_topic("c/+ü".encode()).decode()
    assert topic == "$SYS/broker/clients/c%2F%2B%C3%BC/dropped"
    world.wait(10_000)
    watcher = world.connect("watcher")
    watcher.subscribe(topic, qos=1)
    ((_, payload, qos, retain),) = watcher.messages()
    assert (json.loads(payload), qos, retain) == ({"queue_bytes": 7}, 0, True)
    assert "its gap is over" not in caplog.text
    client = world.connect("c/+ü", clean=False, present=True)
    client.subscribe("$SYS/broker/clients/c%2F%2B%C3%BC/dropped", qos=1)
    assert len(client.finish()) == 11
    world.wait(1000)
    assert "its gap is over: 7 messages dropped; since its beginning: queue_bytes 7" in caplog.text
    assert [json.loads(payload) for payload in client.finish()] == [{"queue_bytes": 7}]
    assert len(watcher.messages()) == 1
    client.disconnect()
    world.connect("c/+ü")  # a clean session: what was said of the one before goes
    late = world.connect("late")
    late.subscribe(topic)
    assert late.messages() == []


@pytest.mark.parametrize(
    "limits", [{}, {"topic_levels": 1, "topic_bytes": 5}, {"client_id_bytes": 8000, "connect_bytes": 8192}]
)
def test_a_long_client_identifier_is_told_of_its_gap_whatever_the_limits_of_topics(limits: dict[str, int]) -> None:
    world = World(**rule("drop-newest"), **limits)
    name = "c" + "ü" * (limits.get("client_id_bytes", 200) // 3)
    away(world, name)
    watcher = world.connect("watcher")
    world.engine.router.restore(world.engine.sessions[b"watcher"], b"$SYS/broker/#", 0)
    fill(world.connect("p"), "t", 20)
    world.wait(10_000)
    assert {"queue_bytes": 10} in [json.loads(said) for topic, said, _, _ in watcher.messages() if "/dropped" in topic]
    heard = watcher.subscribe(gap_topic(name.encode()).decode())
    assert heard == [0x80 if limits.get("topic_levels") else 0]
    world.connect(name)  # a clean session: the one before goes, and what was said of it
    assert world.engine.router.retained.get(gap_topic(name.encode())) is None
    assert world.stats.failures == 0


def test_what_is_told_of_a_gap_does_not_make_it_longer() -> None:
    world = World(**rule("drop-newest"))
    client = world.connect("c", clean=False)
    client.subscribe("t", "$SYS/broker/clients/#", qos=1)
    client.cut()
    fill(world.connect("p"), "t", 20)
    dropped = world.engine.sessions[b"c"].dropped.copy()
    for _ in range(60):
        world.wait(1000)
    assert world.engine.sessions[b"c"].dropped == dropped


def test_messages_count_with_their_topic_and_a_lump() -> None:
    world = World(queue_bytes=3 * (1 + 2 + 2 + 4 + 100 + MESSAGE))
    client = world.connect("c", clean=False)
    client.subscribe("long", qos=1)
    client.cut()
    publisher = world.connect("p")
    for _ in range(4):
        publisher.publish("long", bytes(100), qos=1)
    assert world.stats.dropped_queue_full == 1


class Counting(dict[int, tuple[bytes, bytes, bytes]]):
    """Messages; `looks`: how often one was looked for."""

    looks = 0

    def get(self, seq: int, *default: object) -> Any:
        self.looks += 1
        return dict.get(self, seq, *default)


def test_drop_oldest_does_not_look_again_and_again_at_what_cannot_be_dropped() -> None:
    ledger = Ledger()
    queue = Queue(20, 1_000_000, ledger)
    state = State()
    state.next = 3001
    state.messages = messages = Counting(dict.fromkeys(range(1, 3001), (b"\x34\x00\x00\x01t", b"", b"")))
    queue.load(state)  # after a restart any of them may have been sent
    messages.looks = 0
    for _ in range(100):
        assert not queue.drop_oldest()
    assert messages.looks <= 3000
    queue.publish(b"\x34\x00\x00\x01t", b"new")
    queue.sizes.append(100)
    assert queue.drop_oldest()
    assert not queue.drop_oldest()
    assert len(queue.messages) == 3000


def test_rules_go_by_the_first_pattern_that_fits_and_never_by_what_clients_call_themselves() -> None:
    world = World(queues=(QueueRule("pump-[0-9]*", "refuse", 5000), QueueRule("*", "drop-oldest")))
    for name, wanted in (("pump-7", "refuse"), ("pump-x", "drop-oldest"), ("*", "drop-oldest"), ("[a", "drop-oldest")):
        world.connect(name)
        assert world.engine.sessions[name.encode()].when_full == wanted
    assert world.engine.sessions[b"pump-7"].session.size_max == 5000
    assert world.engine.sessions[b"pump-x"].session.size_max == world.engine.limits.queue_bytes


@given(st.lists(st.tuples(st.sampled_from("pppadco"), st.integers(0, 30)), max_size=80), st.sampled_from([1, 2]))
def test_the_account_of_a_queue_is_right_when_it_is_settled_and_never_too_small(
    steps: list[tuple[str, int]], qos: int
) -> None:
    """p: publish, a: one is acknowledged (by its place among those sent), d, c: connection lost, made; o: drop one."""
    ledger = Ledger()
    queue = Queue(100, 1 << 20, ledger)
    queue.window = 5
    for step, number in steps:
        if step == "p":
            cost = 10 + number + MESSAGE
            queue.room -= cost
            queue.sizes.append(cost)
            ledger.queued += cost
            queue.publish(bytes((0x30 | qos << 1,)) + bytes(9), bytes(number))
        elif step == "a" and queue.out is not None and queue.unfinished:
            sent = [seq for seq in queue.messages if seq < queue.sent]
            packet_id = sorted(sent)[number % len(sent)] % SPAN + 1
            if qos == 2:
                queue.acknowledged(0x50, packet_id)
            queue.acknowledged(0x40 if qos == 1 else 0x70, packet_id)
        elif step == "d" and queue.out is not None:
            queue.disconnected()
        elif step == "c" and queue.out is None:
            queue.connected([], True)
        elif step == "o":
            queue.drop_oldest()
        held = sum(len(head) + len(payload) + MESSAGE for head, payload, _ in queue.messages.values())
        assert held <= queue.bytes == ledger.queued
        assert queue.unfinished == len([seq for seq in queue.messages if seq < queue.sent]) or queue.out is None
        if number % 3 == 0:
            queue.settle()
            assert queue.messages or queue.bytes == 0
    if not any(seq < queue.sent for seq in queue.messages):
        queue.settle()
        held = sum(len(head) + len(payload) + MESSAGE for head, payload, _ in queue.messages.values())
        assert queue.bytes == held


def test_identifiers_of_qos_2_have_a_budget_and_then_each_session_its_share() -> None:
    world = World(identifiers_bytes=300 * IDENTIFIER)
    hoard, modest = world.connect("hoard"), world.connect("modest")
    for number in range(400):
        hoard.publish("t", qos=2, packet_id=number + 1)
    modest.publish("t", qos=2)
    world.wait(1000)
    assert world.engine.ledger.identifiers == 401 * IDENTIFIER
    modest.publish("t", qos=2)
    assert not modest.closed
    hoard.publish("t", qos=2, packet_id=500)
    assert hoard.closed
    world.wait(1000)
    world.wait(1000)
    assert world.engine.sessions[b"modest"].session.inbound_max == world.engine.limits.inbound
