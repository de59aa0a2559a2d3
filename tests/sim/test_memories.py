"""Little worlds in which one end has lost its memory, or got an older one back, and the other then starts again. Each
is run with a bug planted as well, which it has to find.
"""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from mqttlite.client import Client
from mqttlite.core import lost_session
from mqttlite.core import session as core
from mqttlite.core.reused_identifiers import REUSED
from mqttlite.core.session_host import HostSession
from mqttlite.sim.net.packets import Cut, Packet, Packets
from mqttlite.sim.process import Process
from mqttlite.sim.programs import broker
from mqttlite.sim.schedule import Schedule
from mqttlite.sim.small.faults import parse
from mqttlite.sim.small.small import Small
from mqttlite.sim.world import World
from tests.planted.planting import Change, row, text, value
from tests.sim.programs import publisher

TOPIC = "a"
SLOW_S = 5.0


class Memories:
    """A broker and a consumer with a store; the consumer's application has no inbox, and takes SLOW_S for `slow`."""

    def __init__(self, seed: int, store: str, slow: tuple[str, ...] = ()) -> None:
        self.world = World(seed)
        self.handled: list[str] = []
        self.slow = slow
        self.busy = ""  # what the application is busy with
        self.subscribed = 0
        self.packets = Packets(self.world.network)
        self.broker = self.world.process("broker", broker(store))
        self.consumer = self.world.process("consumer", self.consume)
        for process in (self.broker, self.consumer):
            process.may_fail = True
        self.wait(lambda: self.subscribed == 1)

    async def consume(self, process: Process) -> None:
        options: dict[str, Any] = {"client_id": "consumer", "clean_session": False, "retry_first": True}
        async with Client(
            "mqtt://broker", store=process.sqlite_store(), keep_alive_s=5, timeout_s=3, **options
        ) as client:
            await client.subscribe(TOPIC, 2)
            self.subscribed += 1
            async for message in client:
                self.busy = message.payload.decode()
                if self.busy in self.slow:
                    await asyncio.sleep(SLOW_S)
                self.handled.append(self.busy)
                self.busy = ""

    def wait(self, condition: Callable[[], bool]) -> None:
        assert self.world.run_until(condition, 100), self.handled

    def publish(self, *payloads: str) -> None:
        """By a client of its own, which nobody knows later."""
        name = f"producer{len(self.world.processes)}"
        self.world.process(name, publisher(list(payloads), 2, TOPIC))

    def kill_broker_after_pubrec(self, number: int) -> None:
        """The consumer's `number`-th PUBREC, counted from now, is the last that it writes before the broker dies."""
        seen = 0

        def on_packet(packet: Packet) -> Cut | None:
            nonlocal seen
            seen += packet.kind == "PUBREC" and packet.way.source.process is self.consumer
            return Cut("after", "reset", self.broker.kill) if seen == number and packet.kind == "PUBREC" else None

        self.packets.on_packet = on_packet

    def close(self) -> None:
        self.world.close()


def session_lost_then_the_consumer_restarts(seed: int) -> list[str]:
    """What was handled. The message after the restart has the content and the identifier of the one before."""
    memories = Memories(seed, "memory")
    try:
        memories.kill_broker_after_pubrec(1)
        memories.publish("on")
        memories.wait(lambda: not memories.broker.alive)
        again = 0

        def on_packet(packet: Packet) -> None:
            nonlocal again
            again += packet.kind == "SUBACK"

        memories.packets.on_packet = on_packet
        memories.broker.start()
        memories.wait(lambda: again > 0)
        memories.world.run(1)
        memories.consumer.restart()
        memories.wait(lambda: memories.subscribed == 2)
        memories.publish("on")
        memories.world.run(30)
        return memories.handled
    finally:
        memories.close()


def broker_put_back(seed: int, slow: tuple[str, ...] = ()) -> list[str]:
    """What was handled. The broker gets an old backup back, and uses the identifiers of a, b, c for d, e, f."""
    memories = Memories(seed, "sqlite", slow)
    try:
        memories.world.run(2)
        backup = memories.broker.disk.files()
        if slow:
            memories.publish("a", "b", "c")
            memories.wait(lambda: memories.busy == "c")
            memories.broker.cut_power()
        else:
            memories.kill_broker_after_pubrec(3)
            memories.publish("a", "b", "c")
            memories.wait(lambda: not memories.broker.alive)
        memories.packets.on_packet = lambda packet: None
        memories.world.run(0.2)
        for process in list(memories.world.processes.values()):
            if process.name.startswith("producer") and process.alive:
                process.kill()
                process.may_fail = True
        memories.broker.disk.put(backup)
        memories.broker.start()
        memories.publish("d", "e", "f")
        if slow:
            memories.wait(lambda: memories.busy == "f")
            memories.world.run(1)
            memories.consumer.restart()
        memories.world.run(60)
        return memories.handled
    finally:
        memories.close()


def run(scenario: Callable[..., list[str]], bug: Change | None, *args: Any) -> list[str]:
    with ExitStack() as stack:
        if bug:
            bug(stack)
        return scenario(7, *args)


# LOST is stored as FREED: the next life has identifiers of a session that is gone.
lost_is_another_record = value(lost_session, "LOST", 6)

content_is_swallowed = row(REUSED, core.HELD << 8 | core.PUBLISH2 | core.OTHER, core.HELD << 8 | 0x50)

# What is acknowledged is the identifier, whatever it stands for by now.
whichever_was_handled = text(HostSession.handled, {"value >> 4 != delivery >> 16": "False"})


def test_a_session_that_was_lost_leaves_no_identifiers_to_the_consumers_next_life() -> None:
    assert run(session_lost_then_the_consumer_restarts, None) == ["on", "on"]
    assert run(session_lost_then_the_consumer_restarts, lost_is_another_record) == ["on"]


def test_a_broker_that_was_put_back_has_its_new_messages_delivered() -> None:
    assert run(broker_put_back, None) == ["a", "b", "c", "d", "e", "f"]
    assert run(broker_put_back, content_is_swallowed) == ["a", "b", "c"]


def test_and_none_is_acknowledged_for_another_that_had_its_identifier() -> None:
    slow = ("c", "f")
    assert run(broker_put_back, None, slow) == ["a", "b", "c", "d", "e", "f"]
    assert run(broker_put_back, whichever_was_handled, slow) == ["a", "b", "c", "d", "e"]


def test_a_device_with_a_new_store_sends_at_once_what_it_used_to_send_after_half_a_minute() -> None:
    """Identifiers of its earlier life are cleared beside its messages (docs/decisions/0015)."""
    small = Small(2, 2, "journal", line=True, slow=True)
    run = Schedule(small, (parse("lose device disk @ event 80"),)).run()
    try:
        assert run.run() == []
        (lost_at,) = [at for at, lane, kind, _ in run.world.trace if (lane, kind) == ("fault", "lose")]
        later = [(at, kind) for at, lane, kind, _ in run.world.trace if at > lost_at and lane.startswith("gateway:")]
        connack = next(at for at, kind in later if kind == "CONNACK")
        publish = next(at for at, kind in later if kind == "PUBLISH")
        assert publish - connack < 300_000_000  # ns
        assert sum(kind == "PUBREL" for _, kind in later if _ < publish) == 128
    finally:
        run.world.close()


@pytest.mark.parametrize("seed", range(3))
def test_so_it_is_with_other_seeds(seed: int) -> None:
    assert session_lost_then_the_consumer_restarts(seed) == ["on", "on"]
    assert broker_put_back(seed) == ["a", "b", "c", "d", "e", "f"]
