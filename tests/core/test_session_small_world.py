"""The small world, enumerated: one message of each QoS each way, a cut at every byte, then every pair of cuts.

A schedule is a fixed order of small steps: publish, write, one piece of what is in flight arrives, handle. A cut may
come before any of them; the schedule then goes on from the reconnect as it would have gone on without the cut.
"""

from collections.abc import Callable

import pytest

from tests.core.session_world import End, World
from tests.statements import statement

Reconnect = Callable[[World], None]
Split = Callable[[bytes], list[int]]


def kept(world: World) -> None:
    world.connect()


def answer_lost(world: World) -> None:
    """Each end in turn believes to be connected before both are."""
    for end in world.ends:
        world.connect(only=end)
    world.connect()


def a_restarted(world: World) -> None:
    world.connect(restarted=world.a)


def sessions_dropped(world: World) -> None:
    world.connect(present=False)


def a_forgot(world: World) -> None:
    """It has lost its memory, the other end has not; what it publishes next has identifiers that were used before."""
    world.connect(forgetful=world.a)
    for qos in (2, 1, 2):
        world.a.publish(qos)


def single_bytes(data: bytes) -> list[int]:
    return [1] * len(data)


def half_packets(data: bytes) -> list[int]:
    sizes = []
    while data:
        size = 2 + data[1]
        sizes += [size // 2, size - size // 2]
        data = data[size:]
    return sizes


class Schedule:
    """`window`; `late`: the application handles messages only when the wire is quiet; `split`: how bytes arrive."""

    def __init__(self, window: int, late: bool, split: Split, reconnect: Reconnect = kept) -> None:
        self.window = window
        self.late = late
        self.split = split
        self.reconnect = reconnect

    def play(self, *cuts: int) -> int:
        """Plays it with a cut before each of these steps; returns how many steps it took."""
        self.world = world = World(self.window, self.window, self.reconnect is a_forgot)
        self.cuts = cuts
        self.steps = 0
        self.pieces: dict[str, list[int]] = {"a": [], "b": []}  # sizes of what is in flight towards each end
        world.connect(present=False)
        for end in world.ends:
            for qos in (2, 1, 0):
                self.step(lambda end, qos=qos: end.publish(qos), end)
        quiet = 0
        while quiet < 2:
            before = self.steps
            for end in world.ends:
                if end.connection and end.connection.out:
                    self.step(self.write, end)
            for end in world.ends:
                while self.pieces[end.name]:
                    self.step(self.arrive, end)
            for end in world.ends:
                if end.inbox and (not self.late or quiet):
                    self.step(End.handle, end)
            quiet = quiet + 1 if self.steps == before else 0
        world.settle()
        for message in world.messages[1:]:
            if not cuts:
                assert len(message.deliveries) == 1
            elif self.reconnect in (kept, answer_lost):
                assert len(message.deliveries) in ((0, 1), range(1, 2 + len(cuts)), (1,))[message.qos], message
        return self.steps

    def step(self, do: Callable[[End], object], end: End) -> None:
        if self.steps in self.cuts:
            self.world.cut()
            self.pieces = {"a": [], "b": []}
            self.reconnect(self.world)
        self.steps += 1
        do(end)

    def write(self, end: End) -> None:
        if end.connection:
            self.pieces[end.peer.name] += self.split(b"".join(end.connection.out))
            end.flush()

    def arrive(self, end: End) -> None:
        if self.pieces[end.name]:
            end.move(self.pieces[end.name].pop(0))


@statement("3.1.1", "MQTT-4.4.0-1", "MQTT-4.3.2-1", "MQTT-4.3.3-1", "MQTT-4.3.3-2", "MQTT-4.6.0-1")
@pytest.mark.parametrize("reconnect", [kept, answer_lost, a_restarted, a_forgot, sessions_dropped])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("window", [1, 20])
def test_every_promise_holds_with_a_cut_at_every_byte(window: int, late: bool, reconnect: Reconnect) -> None:
    schedule = Schedule(window, late, single_bytes, reconnect)
    steps = schedule.play()
    assert steps > 80
    for cut in range(steps):
        schedule.play(cut)


@pytest.mark.parametrize("reconnect", [kept, answer_lost, a_restarted, a_forgot])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("window", [1, 20])
def test_every_promise_holds_with_every_pair_of_cuts(window: int, late: bool, reconnect: Reconnect) -> None:
    schedule = Schedule(window, late, half_packets, reconnect)
    for first in range(schedule.play()):
        second = first + 1
        while schedule.play(first, second) > second:
            second += 1


def test_every_promise_holds_with_every_pair_of_cuts_at_every_byte() -> None:
    schedule = Schedule(20, False, single_bytes)
    for first in range(schedule.play()):
        second = first + 1
        while schedule.play(first, second) > second:
            second += 1
