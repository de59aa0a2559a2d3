"""A session belongs to who made it."""

import pytest

from tests.broker.access.guarded import Guarded, allow
from tests.broker.five import Five
from tests.broker.world import Wire

ALL = allow("#")


def test_another_user_gets_nothing_of_a_session_and_does_not_disturb_it() -> None:
    world = Guarded(ALL)
    owner = world.enter("anna", "door", False)
    owner.subscribe("a", qos=1)
    for clean in (True, False):
        world.enter("bert", "door", clean, code=5)
        world.enter(None, "door", clean, code=5)
    world.five("bert", "door", code=0x87)
    assert not owner.closed
    owner.disconnect()
    world.enter("bert", "door", True, code=5)  # clean session: it would end the other's
    world.enter().publish("a", b"1", qos=1)
    assert world.enter("anna", "door", False, present=True).finish() == [b"1"]
    assert world.stats.limits["session_owner"] == 6


def test_the_same_user_takes_its_session_over() -> None:
    world = Guarded(ALL)
    first = world.enter("anna", "door", False)
    second = world.enter("anna", "door", False, present=False)
    assert (first.closed, second.closed) == (True, False)


def test_a_storm_of_take_overs_by_another_user_does_not_keep_the_owner_out() -> None:
    world = Guarded(ALL)
    world.enter("anna", "door", False)
    for _ in range(100):
        world.enter("bert", "door", False, code=5)
    back = world.enter("anna", "door", False)
    assert not back.closed


@pytest.mark.parametrize("connected", [True, False])
def test_a_session_that_nobody_in_particular_made_can_become_a_users_and_not_the_other_way_round(
    connected: bool,
) -> None:
    world = Guarded(ALL)
    nobody = world.enter(None, "door", False)
    nobody.subscribe("a", qos=1)
    if not connected:
        nobody.disconnect()
    world.enter().publish("a", b"1", qos=1)
    anna = world.enter("anna", "door", False, present=True)
    assert anna.finish() == [b"1"]
    world.enter(None, "door", False, code=5)


def test_what_was_queued_for_a_session_is_looked_at_when_it_becomes_another_identitys() -> None:
    world = Guarded(allow("a"), allow("public", user=""))
    nobody = world.enter(None, "door", False)
    nobody.subscribe("public", "a", qos=1)
    nobody.disconnect()
    for topic in ("public", "a"):
        world.enter().publish(topic, topic.encode(), qos=1)
    assert world.enter("anna", "door", False, present=True).finish() == [b"a"]


def test_an_identifier_that_the_broker_has_made_is_the_one_that_rules_mean() -> None:
    world = Guarded(allow("dev/%c"))
    client = Five(world, "", user="anna", password=b"anna")
    assert client.announced["AssignedClientIdentifier"].startswith("auto-")
    client.publish("dev/" + client.announced["AssignedClientIdentifier"], b"", qos=1)
    client.publish("dev/", b"", qos=1)
    assert [got.reason for got in client.take()] == [0x10, 0x87]


def test_a_storm_of_clients_without_a_name_does_not_keep_a_user_out() -> None:
    world = Guarded(ALL)

    def nobody(address: str) -> Wire:
        wire = world.open(address)
        fields = {"client_id": "door", "clean_session": True, "keep_alive_s": 0, "will": None}
        wire.send("connect", username=None, password=None, **fields)
        return wire

    for number in range(50):  # beyond what take-overs between two addresses may be
        nobody(f"10.0.0.{number % 2 + 1}:1")
    assert world.stats.limits["takeovers_a_minute"] > 0
    anna = world.enter("anna", "door")
    for number in range(10):
        assert nobody(f"10.0.0.{number % 2 + 1}:1").closed
    assert not anna.closed


@pytest.mark.parametrize("name", ["", "anna\u0301", "ANNA"])
def test_an_empty_user_name_or_one_that_is_written_in_another_way_is_not_the_user(name: str) -> None:
    world = Guarded(ALL, allow("public", user=""))
    wire = world.open()
    fields = {"client_id": "x", "clean_session": True, "keep_alive_s": 0, "will": None}
    wire.send("connect", username=name, password=b"anna", **fields)
    assert wire.closed
    assert [packet.fields["code"] for packet in wire.packets()] == [4]
