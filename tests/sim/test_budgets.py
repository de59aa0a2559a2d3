"""Budgets of queues and their rules: a reader is away, more comes than its budget holds, then it is back. With power
cuts of the broker, and with bugs planted that this world has to find.
"""

import asyncio
from typing import Any

import pytest

from mqttlite.broker import Access, Broker
from mqttlite.broker.limits import Limits, QueueRule
from mqttlite.broker.routing import backpressure, route
from mqttlite.client import Client
from mqttlite.core.rare_errors import SetAsideError
from mqttlite.sim.process import Process
from mqttlite.sim.world import World

COUNT = 60  # messages
SIZE = 1000  # bytes of each
BUDGET = 20_000  # bytes
AWAY_S = 20.0
STRICT = ("refuse", "hold")  # rules under which nothing is acknowledged that cannot be kept


class Away:
    """One run. `cuts`: when the broker loses its power, in seconds."""

    def __init__(self, seed: int, qos: int, when_full: str, cuts: tuple[float, ...] = ()) -> None:
        self.world = World(seed)
        self.qos = qos
        self.when_full = when_full
        self.confirmed: list[int] = []
        self.read: list[int] = []
        self.dropped = 0  # as the broker counts
        self.again = 0  # messages that were set aside, and published again
        self.subscribed = False
        self.done = False
        self.broker = self.world.process("broker", self._broker)
        self.reader = self.world.process("reader", self._reader)
        for process in (self.broker, self.reader):
            process.may_fail = True
        assert self.world.run_until(lambda: self.subscribed, 100)
        self.reader.kill()
        self.producer = self.world.process("producer", self._producer)
        for at in cuts:
            self.world.after(at, self._cut)

    def _cut(self) -> None:
        self.broker.cut_power()
        self.world.after(1.0, self.broker.start)

    async def _broker(self, process: Process) -> None:
        limits = Limits(queues=(QueueRule("reader", self.when_full, BUDGET),))
        broker = Broker(["mqtt://broker:1883"], limits, process.broker_store(), access=Access(anonymous=True))
        async with broker:
            while True:
                await asyncio.sleep(0.1)
                self.dropped = broker.stats.dropped_queue_full

    def _client(self, process: Process) -> Client:
        options: dict[str, Any] = {"client_id": process.name, "clean_session": False, "keep_alive_s": 5, "timeout_s": 3}
        return Client("mqtt://broker", store=process.sqlite_store(), retry_first=True, **options)

    async def _reader(self, process: Process) -> None:
        async with self._client(process) as client:
            await client.subscribe("a", self.qos)
            self.subscribed = True
            async for message in client:
                self.read.append(int(message.payload))

    async def _producer(self, process: Process) -> None:
        async with self._client(process) as client:
            receipts = [await client.publish("a", (b"%d" % number).ljust(SIZE), self.qos) for number in range(COUNT)]
            for number, receipt in enumerate(receipts):
                while receipt.error or not receipt.done:
                    try:
                        await receipt.completed()
                    except SetAsideError:  # "refuse" looks like that in 3.1.1, which has no words for it
                        self.again += 1
                        receipt = await client.retry(receipt.seq)
                self.confirmed.append(number)
            self.done = True

    def run(self) -> list[str]:
        """What does not hold."""
        try:
            self.world.run(AWAY_S)
            early = len(self.confirmed)
            self.reader.start()
            self.world.run_until(lambda: self.done, 300)
            self.world.run(30)
            return self._problems(early)
        finally:
            self.world.close()

    def _problems(self, early: int) -> list[str]:
        found = []
        first = list(dict.fromkeys(self.read))
        if not self.done:
            found.append(f"the producer waits for ever; {len(self.confirmed)} are confirmed")
        if first != sorted(first) and not self.again:
            found.append("out of order")
        if self.again and self.when_full != "refuse":
            found.append(f"{self.again} messages were set aside")
        if self.qos == 2 and len(first) < len(self.read):
            found.append("twice")
        if self.when_full in STRICT:
            if early * SIZE > BUDGET:
                found.append(f"{early} messages confirmed, more than the budget holds")
            found += [f"confirmed, and lost: {number}" for number in self.confirmed if number not in first]
        else:
            if early < COUNT:
                found.append("a rule that drops has held up the producer")
            if len(first) + self.dropped != COUNT:
                found.append(f"{len(first)} of {COUNT} arrived, and {self.dropped} were dropped")
            kept = range(len(first)) if self.when_full == "drop-newest" else range(COUNT - len(first), COUNT)
            if first != list(kept):
                found.append(f"the wrong ones were dropped: {first} are there")
            if not BUDGET // 2 < len(first) * SIZE <= BUDGET:
                found.append(f"{len(first)} messages of {SIZE} bytes in a budget of {BUDGET}")
        return found


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("when_full", ["drop-newest", "drop-oldest", *STRICT])
def test_what_is_beyond_the_budget_goes_the_way_of_its_rule(qos: int, when_full: str) -> None:
    assert Away(1, qos, when_full).run() == []


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("when_full", STRICT)
def test_power_cuts_of_the_broker_lose_nothing_that_was_acknowledged(seed: int, when_full: str) -> None:
    assert Away(seed, 1 + seed % 2, when_full, (0.3 + seed / 4, 5.1, AWAY_S + 0.1 + seed / 10)).run() == []


@pytest.mark.source("a bug is planted in it")
@pytest.mark.parametrize("when_full", STRICT)
def test_a_rule_that_is_asked_behind_the_acknowledgement_is_found(
    when_full: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "STRICT", ())
    assert any("confirmed, and lost" in problem for problem in Away(1, 1, when_full).run())


@pytest.mark.source("a bug is planted in it")
def test_the_wrong_end_of_a_queue_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backpressure, "DROP_OLDEST", "no such rule")
    assert any("the wrong ones" in problem for problem in Away(1, 1, "drop-oldest").run())


@pytest.mark.source("a bug is planted in it")
def test_a_budget_that_is_not_asked_for_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backpressure.Backpressure, "lacks_room", lambda self, client, cost: "")
    assert any("in a budget of" in problem for problem in Away(1, 1, "drop-newest").run())
