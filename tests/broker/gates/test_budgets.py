"""Bytes by address, user and in all; sessions of a user; messages a second."""

from collections.abc import Generator

from mqttlite.broker.access.authentication import Arriving
from tests.broker.gates.comers import come
from tests.broker.world import Wire, World

UNHELD = {"hold_bytes": 10_000_000}  # who feeds itself is not held back for itself


def _anybody(who: Arriving) -> Generator[bytes, bytes, bytes]:
    return b""
    yield b""


def _feeds_itself(world: World, address: str, name: str, size: int, **more: object) -> Wire:
    """A client in whose queue are so many bytes."""
    wire = come(world, address, name, **more)
    wire.subscribe(name, qos=1)
    for number in range(size // 10_000):
        wire.publish(name, bytes(10_000), qos=1, packet_id=1 + number)
    return wire


def test_an_address_has_a_budget_for_all_that_its_clients_hold() -> None:
    world = World(address_bytes=1_000_000, **UNHELD)
    hoard = [
        _feeds_itself(world, f"198.51.100.1:{number}", f"h{number}", 100_000 + number * 10_000) for number in range(12)
    ]
    honest = _feeds_itself(world, "192.0.2.1:1", "honest", 900_000)
    near = [_feeds_itself(world, f"127.0.0.1:{number}", f"n{number}", 300_000) for number in range(4)]
    world.wait(1000)
    assert [wire.closed for wire in hoard] == [False] * 7 + [True] * 5, "those that hold most"
    assert not honest.closed and not any(wire.closed for wire in near)
    assert world.stats.limits == {"address_bytes": 5}


def test_queues_of_an_address_over_its_budget_take_nothing_more_until_there_is_room_and_lose_nothing() -> None:
    world = World(address_bytes=500_000, **UNHELD)
    away = _feeds_itself(world, "198.51.100.1:1", "away", 600_000, clean_session=False)
    away.cut()
    world.wait(1000)
    assert world.stats.limits["address_bytes"] == 1
    publisher = come(world, "192.0.2.1:1", "p")
    publisher.publish("away", bytes(10_000), qos=1)
    assert world.stats.dropped_queue_full == 1
    assert len(world.engine.sessions[b"away"].session.messages) == 60
    back = come(world, "198.51.100.1:1", "away", clean_session=False)
    assert len(back.finish()) == 60
    world.wait(1000)
    world.wait(1000)
    publisher.publish("away", bytes(10_000), qos=1)
    assert len(back.finish()) == 1
    assert world.stats.dropped_queue_full == 1


def test_a_user_has_a_budget_wherever_it_comes_from() -> None:
    world = World(authenticate=_anybody, user_bytes=500_000, **UNHELD)
    names = [f"198.51.100.{number}:1" for number in range(6)]
    wires = [_feeds_itself(world, name, name, 100_000, username="mallory", password=b"x") for name in names]
    other = _feeds_itself(world, "198.51.100.1:1", "other", 400_000, username="pi", password=b"x")
    world.wait(1000)
    assert sum(wire.closed for wire in wires) == 2
    assert not other.closed


def test_when_all_hold_too_much_together_routes_go_first_and_then_who_holds_most() -> None:
    world = World(memory_bytes=900_000, **UNHELD)
    greedy = _feeds_itself(world, "127.0.0.1:1", "greedy", 600_000)
    others = [_feeds_itself(world, f"192.0.2.{number}:1", f"o{number}", 90_000) for number in range(4)]
    publisher = come(world, "192.0.2.99:1", "p")
    for number in range(100):
        publisher.publish(f"route/{number}")
    world.wait(1000)
    assert world.engine.ledger.routes < 5000
    assert greedy.closed and not any(wire.closed for wire in others)
    assert world.engine.ledger.total < 900_000


def test_a_user_has_a_number_of_sessions_and_an_empty_one_goes_for_a_new_one() -> None:
    world = World(authenticate=_anybody, sessions_per_user=3, connects_per_address=0)

    def arrives(name: str, user: str) -> Wire:
        return come(world, f"192.0.2.1:{name}", name, clean_session=False, username=user, password=b"x")

    for name in "abc":
        arrives(name, "pi").cut()
    assert not arrives("d", "pi").closed
    assert set(world.engine.sessions) == {b"b", b"c", b"d"}
    for name in "bc":
        arrives(name, "pi").subscribe("t", qos=1)
    assert arrives("e", "pi").closed, "all are connected"
    assert not arrives("f", "other").closed
    assert world.stats.limits == {"sessions_per_user": 2}


def test_who_publishes_too_often_waits_with_publish_alone_and_nothing_is_lost() -> None:
    world = World(publishes_a_second=10)
    reader, quick, slow = world.connect("r"), world.connect("quick"), world.connect("slow")
    reader.subscribe("t", qos=1)
    for number in range(1, 41):
        quick.publish("t", b"%d" % number, qos=1, packet_id=number)
    assert quick.held
    quick.send("pingreq")
    assert quick.kinds()[-1] == "pingresp"
    slow.publish("t", b"slow", qos=1)
    assert len(reader.finish()) == 11
    for _ in range(6):
        world.wait(1000)
    assert [int(payload) for payload in reader.finish()] == list(range(11, 41))
    assert not quick.held
    assert world.stats.limits["publishes_a_second"] > 0


def test_the_clients_of_a_user_share_its_rate() -> None:
    world = World(authenticate=_anybody, publishes_a_second=10)
    one, two, other = (
        come(world, "192.0.2.1:1", name, username=user, password=b"x")
        for name, user in (("1", "pi"), ("2", "pi"), ("3", "x"))
    )
    for wire in (one, two, other):
        for _ in range(6):
            wire.publish("t")
    assert (one.held, two.held, other.held) == (False, True, False)
