"""Applications that are slow, and some that let nothing else run: in virtual time, and with the bugs that these worlds
are to find.

There are no threads here, and so none that keeps a connection alive: this is how it is on a board, too. `time.sleep` in
a simulated process lets its event loop stand still while the others go on.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from mqttlite.client import Client
from mqttlite.client.traffic import incoming_host
from mqttlite.database import Inbox
from mqttlite.sim.disks.app_database import app_database
from mqttlite.sim.process import Process
from mqttlite.sim.programs import broker
from mqttlite.sim.world import World

COUNT = 45  # more than two windows of the broker
KEEP_ALIVE_S = 5  # the broker closes after 7.5 s


class Blocking:
    """A producer, a broker and a consumer that needs `handler_s` seconds for each message.

    how: "for", "manual" or "inbox". blocks: its event loop stands still meanwhile. kill_every: the consumer is killed
    in the handler of each so many-th message that it is given.
    """

    def __init__(self, how: str, qos: int, handler_s: float, *, blocks: bool = True, kill_every: int = 0) -> None:
        self.how, self.qos, self.handler_s, self.blocks, self.kill_every = how, qos, handler_s, blocks, kill_every
        self.given: list[int] = []  # to the handler
        self.ended: Counter[int] = Counter()  # handlers, by message
        self.kills = self.connections = 0
        self.world = World(4711)

    def run(self) -> list[str]:
        """What does not hold."""
        world = self.world
        world.process("broker", broker("sqlite"))
        consumer = world.process("consumer", self._consumer)
        assert world.run_until(lambda: world.reached["subscribed"] > 0, 60)
        world.process("producer", self._producer)
        self._revive(consumer)
        done = world.run_until(lambda: len(self.ended) == COUNT, 100 + 10 * COUNT * self.handler_s)
        world.run(60)  # what was not acknowledged comes again now
        world.close()
        # A kill repeats the message in its handler, which has not ended; a connection that was closed under a handler
        # that blocks repeats nothing that had not been written into it.
        twice = sum(count - 1 for count in self.ended.values())
        entered = sum(count - 1 for count in Counter(self.given).values())
        problems = [] if done else [f"lost, or never given: {COUNT - len(self.ended)} messages"]
        problems += [f"handled again: {twice}"] if twice else []
        problems += [f"given again: {entered}"] if entered > self.kills else []
        if self.handler_s < KEEP_ALIVE_S and self.connections > 1 + self.kills:
            problems.append(f"connections: {self.connections}")
        return problems

    def _revive(self, process: Process) -> None:
        if not process.alive:
            process.start()
        self.world.after(1, self._revive, process)

    async def _producer(self, process: Process) -> None:
        async with Client("mqtt://broker", client_id="producer") as client:
            for number in range(COUNT):
                await client.publish("a", str(number), self.qos)
            await client.drain(1000)

    async def _work(self, process: Process, number: int) -> None:
        self.given.append(number)
        if self.kill_every and len(self.given) % self.kill_every == 0:
            self.kills += 1
            process.kill()
        if self.blocks:
            time.sleep(self.handler_s)  # noqa: ASYNC251 that is the point
        else:
            await asyncio.sleep(self.handler_s)
        self.ended[number] += 1

    def _connected(self, connected: bool, reason: str) -> None:
        self.connections += connected

    async def _consumer(self, process: Process) -> None:
        client = Client(
            "mqtt://broker",
            client_id="consumer",
            keep_alive_s=KEEP_ALIVE_S,
            timeout_s=3,
            retry_first=True,
            manual_ack=self.how == "manual",
            store=process.sqlite_store(),
            on_connection=self._connected,
        )
        inbox = Inbox(client, app_database(process.mount)) if self.how == "inbox" else None
        async with client:
            await client.subscribe("a", self.qos)
            self.world.reach("subscribed")
            if inbox:
                await inbox.run(lambda db, message: self._work(process, int(message.payload)))
            async for message in client:
                await self._work(process, int(message.payload))
                if self.how == "manual":
                    client.acknowledge(message)


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("how", ["for", "manual", "inbox"])
@pytest.mark.parametrize("blocks", [False, True])
def test_each_message_is_handled_once_on_one_connection_by_a_slow_application(how: str, qos: int, blocks: bool) -> None:
    assert not Blocking(how, qos, 2.0, blocks=blocks).run()


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("how", ["for", "manual", "inbox"])
@pytest.mark.parametrize("handler_s", [8.0, 12.0])
def test_each_message_is_handled_once_although_each_handler_blocks_until_its_connection_is_gone(
    how: str, qos: int, handler_s: float
) -> None:
    world = Blocking(how, qos, handler_s)
    assert not world.run()
    assert world.connections > 1


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("how", ["for", "manual", "inbox"])
def test_a_kill_repeats_the_message_in_the_handler_and_no_other(how: str, qos: int) -> None:
    world = Blocking(how, qos, 0.2, kill_every=7)
    assert not world.run()
    assert world.kills > 3


def _never_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming_host, "GATHER_MS", 10**9)
    monkeypatch.setattr(incoming_host, "GATHER_MAX", 10**9)


def _acknowledged_blindly(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(self: Any, ms: int) -> None:
        pass

    monkeypatch.setattr(incoming_host.HostIncoming, "look", look)


def _not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def breathe(self: Any, ms: int) -> None:
        await self.look(ms)
        self.handled()

    monkeypatch.setattr(incoming_host.HostIncoming, "breathe", breathe)


@pytest.mark.parametrize(
    ("plant", "world"),
    [
        (_never_flushed, lambda: Blocking("for", 1, 2.0)),
        (_never_flushed, lambda: Blocking("manual", 2, 2.0)),
        (_never_flushed, lambda: Blocking("for", 1, 0.2, kill_every=7)),
        (_acknowledged_blindly, lambda: Blocking("for", 1, 12.0)),
        (_not_waited_for, lambda: Blocking("for", 2, 0.2, kill_every=7)),
    ],
)
def test_a_planted_bug_is_found(
    monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None], world: Callable[[], Blocking]
) -> None:
    plant(monkeypatch)
    assert world().run()
