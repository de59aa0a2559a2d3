"""Programs for processes of the simulated world, and a world that has been used before."""

import asyncio
from typing import Any

from mqttlite.client import Client
from mqttlite.sim.check.ledger import Ledger, Publisher, ToPublish
from mqttlite.sim.net.packets import Packets
from mqttlite.sim.process import Process
from mqttlite.sim.programs import Program, Publishing, broker, make_store, read
from mqttlite.sim.world import World

TOPIC = "t"


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
    devices: dict[str, Publisher] = {}

    class Producer(Publishing):
        burst = 1

        def left(self) -> list[ToPublish]:
            name = self.publisher.name
            return [
                ToPublish(f"{name} {n}", n, topic, f"{name} {n}", qos, (name, n) if keyed else None)
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
        device = devices.setdefault(process.name, Publisher(process.name, "broker", "app" if keyed else "none"))
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


def messages(seed: int, qos: int, count: int = 3, store: bool = False) -> tuple[World, list[str]]:
    """A publisher, a broker and a subscriber, until all messages have arrived and both clients have ended."""
    world = World(seed)
    Packets(world.network)
    got: list[str] = []
    world.process("broker", broker())
    consumer = world.process("consumer", subscriber(got, count, qos))
    assert world.run_until(lambda: world.reached["subscribed"] == 1, 60)
    sent = [f"message {number}" for number in range(count)]
    producer = world.process("producer", publisher(sent, qos, store=store))
    assert world.run_until(lambda: not producer.alive and not consumer.alive, 60)
    return world, got
