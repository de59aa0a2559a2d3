"""A session belongs to who made it."""

import pytest

from tests.broker.access.guarded import Guarded, allow
from tests.broker.five import Five

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
