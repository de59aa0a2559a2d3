"""Ordering helpers: numbers in sequence, states that only go forward, in one transaction with the effect."""

import inspect
from typing import Any

import pytest

from mqttlite.client.messages import Message
from mqttlite.database import Database, Sequence, TransitionError, Transitions
from tests.database.world import World


def message(number: int) -> Message:
    return Message("t", b"%d" % number, 2, 1, 0)


async def result(made: Any) -> Any:
    """Of a method that is asynchronous where the driver is."""
    return await made if inspect.isawaitable(made) else made


async def opened(world: World) -> Database:
    database = await world.connect()
    await database.create_tables()
    return database


async def test_what_comes_early_is_held_back_and_handed_out_in_order(world: World) -> None:
    database = await opened(world)
    sequence = Sequence(database)
    handed = []
    for number in (1, 3, 5, 3, 1, 2, 4, 6):
        async with database.transaction() as db:
            items = await result(sequence.in_order(db, "k", number, message(number)))
            handed.append([item.number for item in items])
            assert all(item.payload == b"%d" % item.number for item in items)
            if number == 5:
                assert await result(sequence.gaps(db)) == [("k", 2, 3)]
    assert handed == [[1], [], [], [], [], [2, 3], [4, 5], [6]]
    assert await world.rows("SELECT * FROM mqttlite_early") == []


async def test_what_waits_is_rolled_back_with_the_transaction(world: World) -> None:
    database = await opened(world)
    sequence = Sequence(database)
    with pytest.raises(KeyError):
        async with database.transaction() as db:
            await result(sequence.in_order(db, "k", 1, message(1)))
            raise KeyError
    async with database.transaction() as db:
        assert [item.number for item in await result(sequence.in_order(db, "k", 1, message(1)))] == [1]


async def test_a_gap_can_be_given_up(world: World) -> None:
    database = await opened(world)
    sequence = Sequence(database, early_max=3)
    async with database.transaction() as db:
        for number in (5, 6, 9):
            assert await result(sequence.in_order(db, "k", number, message(number))) == []
        with pytest.raises(TransitionError, match="3 messages of 'k' wait for number 1"):
            await result(sequence.in_order(db, "k", 10, message(10)))
        assert [item.number for item in await result(sequence.give_up(db, "k"))] == [5, 6]
        assert await result(sequence.gaps(db)) == [("k", 7, 9)]


async def test_gaps_are_reported_once_and_what_was_passed_is_negative(world: World) -> None:
    database = await opened(world)
    sequence = Sequence(database, first=0)
    async with database.transaction() as db:
        found = [await result(sequence.check(db, "k", number)) for number in (0, 1, 4, 5, 2, 5)]
        assert found == [0, 0, 2, 0, -4, -1]
        assert await result(sequence.check(db, "other", 0)) == 0


async def test_a_stale_or_repeated_state_is_ignored_and_a_wrong_one_refused(world: World) -> None:
    database = await opened(world)
    guard = Transitions(database, "order", {"pending": {"active"}, "active": {"done", "failed"}})
    async with database.transaction() as db:
        for state, entered in (("pending", True), ("pending", False), ("active", True), ("pending", False)):
            assert await result(guard.apply(db, "o1", state)) is entered
        assert await result(guard.apply(db, "o1", "done")) is True
        assert await result(guard.apply(db, "o1", "active")) is False
        with pytest.raises(TransitionError, match="cannot go from done to failed"):
            await result(guard.apply(db, "o1", "failed"))
        with pytest.raises(TransitionError, match="cannot begin as active"):
            await result(guard.apply(db, "o2", "active"))
        with pytest.raises(ValueError, match="no state of order"):
            guard.apply(db, "o1", "lost")


async def test_states_may_be_skipped_where_the_user_says_so(world: World) -> None:
    database = await opened(world)
    guard = Transitions(database, "order", {"pending": {"active"}, "active": {"done"}}, may_skip=True)
    async with database.transaction() as db:
        for state, entered in (("pending", True), ("done", True), ("active", False), ("done", False)):
            assert await result(guard.apply(db, "o1", state)) is entered
        assert await result(guard.apply(db, "o2", "active")) is True
        assert await result(guard.apply(db, "o2", "pending")) is False
