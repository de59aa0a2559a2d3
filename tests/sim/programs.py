"""Programs for processes of the simulated world, and a world that has been used before."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from mqttlite.broker import Broker
from mqttlite.client import Client
from mqttlite.sim.check import ledger as facts
from mqttlite.sim.check.ledger import Ledger
from mqttlite.sim.disks.disk import Operation
from mqttlite.sim.net.packets import Cut, Packet, Packets
from mqttlite.sim.process import Process
from mqttlite.sim.programs import Publisher, make_store, read
from mqttlite.sim.world import World
from mqttlite.store.base import Store
from mqttlite.store.journal import Journal

Program = Callable[[Process], Awaitable[Any]]
TOPIC = "t"


async def broker(process: Process) -> None:
    async with Broker(listen=[f"mqtt://{process.name}:1883"]):
        await asyncio.Event().wait()


def publisher(payloads: list[str], qos: int, topic: str = "a", store: bool = False, **options: Any) -> Program:
    """Publishes each payload and waits until all are confirmed."""

    async def main(process: Process) -> None:
        options.setdefault("client_id", process.name)
        async with Client(
            "mqtt://broker", retry_first=True, store=process.sqlite_store() if store else None, **options
        ) as client:
            for payload in payloads:
                await client.publish(topic, payload, qos)
            await client.drain(1000)

    return main


def subscriber(got: list[str], count: int, qos: int = 2, topic: str = "a", **options: Any) -> Program:
    """Appends to `got` what arrives, until it has `count`."""

    async def main(process: Process) -> None:
        options.setdefault("client_id", process.name)
        async with Client("mqtt://broker", retry_first=True, **options) as client:
            await client.subscribe(topic, qos)
            process.world.reach("subscribed")
            async for message in client:
                got.append(message.payload.decode())
                if len(got) == count:
                    break

    return main


def producer(
    ledger: Ledger,
    count: int,
    *,
    url: str = "mqtt://broker",
    qos: int = 1,
    topic: str = TOPIC,
    every_s: tuple[float, float] = (0.0, 0.0),
    store: str = "memory",
    keyed: bool = False,
    **options: Any,
) -> Program:
    """Publishes messages "NAME NUMBER" numbered from 0 to `count`, with a pause of `every_s` seconds (from, to) after
    each; ends with the result "done" when all are confirmed. `options`: as Client's.

    In another life it goes on behind what it tried last: whether that was accepted nobody can know. `keyed`: it tries
    what it does not know to be accepted again, with the same key; the store knows the key.
    """
    devices: dict[str, facts.Publisher] = {}

    class Producer(Publisher):
        burst = 1

        def left(self) -> list[facts.Message]:
            name = self.device.name
            return [
                facts.Message(f"{name} {n}", n, topic, f"{name} {n}", qos, (name, n) if keyed else None)
                for n in range(count)
                if (entry := ledger.entries.get(f"{name} {n}")) is None or (keyed and not entry.accepted)
            ]

        def client(self) -> Client:
            kept = make_store(self.process, store)
            given = {"client_id": self.process.name, **options}
            return Client(url, store=kept, clean_session=False, retry_first=True, **given)

        async def pause(self) -> None:
            if every_s[1]:
                await asyncio.sleep(self.process.world.random.uniform(*every_s))

    async def main(process: Process) -> str:
        device = devices.setdefault(process.name, facts.Publisher(process.name, "broker", "app" if keyed else "none"))
        program = Producer(process, ledger, device)
        program.store = store
        return await program.run()

    return main


def device(ledger: Ledger, count: int, *, url: str = "serial:///dev/ttyUSB0", **options: Any) -> Program:
    """A producer on a serial line; `options` as producer's, its store is a journal unless told otherwise."""
    return producer(ledger, count, url=url, **{"store": "journal", **options})


def consumer(
    ledger: Ledger, *, url: str = "mqtt://broker", qos: int = 2, topic: str = TOPIC, **options: Any
) -> Program:
    """Takes what arrives for ever, without an inbox; `options`: as Client's."""

    async def main(process: Process) -> None:
        async def subscribe() -> None:
            await client.subscribe(topic, qos)
            ledger.subscribed(process.name, process.world.now)
            process.world.reach("subscribed")

        if process.name not in ledger.readings:
            ledger.add(process.name, "broker", topic, qos, inbox=False)
        client = Client(url, client_id=process.name, clean_session=False, retry_first=True, **options)
        await read(process, ledger, client, subscribe)

    return main


def storm(seed: int, seconds: float) -> tuple[World, list[str]]:
    """A bad time: producers with all kinds of stores are killed, lose power and are cut off at random."""
    world = World(seed)
    chance = world.random
    got: list[str] = []

    def at_packet(packet: Packet) -> Cut | None:
        if chance.random() > 0.03:
            return None
        where = chance.choice(("before", "inside", "after"))
        how = chance.choice(("reset", "close", "unread", "silence"))
        process = packet.way.source.process
        then = chance.choice((None, process.kill, process.cut_power)) if process.name.startswith("producer") else None
        return Cut(where, how, then)

    async def produce(process: Process) -> None:
        number = 0
        kinds: list[Store | None] = [process.sqlite_store(), Journal("j", 16384), None]
        store = kinds[int(process.name[-1]) % 3]
        async with Client(
            "mqtt://broker", client_id=process.name, store=store, keep_alive_s=5, timeout_s=3, retry_first=True
        ) as client:
            while True:
                number += 1
                await client.publish("a", f"{process.name} {process.life} {number}", number % 3)
                await asyncio.sleep(chance.random())

    def revive() -> None:
        for process in producers:
            if not process.alive:
                process.start()
        world.after(3, revive)

    Packets(world, at_packet)
    world.network.conditions.stall = 0.02
    world.network.conditions.vanish = 0.05
    world.process("broker", broker)
    world.process("consumer", subscriber(got, 10**9, keep_alive_s=5, timeout_s=3))
    producers = [world.process(f"producer{number}", produce) for number in range(6)]
    revive()
    world.run(seconds)
    return world, got


class Durable:
    """Producers, a broker and their disks die at random packets and operations of the disk, for 15 seconds; then all is
    well until everything has arrived, or for 100 seconds.

    `accepted`: what `publish` has returned for; `got`: what the consumer, which never dies, was given. Messages with
    even numbers have QoS 1, the others 2.
    """

    COUNT = 10

    def __init__(self, world: World) -> None:
        self.world = world
        self.accepted: set[str] = set()
        self.got: list[str] = []
        self._faults = False
        self._done: set[str] = set()
        Packets(world, self._at_packet)
        self._mortal = [world.process("broker", self._broker)]
        world.process("consumer", subscriber(self.got, 10**9, keep_alive_s=5, timeout_s=3))
        assert world.run_until(lambda: world.reached["subscribed"] == 1, 60)
        self._mortal += [world.process(f"producer{number}", self._produce) for number in range(4)]
        for process in self._mortal:
            process.disk.on_operation = partial(self._at_operation, process)
        self._faults = True
        self._revive()
        world.run(15)
        self._faults = False
        world.run_until(lambda: len(set(self.got)) == 4 * self.COUNT, 100)

    async def _broker(self, process: Process) -> None:
        async with Broker(listen=["mqtt://broker:1883"], store=process.broker_store()) as broker:
            await broker.failed

    async def _produce(self, process: Process) -> None:
        store = Journal("j", 65536) if process.name[-1] in "02" else process.sqlite_store()
        async with Client(
            "mqtt://broker", client_id=process.name, store=store, keep_alive_s=5, timeout_s=3, retry_first=True
        ) as client:
            for number in range(self.COUNT):
                text = f"{process.name} {number}"
                await client.publish("a", text, 1 + number % 2, key=(process.name, number))
                self.accepted.add(text)
                await asyncio.sleep(self.world.random.random())
            await client.drain(1000)
        self._done.add(process.name)

    def _end(self, process: Process) -> Callable[[], None] | None:
        return self.world.random.choice((None, process.kill, process.cut_power))

    def _at_packet(self, packet: Packet) -> Cut | None:
        chance = self.world.random
        if not self._faults or chance.random() > 0.03:
            return None
        process = chance.choice((packet.way.source, packet.way.sink)).process
        return Cut(
            chance.choice(("before", "inside", "after")),
            chance.choice(("reset", "close", "unread", "silence", "none")),
            self._end(process) if process in self._mortal else None,
        )

    def _at_operation(self, process: Process, operation: Operation) -> Callable[[], None] | None:
        chance = self.world.random
        end = self._end(process) if self._faults and chance.random() < 0.01 else None
        if end and chance.random() < 0.5:
            end()
        return end

    def _revive(self) -> None:
        for process in self._mortal:
            if not process.alive and process.name not in self._done:
                process.start()
        self.world.after(1, self._revive)


def messages(seed: int, qos: int, count: int = 3, store: bool = False) -> tuple[World, list[str]]:
    """A publisher, a broker and a subscriber, until all messages have arrived and both clients have ended."""
    world = World(seed)
    Packets(world)
    got: list[str] = []
    world.process("broker", broker)
    consumer = world.process("consumer", subscriber(got, count, qos))
    assert world.run_until(lambda: world.reached["subscribed"] == 1, 60)
    sent = [f"message {number}" for number in range(count)]
    producer = world.process("producer", publisher(sent, qos, store=store))
    assert world.run_until(lambda: not producer.alive and not consumer.alive, 60)
    return world, got
