"""Clients that do not keep up: what they cost their publishers, and what becomes of their queues."""

import itertools

import pytest

from mqttlite.broker.counting.ledger import MESSAGE
from mqttlite.broker.engine import Engine
from tests.broker.world import Wire, World

SIZE = 1 + 2 + 2 + 1 + MESSAGE  # of an empty message of topic "t" in a queue


def fill(publisher: Wire, topic: str, count: int, qos: int = 1, size: int = 0) -> list[bytes]:
    """Publish `count` messages, whether the broker would read them or not; their payloads."""
    payloads = [(b"%d" % number).ljust(size, b".") for number in range(count)]
    for number, payload in enumerate(payloads):
        publisher.publish(topic, payload, qos=qos, packet_id=number + 1)
    return payloads


def acknowledged(wire: Wire) -> list[int]:
    """Identifiers of the PUBACK and PUBREC that have come since the last look."""
    return [fields["packet_id"] for kind, fields in wire.packets() if kind in ("puback", "pubrec")]


def assert_tidy(engine: Engine) -> None:
    """Nobody waits for anybody, and nothing is left in the accounts of what is over."""
    backpressure = engine.backpressure
    assert not backpressure.behind
    assert not backpressure.holding
    assert not any(peer.waits_for or peer.parked for peer in engine.peers)
    assert not any(client.waiting for client in engine.sessions.values())
    assert engine.ledger.received == 0
    backpressure.settle()
    assert engine.ledger.queued == sum(client.session.bytes for client in engine.sessions.values())


# -- publishers are held back for a moment


def test_a_publisher_is_held_back_until_a_slow_subscriber_has_caught_up() -> None:
    world = World(hold_bytes=30 * (SIZE + 2))
    slow, publisher, other = world.connect("slow"), world.connect("p"), world.connect("other")
    slow.subscribe("t", qos=1)
    sent = fill(publisher, "t", 30)
    assert not publisher.held  # 20 sent, 10 queued
    sent += fill(publisher, "t", 12)
    assert publisher.held
    assert not other.held
    assert len(slow.packets()) == 20
    assert len(acknowledged(publisher)) < 42  # the rest is parked
    for packet_id in range(1, 11):
        slow.send("puback", packet_id=packet_id)
    assert publisher.held
    slow.send("puback", packet_id=11)
    assert not publisher.peer.parked
    for packet_id in range(12, 21):
        slow.send("puback", packet_id=packet_id)
    assert sent[:20] + slow.finish() == sent
    assert not publisher.held
    assert world.stats.limits["hold_bytes"] > 0
    assert world.stats.messages_dropped == 0
    assert_tidy(world.engine)


@pytest.mark.parametrize("qos", [1, 2])
def test_a_second_is_all_that_a_subscriber_costs_until_it_has_caught_up(qos: int) -> None:
    world = World(hold_bytes=1000, hold_ms=1000)
    hung, publisher = world.connect("hung"), world.connect("p")
    hung.subscribe("t", qos=qos)
    fill(publisher, "t", 60, qos)
    assert publisher.held
    taken = len(acknowledged(publisher))
    assert taken < 60
    world.wait(999)
    assert publisher.held
    world.wait(1)
    assert not publisher.held
    assert len(acknowledged(publisher)) == 60 - taken
    fill(publisher, "t", 60, qos)
    assert not publisher.held  # not a second time
    for _ in range(50):
        world.wait(100)
        assert not publisher.held
    if qos == 2:
        for packet_id in range(1, 61):
            publisher.send("pubrel", packet_id=packet_id)
    hung.finish()
    fill(publisher, "t", 60, qos)
    assert publisher.held  # it has shown that it lives


def test_a_full_write_buffer_holds_publishers_of_qos_1_back_and_drops_qos_0_counted_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    slow, publisher = world.connect("slow"), world.connect("p")
    slow.subscribe("t", qos=1)
    slow.writable(False)
    for _ in range(100):
        publisher.publish("t", b"0")
    assert not publisher.held
    assert world.stats.dropped_slow == world.stats.limits["write_buffer_bytes"] == 100
    assert caplog.text.count("QoS 0 message dropped, number 1 of its session") == 1
    world.now += 10_000
    publisher.publish("t", b"0")
    assert "number 101 of its session (100 times since the last such line)" in caplog.text
    publisher.publish("t", b"1", qos=1)
    assert publisher.held
    slow.writable(True)
    assert not publisher.held
    publisher.publish("t", b"0")
    assert slow.payloads() == [b"1", b"0"]


def test_what_a_held_publisher_sends_beside_publish_is_answered_at_once() -> None:
    world = World(hold_bytes=1000)
    hung, publisher, other = world.connect("hung"), world.connect("p"), world.connect("other")
    hung.subscribe("t", qos=1)
    publisher.subscribe("to/p", qos=2)
    fill(publisher, "t", 40)
    publisher.packets()
    other.publish("to/p", b"x", qos=2)
    assert publisher.held
    publisher.send("pingreq")
    assert publisher.subscribe("more") == [0]
    publisher.unsubscribe("more")
    (packet_id,) = [f["packet_id"] for kind, f in publisher.packets() if kind == "publish"]
    publisher.send("pubrec", packet_id=packet_id)
    publisher.send("pubcomp", packet_id=packet_id)
    assert publisher.kinds() == ["pubrel"]
    assert publisher.held
    assert not world.engine.sessions[b"p"].session.messages


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("how", ["disconnect", "cut", "take over"])
def test_what_a_held_publisher_has_sent_before_it_leaves_is_taken_in_order_and_its_will_follows_or_not(
    how: str, qos: int
) -> None:
    world = World(hold_bytes=1000)
    hung, watcher = world.connect("hung"), world.connect("watcher")
    hung.subscribe("t", qos=1)
    watcher.subscribe("t", "w", qos=0)
    publisher = world.connect("p", will=("w", b"will", 0, False))
    sent = fill(publisher, "t", 40)
    assert publisher.held
    publisher.publish("t", b"last", qos=qos, packet_id=99 if qos else 0)
    assert len(watcher.payloads()) < 41
    before = world.stats.messages_received
    if how == "take over":
        world.connect("p")
    else:
        getattr(publisher, how)()
    got = watcher.payloads()
    assert world.stats.messages_received == before + len(got) - (how != "disconnect")
    assert got == [*sent, b"last", *([b"will"] if how != "disconnect" else [])][-len(got) :]
    hung.cut()
    assert_tidy(world.engine)


def test_a_held_publisher_does_not_time_out_and_is_read_until_its_buffer_is_full() -> None:
    world = World(hold_bytes=1000, parked_bytes=5000, hold_ms=60_000, stall_ms=1_000_000)
    hung, publisher = world.connect("hung"), world.connect("p", keep_alive_s=10)
    hung.subscribe("t", qos=1)
    fill(publisher, "t", 40)
    assert publisher.held
    assert publisher.read
    fill(publisher, "t", 10, size=1000)
    assert not publisher.read
    for _ in range(20):
        world.wait(1000)
        hung.send("pingreq")
    assert not publisher.closed
    world.wait(40_000)
    assert publisher.read
    world.wait(15_000)
    assert publisher.closed  # now its silence is its own


def test_clients_that_wait_for_each_other_in_a_circle_wait_a_second() -> None:
    world = World(hold_bytes=1000)
    names = ["a", "b", "c"]
    ring = {name: world.connect(name) for name in names}
    for name in names:
        ring[name].subscribe(f"to/{name}", qos=1)
    for name, after in itertools.pairwise([*names, "a"]):
        fill(ring[name], f"to/{after}", 40)
    assert all(ring[name].held for name in names)
    for name in names:
        ring[name].finish()  # acknowledgements are read all the time
    assert not any(ring[name].held for name in names)
    assert world.stats.messages_dropped == 0


@pytest.mark.parametrize("clean", [True, False])
def test_publishers_go_on_when_the_slow_subscriber_leaves(clean: bool) -> None:
    world = World(hold_bytes=1000)
    slow, publisher = world.connect("slow", clean=clean), world.connect("p")
    slow.subscribe("t", qos=1)
    fill(publisher, "t", 40)
    assert publisher.held
    slow.cut()
    assert not publisher.held
    assert len(acknowledged(publisher)) == 40
    assert_tidy(world.engine)


def test_a_publisher_waits_for_every_slow_subscriber() -> None:
    world = World(hold_bytes=1000)
    one, two, publisher = world.connect("1"), world.connect("2"), world.connect("p")
    one.subscribe("t", qos=1)
    two.subscribe("t", qos=2)
    for number in range(21):
        publisher.publish("t", bytes(50), qos=2, packet_id=number + 1)
    one.finish()
    assert publisher.held
    two.finish()
    assert not publisher.held
    assert_tidy(world.engine)


# -- a client that takes too little


def hopeless(client: Wire, world: World) -> None:
    """A client with a queue that it does not take."""
    client.subscribe("t", qos=1)
    fill(world.connect("filler"), "t", 60)
    world.wait(1000)


def test_one_acknowledgement_in_twenty_seconds_is_no_progress(caplog: pytest.LogCaptureFixture) -> None:
    world = World(hold_bytes=1000)
    slow = world.connect("slow", clean=False)
    hopeless(slow, world)
    for packet_id in (1, 2):
        world.wait(14_000)
        slow.send("puback", packet_id=packet_id)
    assert not slow.closed
    world.wait(2000)
    assert slow.closed
    assert "takes too little" in caplog.text
    assert len(world.connect("slow", clean=False, present=True).finish()) == 58  # what was queued is still there


def test_a_slow_client_that_takes_the_least_rate_stays() -> None:
    world = World(hold_bytes=1000, min_rate=10)
    slow = world.connect("slow")
    hopeless(slow, world)
    for packet_id in range(1, 31):
        world.wait(5000)
        slow.send("puback", packet_id=packet_id)
    assert not slow.closed


@pytest.mark.parametrize("connected", [False, True])
def test_a_connection_whose_output_stands_is_closed_and_one_that_drains_is_not(connected: bool) -> None:
    world = World(stall_ms=30_000, min_rate=100)
    wires = [world.connect(name) if connected else world.open() for name in ("stands", "drains")]
    for wire in wires:
        wire.peer.written = wire.unwritten = 300_000
        wire.writable(False)
    for _ in range(5):
        world.wait(6000)
        wires[1].unwritten -= 800
    assert [wire.closed for wire in wires] == [True, not connected]  # without CONNECT, ten seconds are all


# -- answers that nobody reads


@pytest.mark.parametrize("kind", ["pingreq", "pubrel", "pubrec", "subscribe"])
def test_a_client_that_does_not_take_its_answers_is_not_read(kind: str) -> None:
    world = World(write_buffer_bytes=1000)
    client = world.connect("c", keep_alive_s=10)
    fields = {"subscribe": {"packet_id": 1, "subscriptions": [("a", 0)]}, "pingreq": {}}.get(kind, {"packet_id": 1})
    client.writable(False)
    while client.read:
        before = len(client._bytes)
        client.send(kind, **fields)
        client.unwritten += len(client._bytes) - before
        client.peer.paused = not client.read
    assert client.unwritten <= 2100
    world.wait(20_000)
    assert not client.closed  # it cannot speak: its keep alive does not count ...
    world.wait(10_000)
    assert client.closed  # ... but this does


# -- a turn of the loop has a budget


def test_who_sends_much_at_once_gets_one_turn_after_the_other() -> None:
    world = World(turn_work=100)
    client = world.connect("c")
    world.engine.receive(client.peer, b"\xc0\0" * 1000, world.now)
    world.flush(turns=0)
    assert len(client.packets()) <= 102
    assert not client.read
    world.flush()
    assert client.read
    assert len(client.packets()) == 900


def test_deliveries_count_as_well_as_packets() -> None:
    world = World(turn_work=100)
    readers = [world.connect(f"r{n}") for n in range(50)]
    for reader in readers:
        reader.subscribe("t")
    publisher = world.connect("p")
    world.engine.receive(publisher.peer, b"\x30\x04\0\1tx" * 100, world.now)
    world.flush(turns=0)
    assert len(readers[0].packets()) <= 3
    world.flush()
    assert len(readers[0].packets()) >= 97


@pytest.mark.parametrize("qos", [0, 1])
def test_a_subscribe_over_many_retained_messages_takes_many_turns_and_little_memory(qos: int) -> None:
    world = World(turn_work=500)
    publisher, client = world.connect("p"), world.connect("c")
    for number in range(1000):
        publisher.publish(f"a/{number}", bytes(2000), qos=1, retain=True)
    body = [(f"a/{'+' if n else '#'}", qos) for n in range(2)] + [(f"+/{n}", qos) for n in range(998)]
    client.raw(b"")
    world.engine.receive(client.peer, subscribe_packet(body), world.now)
    most = turns = got = 0
    while world.engine.busy or world.engine.dirty or client._bytes:
        world.flush(turns=1)
        packets = client.packets()
        most = max(most, len(packets))
        for kind, fields in packets:
            if kind == "publish":
                got += 1
                if qos:
                    client.send("puback", packet_id=fields["packet_id"])
        turns += 1
    assert got == 3 * 1000 - 2
    assert turns > 10
    assert most <= 3 * 132  # slices of 256 KiB


def subscribe_packet(subscriptions: list[tuple[str, int]]) -> bytes:
    from tests.core.packets import Packet, encode

    return encode(Packet("subscribe", {"packet_id": 7, "subscriptions": subscriptions}))


def test_a_subscribe_of_any_length_is_done_in_pieces_and_answered_once() -> None:
    world = World(turn_work=600)
    client = world.connect("c")
    world.engine.receive(
        client.peer, subscribe_packet([(f"topic/number/{n}", n % 3) for n in range(5000)]) + b"\xc0\0", world.now
    )
    world.flush(turns=0)
    assert client.packets() == []
    assert not client.read
    world.flush()
    suback, ping = client.packets()
    assert suback.fields == {"packet_id": 7, "codes": [n % 3 for n in range(5000)]}
    assert ping.kind == "pingresp"
    assert len(world.engine.sessions[b"c"].subscriptions) == 5000


@pytest.mark.parametrize("cut", [1, 2, 3, 5])
def test_a_mistake_in_a_long_subscribe_ends_the_connection(cut: int) -> None:
    world = World()
    client = world.connect("c")
    whole = subscribe_packet([(f"topic/number/{n}", 0) for n in range(1000)])
    body = whole[3:-cut]
    assert whole[0] == 0x82
    size = len(body)
    client.raw(bytes((0x82, size & 127 | 128, size >> 7 & 127 | 128, size >> 14)) + body[:size])
    assert client.closed
    assert world.stats.failures == 0


def test_retained_messages_beyond_what_a_client_takes_are_deferred_not_dropped() -> None:
    world = World()
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


def test_a_message_on_a_slow_line_keeps_its_connection_and_a_byte_now_and_then_does_not() -> None:
    world = World()
    slow, holder = world.connect("slow", keep_alive_s=10), world.connect("holder", keep_alive_s=10)
    begin = b"\x30\xff\xff\x03\x00\x01t"
    slow.raw(begin)
    holder.raw(begin)
    for _ in range(100):
        world.wait(1000)
        slow.raw(bytes(110))
        holder.raw(b"\x00") if not holder.closed else None
    assert not slow.closed
    assert holder.closed
