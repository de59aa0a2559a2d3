"""Programs for processes of the simulated world, and a world that has been used before."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from mqttlite.broker import Broker
from mqttlite.client import Client
from mqttlite.sim.packets import Cut, Packet, Packets
from mqttlite.sim.process import Process
from mqttlite.sim.world import World
from mqttlite.store.base import Store
from mqttlite.store.journal import Journal

Program = Callable[[Process], Awaitable[Any]]


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
