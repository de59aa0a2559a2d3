"""One client that does not take its messages, of each kind, beside twenty good ones: what it costs them.

The real broker and real clients in virtual time; the bad one is made of bytes. Each check is shown to find the bug that
it is for, planted into the broker.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from mqttlite.broker import Access, Broker
from mqttlite.broker.clients.peer import Peer
from mqttlite.broker.limits import Limits, QueueRule
from mqttlite.broker.routing.backpressure import Backpressure
from mqttlite.client import Client
from mqttlite.core.parser import Parser
from mqttlite.sim.process import Process
from mqttlite.sim.timeline import SECOND
from mqttlite.sim.world import World
from tests.core.packets import Packet, decode_body, encode

EVERYBODY = Access(anonymous=True)  # nobody else is in this network
GOOD = 20
EACH = 14  # messages that each of them publishes, one in half a second
SIZE = 2000  # bytes
KEEP_ALIVE_S = 4
LIMITS = partial(
    Limits, write_buffer_bytes=20_000, hold_bytes=20_000, parked_bytes=20_000, queue_bytes=150_000, stall_ms=5_000
)

KINDS = [("reads nothing", qos) for qos in (0, 1, 2)]
KINDS += [("reads a byte a second", qos) for qos in (0, 1, 2)]
KINDS += [("never acknowledges", qos) for qos in (1, 2)]
KINDS += [("never completes", 2)]


class Bad(asyncio.BufferedProtocol):
    """A client that subscribes to everything; then it is bad in its way."""

    def __init__(self, kind: str, qos: int, clean: bool) -> None:
        self.kind = kind
        self.qos = qos
        self.clean = clean
        self.subscribed = asyncio.get_running_loop().create_future()
        self.lost = asyncio.get_running_loop().create_future()
        self._parser = Parser(1 << 20)
        self._buffer = bytearray(65536)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        fields = {"keep_alive_s": 0, "username": None, "password": None, "will": None}
        self.send("connect", client_id="bad", clean_session=self.clean, **fields)
        self.send("subscribe", packet_id=1, subscriptions=[("t/#", self.qos)])
        if self.kind == "never completes":  # nor PUBREL for what it publishes
            for number in range(20):
                self.send("publish", topic="x", payload=b"", qos=2, retain=False, dup=False, packet_id=number + 10)

    def send(self, kind: str, **fields: Any) -> None:
        self.transport.write(encode(Packet(kind, fields)))

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._buffer)[
            : 1 if self.subscribed.done() and self.kind == "reads a byte a second" else None
        ]

    def buffer_updated(self, nbytes: int) -> None:
        self._parser.feed(bytes(self._buffer[:nbytes]))
        while first := self._parser.next():
            kind, fields = decode_body(first, self._parser.buf, self._parser.start, self._parser.end)
            if kind == "suback":
                self.subscribed.set_result(None)
            if kind == "publish" and fields["qos"] == 2 and self.kind == "never completes":
                self.send("pubrec", packet_id=fields["packet_id"])
        if self.subscribed.done() and self.kind.startswith("reads"):
            self.transport.pause_reading()
            if self.kind == "reads a byte a second":
                asyncio.get_running_loop().call_later(1.0, self.transport.resume_reading)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set_result(None)


class House:
    """The broker, the good ones, and a bad one; `problems` after `run`."""

    def __init__(self, kind: str, qos: int, store: bool, limits: Callable[..., Limits] = LIMITS) -> None:
        self.world = world = World(7, keep_trace=False)
        self.qos = qos
        self.kind = kind
        self.store = store
        self.limits = limits
        self.broker: Broker
        self.sent: dict[bytes, int] = {}
        self.late: list[float] = []  # how long each message has taken, s
        self.most = 0  # bytes in the ledger
        self.ready = 0
        self.bad_is_there = False
        self.all_there: asyncio.Event
        world.process("broker", self._broker)
        world.process("bad", self._bad)
        self.house = world.process("house", self._house)

    async def _broker(self, process: Process) -> None:
        store = process.broker_store() if self.store else None
        async with Broker(["mqtt://broker:1883"], self.limits(), store, access=EVERYBODY) as self.broker:
            raise await self.broker.failed

    async def _bad(self, process: Process) -> None:
        await asyncio.sleep(0.1)
        _, bad = await asyncio.get_running_loop().create_connection(
            lambda: Bad(self.kind, self.qos, not self.store), "broker", 1883
        )
        await bad.subscribed
        self.bad_is_there = True
        self._look_who_is_there()
        await bad.lost

    def _look_who_is_there(self) -> None:
        if self.ready == GOOD and self.bad_is_there:
            self.house.loop.call_soon(self.all_there.set)

    async def _house(self, process: Process) -> str:
        self.all_there = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for number in range(GOOD):
                group.create_task(self._good(number))
        return "done"

    async def _good(self, number: int) -> None:
        async with Client(
            "mqtt://broker",
            client_id=f"good{number}",
            keep_alive_s=KEEP_ALIVE_S,
            will=(f"will/{number}", b"gone", 1, False),
            retry_first=True,
        ) as client:
            await client.subscribe(f"t/{(number + 1) % GOOD}", self.qos)
            self.ready += 1
            self._look_who_is_there()
            reading = asyncio.create_task(self._read(client))
            await self.all_there.wait()
            for count in range(EACH):
                await asyncio.sleep(0.5)
                payload = (b"%d %d " % (number, count)).ljust(SIZE, b".")
                self.sent[payload] = self.world.now
                await client.publish(f"t/{number}", payload, self.qos)
            await reading
            await client.drain(60)

    async def _read(self, client: Client) -> None:
        got = 0
        async for message in client:
            self.late.append((self.world.now - self.sent[bytes(message.payload)]) / SECOND)
            self._look()
            got += 1
            if got == EACH:
                return

    def _look(self) -> None:
        self.broker.engine.backpressure.settle()
        self.most = max(self.most, self.broker.engine.ledger.total)

    def run(self) -> list[str]:
        """What was wrong."""
        done = self.world.run_until(lambda: self.house.result is not None, 60)
        found = []
        stats = self.broker.stats
        if not done or len(self.late) != GOOD * EACH:
            found.append(f"missing: {len(self.late)} of {GOOD * EACH} messages arrived in a minute")
        if self.late and max(self.late) > 1.3:
            found.append(f"late: a message took {max(self.late):.1f} s")
        if stats.connections > GOOD + 1:
            found.append(f"lost: {stats.connections} connections of {GOOD + 1}")
        if stats.wills:
            found.append(f"wills: {stats.wills}")
        self._look()
        if self.most > 150_000 + 170_000:
            found.append(f"memory: {self.most} bytes in the ledger")
        self.world.close()
        return found


@pytest.mark.parametrize("store", [False, True], ids=["memory", "sqlite"])
@pytest.mark.parametrize(("kind", "qos"), KINDS)
def test_a_bad_client_costs_twenty_good_ones_a_second_and_neither_message_nor_connection(
    kind: str, qos: int, store: bool
) -> None:
    assert House(kind, qos, store).run() == []


@pytest.mark.source("a bug is planted in it")
def test_a_hold_without_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backpressure, "end_holds", lambda self, now: None)
    monkeypatch.setattr(Backpressure, "stalled", lambda self, now: [])
    found = House("never acknowledges", 1, False).run()
    assert {problem.partition(":")[0] for problem in found} >= {"late", "lost", "wills"}


@pytest.mark.source("a bug is planted in it")
def test_a_queue_without_bound_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backpressure, "lacks_room", lambda self, client, cost: "")
    monkeypatch.setattr(Backpressure, "stalled", lambda self, now: [])
    assert any(problem.startswith("memory") for problem in House("never acknowledges", 1, True).run())


def test_a_publisher_that_pays_for_others_is_found() -> None:
    limits = partial(LIMITS, queues=(QueueRule("bad", "refuse", 50_000),), stall_ms=60_000)
    found = House("never acknowledges", 1, True, limits).run()
    assert {problem.partition(":")[0] for problem in found} >= {"missing", "lost"}


@pytest.mark.source("a bug is planted in it")
@pytest.mark.parametrize("bug", [False, True])
def test_publishers_that_are_held_back_for_long_lose_their_connections_only_when_they_are_not_read(
    bug: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bug:
        monkeypatch.setattr(Peer, "is_full", property(lambda self: bool(self.waits_for) or self.more))
    limits = partial(LIMITS, hold_ms=20_000, stall_ms=60_000, parked_bytes=100_000)
    found = {problem.partition(":")[0] for problem in House("never acknowledges", 1, False, limits).run()}
    assert ("lost" in found) == bug


# -- an overload that ends


def overload(store: bool, limits: Limits, publishers: int = 20, each: int = 100) -> tuple[list[bytes], int, int]:
    """Publishers, and a subscriber that pauses for a minute: what it misses, what was dropped for it as the broker
    says, and the largest sum in the ledger.
    """
    world = World(11, keep_trace=False)
    confirmed: set[bytes] = set()
    got: set[bytes] = set()
    brokers: list[Broker] = []
    most = 0
    left = publishers

    async def run_broker(process: Process) -> None:
        kept = process.broker_store() if store else None
        async with Broker(["mqtt://broker:1883"], limits, kept, access=EVERYBODY) as broker:
            brokers.append(broker)
            raise await broker.failed

    async def run_reader(process: Process) -> None:
        nonlocal most
        async with Client("mqtt://broker", client_id="reader", retry_first=True, inbox_max=10) as client:
            await client.subscribe("t/#", 1)
            world.after(0, devices.start)
            async for message in client:
                if not got:
                    await asyncio.sleep(60)
                got.add(bytes(message.payload))
                brokers[0].engine.backpressure.settle()
                most = max(most, brokers[0].engine.ledger.total)

    async def run_publishers(process: Process) -> None:
        async def publish(number: int) -> None:
            nonlocal left
            async with Client("mqtt://broker", client_id=f"p{number}", retry_first=True, keep_alive_s=4) as client:
                for count in range(each):
                    payload = (b"%d %d " % (number, count)).ljust(200, b".")
                    receipt = await client.publish(f"t/{number}", payload, 1)
                    if count % 10 == 9:
                        await receipt.completed()
                        await asyncio.sleep(0.3)
                    confirmed.add(payload)
                await client.drain(300)
            left -= 1

        async with asyncio.TaskGroup() as group:
            for number in range(publishers):
                group.create_task(publish(number))

    world.process("broker", run_broker)
    world.process("reader", run_reader)
    devices = world.process("publishers", run_publishers, start=False)
    assert world.run_until(lambda: not left, 50)  # nobody waits for the reader's minute
    world.run(120)
    dropped = brokers[0].stats.dropped_queue_full
    assert brokers[0].stats.wills == 0
    world.close()
    return sorted(confirmed - got), dropped, most


@pytest.mark.parametrize("store", [False, True], ids=["memory", "sqlite"])
def test_an_overload_within_the_budget_loses_nothing_that_was_acknowledged(store: bool) -> None:
    missing, dropped, most = overload(store, Limits(hold_bytes=20_000))
    assert (missing, dropped) == ([], 0)
    assert most < 2000 * (200 + 64 + 20) + 100_000


def test_an_overload_beyond_the_budget_loses_what_the_broker_says_and_no_more_memory() -> None:
    missing, dropped, most = overload(True, Limits(hold_bytes=20_000, queue_bytes=100_000))
    assert 0 < len(missing) <= dropped
    assert most < 100_000 + 80_000
