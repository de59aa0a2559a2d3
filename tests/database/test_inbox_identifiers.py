"""The inbox knows a packet identifier again as long as it means something: over lives and sessions."""

import contextlib
import sqlite3

import pytest

from tests.database.world import (
    PUBCOMP,
    PUBREC,
    PUBREL,
    Script,
    Slow,
    World,
    answer,
    life,
    note,
    publish,
)


async def test_a_repeat_without_dup_is_recognised_in_the_next_life_too(world: World, script: Script) -> None:
    async with life(world, script, note) as (peer, _):
        await peer.say(publish(2, 7, b"a"))
        await peer.packet()
    async with life(world, script, note) as (peer, _):
        await peer.say(publish(2, 7, b"a"))
        assert await peer.packet() == answer(PUBREC, 7)
    assert await world.effects() == ["a"]


async def test_a_broker_that_was_put_back_uses_an_identifier_again_and_its_new_message_is_handled(
    world: World, script: Script
) -> None:
    async with life(world, script, note) as (peer, _):
        await peer.say(publish(2, 7, b"a"))
        await peer.packet()
        await peer.say(publish(2, 7, b"b"))
        assert await peer.packet() == answer(PUBREC, 7)
    async with life(world, script, note) as (peer, _):
        await peer.say(publish(2, 7, b"x", dup=True))  # taken for a repeat, as the standard wants it
        assert await peer.packet() == answer(PUBREC, 7)
        await peer.say(publish(2, 7, b"c"))
        assert await peer.packet() == answer(PUBREC, 7)
        await peer.say(publish(2, 7, b"c"))
        assert await peer.packet() == answer(PUBREC, 7)
        await peer.say(answer(PUBREL, 7))
        assert await peer.packet() == answer(PUBCOMP, 7)
    assert await world.effects() == ["a", "b", "c"]
    assert not await world.rows("SELECT * FROM mqttlite_received")


async def test_a_message_whose_identifier_is_used_again_while_it_is_handled_stands_for_itself(
    world: World, script: Script
) -> None:
    slow = Slow()
    async with life(world, script, slow) as (peer, _):
        await peer.say(publish(2, 7, b"a"))
        await slow.entered.wait()
        peer.writer.transport.abort()
        async with script.session(True) as second:
            await second.say(publish(2, 7, b"b") + publish(2, 8, b"c"))
            slow.leave.set()
            assert await second.packet() == answer(PUBREC, 7)
            assert await second.packet() == answer(PUBREC, 8)
    async with life(world, script, note) as (peer, _):
        await peer.say(publish(2, 7, b"b", dup=True) + publish(2, 8, b"c", dup=True) + publish(2, 9, b"d"))
        assert [await peer.packet() for _ in range(3)] == [answer(PUBREC, number) for number in (7, 8, 9)]
    assert await world.effects() == ["a", "b", "c", "d"]


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)
async def test_receipts_of_the_version_before_still_recognise_repeats(world: World, script: Script) -> None:
    async with life(world, script, note) as (peer, _):
        await peer.say(publish(2, 7, b"a"))
        await peer.packet()
    with contextlib.closing(sqlite3.connect(world.place, isolation_level=None)) as connection:
        connection.execute("UPDATE mqttlite_received SET packet_id = packet_id % 65536")
        connection.execute("UPDATE mqttlite_schema SET version = 1")
    async with life(world, script, note) as (peer, _):
        await peer.say(publish(2, 7, b"a", dup=True) + answer(PUBREL, 7))
        assert await peer.packet() == answer(PUBREC, 7)
        assert await peer.packet() == answer(PUBCOMP, 7)
    assert await world.effects() == ["a"]
    assert await world.rows("SELECT version FROM mqttlite_schema") == [(2,)]
    assert not await world.rows("SELECT * FROM mqttlite_received")


async def test_an_identifier_means_nothing_when_the_peer_has_lost_the_session(world: World, script: Script) -> None:
    async with life(world, script, note) as (peer, _):
        await peer.say(publish(2, 7, b"a"))
        await peer.packet()
    async with life(world, script, note, present=False) as (peer, _):
        await peer.say(publish(2, 7, b"b"))
        assert await peer.packet() == answer(PUBREC, 7)
    async with life(world, script, note) as (peer, _):
        await peer.say(publish(2, 7, b"b", dup=True))
        assert await peer.packet() == answer(PUBREC, 7)
    assert await world.effects() == ["a", "b"]
    assert len(await world.rows("SELECT * FROM mqttlite_received")) == 1


async def test_a_commit_that_is_late_for_its_session_is_not_taken_for_the_next_one(
    world: World, script: Script
) -> None:
    slow = Slow()
    async with life(world, script, slow) as (peer, _):
        await peer.say(publish(2, 7, b"a"))
        await slow.entered.wait()
        peer.writer.transport.abort()
        async with script.session(False) as second:
            slow.leave.set()
            await second.say(publish(2, 7, b"b"))
            assert await second.packet() == answer(PUBREC, 7)
    async with life(world, script, note) as (peer, _):
        await peer.say(publish(2, 7, b"b", dup=True) + publish(2, 8, b"c"))
        assert await peer.packet() == answer(PUBREC, 7)
        assert await peer.packet() == answer(PUBREC, 8)
    assert await world.effects() == ["a", "b", "c"]
    rows = await world.rows("SELECT packet_id % 65536 FROM mqttlite_received ORDER BY 1")
    assert rows == [(7,), (8,)]  # that of the earlier session is gone
