"""Programs for processes of the simulated world, and a world that has been used before."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from mqttlite.broker import Broker
from mqttlite.client import Client
from mqttlite.sim.packets import Packets
from mqttlite.sim.process import Process
from mqttlite.sim.world import World

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
