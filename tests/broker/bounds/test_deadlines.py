"""A look at all deadlines costs what is due, and finds what a loop over everybody would find."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqttlite.broker.bounds.deadlines import Deadlines
from mqttlite.broker.clients.peer import Peer
from mqttlite.core.server import CONNECT_TIMEOUT_MS

from ..world import World

steps = st.lists(
    st.one_of(
        st.tuples(st.just("at"), st.integers(0, 5), st.integers(0, 50)),
        st.tuples(st.just("forget"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("until"), st.just(0), st.integers(0, 60)),
    ),
    max_size=200,
)


@given(steps)
def test_each_owner_is_found_once_at_the_earliest_time_that_was_said(changes: list[tuple[str, int, int]]) -> None:
    deadlines: Deadlines[int] = Deadlines()
    known: dict[int, int] = {}
    for what, owner, time in changes:
        if what == "at":
            deadlines.at(owner, time)
            known[owner] = min(time, known.get(owner, time))
        elif what == "forget":
            deadlines.forget(owner)
            known.pop(owner, None)
        else:
            found = deadlines.until(time)
            assert sorted(found) == sorted(each for each, due in known.items() if due <= time)
            times = [known.pop(each) for each in found]
            assert times == sorted(times)
        assert len(deadlines) == len(known)


def test_who_comes_and_goes_leaves_nothing_behind() -> None:
    deadlines: Deadlines[int] = Deadlines()
    for number in range(10_000):
        deadlines.at(number, 1_000_000 - number)
        deadlines.forget(number)
    assert len(deadlines._heap) < 200


def test_a_tick_asks_only_those_whose_time_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(connections=2000, half_open=2000)
    clients = [world.connect(f"c{number}", keep_alive_s=60) for number in range(200)]
    world.wait(CONNECT_TIMEOUT_MS)  # here each is found to be connected
    asked: list[Peer] = []
    deadline = Peer.deadline

    def counted(peer: Peer) -> Any:
        asked.append(peer)
        return deadline(peer)

    monkeypatch.setattr(Peer, "deadline", counted)
    for _ in range(50):
        world.wait(1000)
    assert not asked
    clients[0].send("pingreq")
    world.wait(30_000)
    assert [wire.closed for wire in clients] == [False] + [True] * 199
    world.wait(60_000)
    assert clients[0].closed


@pytest.mark.source("replaces a method of Census")
def test_sums_over_all_sessions_are_not_taken_with_each_look_where_there_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    looks: list[int] = []
    monkeypatch.setattr(world.engine._census, "look", looks.append)
    for _ in range(300):
        world.wait(10)
    assert 3 <= len(looks) <= 6


def test_a_keep_alive_shorter_than_the_time_for_connect_counts_from_the_start() -> None:
    world = World()
    client = world.connect("short", keep_alive_s=2)
    world.wait(2999)
    assert not client.closed
    world.wait(1)
    assert client.closed


def test_a_session_that_is_resumed_and_left_again_expires_by_its_last_end() -> None:
    world = World(session_expiry_ms=10_000)
    for _ in range(3):
        client = world.connect("s", clean=False, present=bool(world.engine.sessions))
        client.subscribe("t")
        client.cut()
        world.wait(9000)
        assert b"s" in world.engine.sessions
    world.wait(1000)
    assert b"s" not in world.engine.sessions
    assert world.stats.expired == 1
