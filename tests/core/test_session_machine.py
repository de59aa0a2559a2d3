"""The session under arbitrary schedules: hypothesis drives two of them over a lossy wire (session_world.py)."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.core.session_world import End, World
from tests.statements import statement

sides = st.sampled_from(("a", "b"))
windows = st.sampled_from((1, 2, 3, 20, 65535))


class TwoSessions(RuleBasedStateMachine):
    @initialize(window_a=windows, window_b=windows)
    def start(self, window_a: int, window_b: int) -> None:
        self.world = World(window_a, window_b, lives=True)
        self.world.connect(present=False)

    def end(self, side: str) -> End:
        return self.world.a if side == "a" else self.world.b

    @rule(side=sides, qos=st.sampled_from((0, 1, 1, 2, 2)), count=st.integers(1, 3))
    def publish(self, side: str, qos: int, count: int) -> None:
        for _ in range(count):
            self.end(side).publish(qos)

    @rule(side=sides)
    def take_an_identifier(self, side: str) -> None:
        """As SUBSCRIBE does."""
        end = self.end(side)
        packet_id = end.session.packet_id()
        assert 1 <= packet_id <= 65535
        assert all(m.packet_id != packet_id for m in end.messages.values() if m.live)

    @precondition(lambda self: self.world.up)
    @rule(side=sides)
    def write(self, side: str) -> None:
        self.end(side).flush()

    @precondition(lambda self: self.world.up)
    @rule(side=sides, size=st.integers(1, 60))
    def arrive(self, side: str, size: int) -> None:
        self.end(side).move(size)

    @precondition(lambda self: self.world.up)
    @rule(side=sides)
    def write_and_arrive(self, side: str) -> None:
        self.end(side).peer.flush()
        self.end(side).move(10_000)

    @rule(side=sides, count=st.integers(1, 4))
    def handle(self, side: str, count: int) -> None:
        for _ in range(count):
            self.end(side).handle()

    @precondition(lambda self: self.world.up)
    @rule()
    def cut(self) -> None:
        self.world.cut()

    @precondition(lambda self: not self.world.up)
    @rule()
    def reconnect(self) -> None:
        self.world.connect()

    @precondition(lambda self: self.world.up)
    @rule()
    def cut_and_reconnect(self) -> None:
        self.world.cut()
        self.world.connect()

    @precondition(lambda self: not self.world.up)
    @rule(side=sides)
    def reconnect_but_lose_the_answer(self, side: str) -> None:
        self.world.connect(only=self.end(side))

    @precondition(lambda self: not self.world.up)
    @rule(side=sides)
    def reconnect_after_a_restart(self, side: str) -> None:
        self.world.connect(restarted=self.end(side))

    @precondition(lambda self: not self.world.up)
    @rule(side=sides, qos=st.sampled_from((1, 2, 2)))
    def reconnect_without_memory(self, side: str, qos: int) -> None:
        self.world.connect(forgetful=self.end(side))
        self.end(side).publish(qos)

    @precondition(lambda self: not self.world.up)
    @rule()
    def reconnect_with_clean_sessions(self) -> None:
        self.world.connect(present=False)

    @rule()
    def settle(self) -> None:
        self.world.settle()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.settle()


@statement("3.1.1", "MQTT-2.3.1-2", "MQTT-2.3.1-3", "MQTT-2.3.1-4", "MQTT-2.3.1-6", "MQTT-3.3.1-1", "MQTT-4.1.0-1")
@statement("3.1.1", "MQTT-4.3.1-1", "MQTT-4.3.2-1", "MQTT-4.3.2-2", "MQTT-4.3.3-1", "MQTT-4.3.3-2", "MQTT-4.4.0-1")
@statement("3.1.1", "MQTT-4.6.0-1", "MQTT-4.6.0-2", "MQTT-4.6.0-3", "MQTT-4.6.0-4", "MQTT-4.5.0-2")
def test_two_sessions_keep_their_promises_over_a_lossy_wire() -> None:
    settings_here = settings(max_examples=400, stateful_step_count=60)
    run_state_machine_as_test(TwoSessions, settings=settings_here)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("window", [1, 2, 20])
def test_schedules_with_many_cuts_and_little_progress_keep_the_promises(window: int) -> None:
    import random

    for seed in range(60):
        seeded = random.Random(seed)
        world = World(window, window)
        world.connect(present=False)
        for _ in range(150):
            end = seeded.choice(world.ends)
            action = seeded.random()
            if action < 0.25:
                end.publish(seeded.choice((0, 1, 2, 2)))
            elif action < 0.45:
                end.flush()
            elif action < 0.70:
                end.move(seeded.randint(1, 30))
            elif action < 0.88:
                end.handle()
            elif world.up:
                world.cut()
            if not world.up and seeded.random() < 0.5:
                world.connect()
        world.settle()
