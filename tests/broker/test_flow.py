"""Back-pressure: slow subscribers make publishers wait, nobody waits for ever, nothing is dropped in silence."""

import itertools

import pytest

from mqttlite.broker.engine import Engine
from tests.broker.world import Wire, World


def fill(publisher: Wire, topic: str, count: int, qos: int = 1) -> list[bytes]:
    """Publish `count` messages, whether the broker would read them or not; their payloads."""
    payloads = [b"%d" % number for number in range(count)]
    for number, payload in enumerate(payloads):
        publisher.publish(topic, payload, qos=qos, packet_id=number + 1)
    return payloads


def test_a_subscriber_that_does_not_acknowledge_makes_its_publisher_wait_until_half_is_taken() -> None:
    world = World(queue_messages=10)
    slow, publisher, other = world.connect("slow"), world.connect("p"), world.connect("other")
    slow.subscribe("t", qos=1)
    sent = fill(publisher, "t", 30)
    assert publisher.read  # 20 sent, 10 queued
    sent.append(b"more")
    publisher.publish("t", b"more", qos=1)
    assert not publisher.read
    assert other.read
    first = [fields["packet_id"] for _, fields in slow.packets()]
    for packet_id in first[:5]:
        slow.send("puback", packet_id=packet_id)
    assert not publisher.read
    slow.send("puback", packet_id=first[5])
    assert publisher.read
    for packet_id in first[6:]:
        slow.send("puback", packet_id=packet_id)
    got = sent[:20] + slow.finish()
    assert got == sent
    assert world.stats.limits["queue_messages"] == 1
    assert world.stats.messages_dropped == 0


def test_bytes_count_as_well_as_messages() -> None:
    world = World(queue_bytes=10_000)
    slow, publisher = world.connect("slow"), world.connect("p")
    slow.subscribe("t", qos=1)
    for number in range(20 + 9):
        publisher.publish("t", bytes(1000), qos=1, packet_id=number + 1)
    assert publisher.read
    publisher.publish("t", bytes(1000), qos=1)
    assert not publisher.read
    assert len(slow.finish()) == 30
    assert publisher.read


def test_a_full_write_buffer_makes_publishers_of_qos_1_wait_and_drops_qos_0_counted_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    slow, publisher = world.connect("slow"), world.connect("p")
    slow.subscribe("t", qos=1)
    slow.writable(False)
    for _ in range(100):
        publisher.publish("t", b"0")
    assert publisher.read
    assert world.stats.dropped_slow == world.stats.limits["write_buffer_bytes"] == 100
    assert caplog.text.count("QoS 0 message dropped") == 1
    world.now += 10_000
    publisher.publish("t", b"0")
    assert "(100 times since the last such line)" in caplog.text
    publisher.publish("t", b"1", qos=1)
    assert not publisher.read
    slow.writable(True)
    assert publisher.read
    publisher.publish("t", b"0")
    assert slow.payloads() == [b"1", b"0"]


def test_a_client_that_publishes_to_itself_is_read_all_the_time() -> None:
    world = World(queue_messages=10)
    client = world.connect("c")
    client.subscribe("t", qos=2)
    sent = fill(client, "t", 60, qos=2)
    assert client.read
    assert client.finish() == sent


def test_of_two_that_publish_to_each_other_one_is_always_read() -> None:
    world = World(queue_messages=10)
    a, b = world.connect("a"), world.connect("b")
    a.subscribe("to/a", qos=1)
    b.subscribe("to/b", qos=1)
    to_b = fill(a, "to/b", 40)
    assert not a.read
    to_a = fill(b, "to/a", 40)
    assert b.read
    assert b.finish() == to_b
    assert a.read
    assert a.finish() == to_a


def test_waiting_in_a_circle_over_others_does_not_happen_either() -> None:
    world = World(queue_messages=10)
    names = ["a", "b", "c"]
    ring = {name: world.connect(name) for name in names}
    for name in names:
        ring[name].subscribe(f"to/{name}", qos=1)
    for name, after in itertools.pairwise([*names, "a"]):
        fill(ring[name], f"to/{after}", 40)
    assert [ring[name].read for name in names] == [False, False, True]
    for name in reversed(names):  # c is read, so its acknowledgements let b go on, and b's let a
        assert ring[name].read
        assert len(ring[name].finish()) == 40


def test_who_cannot_be_made_to_wait_is_disconnected_at_the_hard_limit_before_the_message_is_acknowledged() -> None:
    world = World(queue_messages=10, queue_hard=2)
    client = world.connect("c", clean=False)
    client.subscribe("t", qos=1)
    fill(client, "t", 20 + 20)
    assert not client.closed
    client.publish("t", b"too much", qos=1, packet_id=1000)
    assert client.closed
    acknowledged = [fields["packet_id"] for kind, fields in client.packets() if kind == "puback"]
    assert 1000 not in acknowledged
    again = world.connect("c", clean=False, present=True)
    assert len(again.finish()) == len(acknowledged) == 40


def test_a_stalled_subscriber_is_disconnected_so_that_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    world = World(queue_messages=10, stall_ms=30_000)
    stuck, publisher = world.connect("stuck", clean=False), world.connect("p")
    stuck.subscribe("t", qos=1)
    fill(publisher, "t", 31)
    world.wait(0)
    world.wait(29_999)
    assert not publisher.read
    world.wait(1)
    assert stuck.closed
    assert publisher.read
    assert "takes nothing while others wait for it" in caplog.text
    # What it was sent is still there, more than the queue for clients that are away would take.
    assert len(world.connect("stuck", clean=False, present=True).finish()) == 31


def test_a_slow_subscriber_that_moves_is_not_stalled() -> None:
    world = World(queue_messages=10, stall_ms=30_000)
    slow, publisher = world.connect("slow"), world.connect("p")
    slow.subscribe("t", qos=1)
    fill(publisher, "t", 40)
    for _, fields in slow.packets()[:5]:
        world.wait(29_000)
        slow.send("puback", packet_id=fields["packet_id"])
    slow.writable(False)
    for slow.unwritten in (3000, 2000, 1000):
        world.wait(29_000)
    assert not slow.closed


def test_a_publisher_that_has_to_wait_does_not_time_out_meanwhile() -> None:
    world = World(queue_messages=10, stall_ms=1_000_000)
    slow, publisher = world.connect("slow"), world.connect("p", keep_alive_s=10)
    slow.subscribe("t", qos=1)
    fill(publisher, "t", 40)
    world.wait(60_000)
    assert not publisher.closed
    slow.finish()
    assert publisher.read
    world.wait(14_999)
    assert not publisher.closed
    world.wait(1)
    assert publisher.closed


@pytest.mark.parametrize("clean", [True, False])
def test_publishers_go_on_when_the_slow_subscriber_leaves(clean: bool) -> None:
    world = World(queue_messages=10)
    slow, publisher = world.connect("slow", clean=clean), world.connect("p")
    slow.subscribe("t", qos=1)
    fill(publisher, "t", 40)
    slow.cut()
    assert publisher.read
    assert_tidy(world.engine)


def test_a_waiting_publisher_can_leave() -> None:
    world = World(queue_messages=10)
    slow, publisher = world.connect("slow"), world.connect("p")
    slow.subscribe("t", qos=1)
    fill(publisher, "t", 40)
    publisher.cut()
    assert len(slow.finish()) == 40
    assert_tidy(world.engine)


def test_a_publisher_waits_for_every_slow_subscriber() -> None:
    world = World(queue_messages=10)
    one, two, publisher = world.connect("1"), world.connect("2"), world.connect("p")
    one.subscribe("t", qos=1)
    two.subscribe("t", qos=2)
    fill(publisher, "t", 40, qos=2)
    one.finish()
    assert not publisher.read
    two.finish()
    assert publisher.read
    assert_tidy(world.engine)


def test_the_queue_of_a_client_that_is_away_drops_the_newest_counted_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(queue_messages=10)
    client, publisher = world.connect("c", clean=False), world.connect("p")
    client.subscribe("t", qos=1)
    client.cut()
    sent = fill(publisher, "t", 13)
    assert publisher.read
    assert world.stats.dropped_queue_full == world.stats.limits["queue_messages"] == 3
    assert "'c' (offline): queue is full: message dropped" in caplog.text
    assert world.connect("c", clean=False, present=True).finish() == sent[:10]


def test_the_queue_of_a_client_that_is_away_is_bounded_in_bytes() -> None:
    world = World(queue_bytes=10_000)
    client, publisher = world.connect("c", clean=False), world.connect("p")
    client.subscribe("t", qos=1)
    publisher.publish("t", bytes(5000), qos=1)
    client.cut()
    publisher.publish("t", bytes(4900), qos=1)
    publisher.publish("t", bytes(4900), qos=1)
    assert world.stats.dropped_queue_full == 1
    client = world.connect("c", clean=False, present=True)
    assert [len(payload) for payload in client.finish()] == [5000, 4900]


def test_retained_messages_beyond_what_a_client_takes_are_deferred_not_dropped() -> None:
    world = World(queue_messages=10)
    publisher = world.connect("p")
    for number in range(100):
        publisher.publish(f"a/{number}", b"x", qos=1, retain=True)
    publisher.publish("b", b"x", qos=1, retain=True)
    publisher.publish("gone", b"x", qos=1, retain=True)
    client = world.connect("c")
    client.subscribe("a/#", qos=1)
    client.subscribe("b", "gone", qos=1)
    client.unsubscribe("gone")
    assert client.kinds() == ["publish"] * 20 + ["unsuback"]
    for packet_id in range(1, 21):
        client.send("puback", packet_id=packet_id)
    assert len(client.finish()) == 100 + 1 - 20
    assert_tidy(world.engine)


def test_retained_messages_of_qos_0_wait_for_room_in_the_write_buffer() -> None:
    world = World()
    world.connect("p").publish("t", b"x", retain=True)
    client = world.connect("c")
    client.writable(False)
    client.subscribe("t")
    assert client.messages() == []
    client.writable(True)
    assert client.payloads() == [b"x"]


def assert_tidy(engine: Engine) -> None:
    """Nobody waits for anybody."""
    flow = engine.router.flow
    assert not flow.behind
    assert not flow.overfull
    assert not any(peer.waits_for for peer in engine.peers)
    assert not any(client.waiting for client in engine.sessions.values())
