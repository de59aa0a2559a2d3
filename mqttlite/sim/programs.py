"""Programs for processes of the world: broker, gateway, device (and other producers), consumer. All real code.

    facts = Facts()
    SerialLine(world, "device", "/dev/ttyUSB0", "gateway", "/dev/ttyACM0")
    world.process("broker", broker("sqlite"))
    world.process("gateway", gateway("/dev/ttyACM0"))
    world.process("consumer", consumer(facts))
    world.process("device", device(facts, 100, qos=2, store="journal"))

Each of these functions makes a program, which may be started any number of times: what survives is on its disk. What
happens to messages is in `facts` (facts.py).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..broker import Broker
from ..client import Client
from ..store.base import Store
from ..store.journal import Journal

if TYPE_CHECKING:
    from ..broker.limits import Limits
    from ..client.messages import Receipt
    from .check.facts import Facts
    from .process import Process

Program = Callable[["Process"], Awaitable[Any]]

TOPIC = "t"
JOURNAL_SIZE = 16384  # bytes: of a small board
DRAIN_S = 1e8  # a program waits for its confirmations as long as it lives


def make_store(process: "Process", kind: str, journal_size: int = JOURNAL_SIZE) -> Store | None:
    """A client's store on the process's disk: "memory" (None: nothing survives), "sqlite" or "journal", of at most
    `journal_size` bytes.
    """
    if kind == "memory":
        return None
    if kind == "sqlite":
        return process.sqlite_store()
    if kind == "journal":
        return Journal("j", journal_size)
    raise ValueError(f"a store '{kind}'; it is memory, sqlite or journal")


def broker(store: str = "memory", *, port: int = 1883, limits: "Limits | None" = None) -> Program:
    """A broker on all addresses of its machine. `store`: "memory", or "sqlite": sessions survive. It ends with
    StoreError when its store fails.
    """
    if store not in ("memory", "sqlite"):
        raise ValueError(f"a broker's store '{store}'; it is memory or sqlite")

    async def main(process: "Process") -> None:
        kept = process.broker_store() if store == "sqlite" else None
        async with Broker([f"mqtt://{process.name}:{port}"], limits, kept) as running:
            raise await running.failed

    return main


def gateway(*ports: str, upstream: str = "mqtt://broker", **options: Any) -> Program:
    """The gateway on these ports ("/dev/ttyACM0?baud=115200&window=8"); `options` as fields of its Config."""

    async def main(process: "Process") -> None:
        from mqttlite_gateway.config import Config, SerialPort
        from mqttlite_gateway.gateway import run

        config = Config([SerialPort.parse(port) for port in ports], upstream, **options)
        config.check()
        await run(config)

    return main


def producer(
    facts: "Facts",
    count: int,
    *,
    url: str = "mqtt://broker",
    qos: int = 1,
    topic: str = TOPIC,
    size: int = 0,
    every_s: tuple[float, float] = (0.0, 0.0),
    store: str = "memory",
    keyed: bool = False,
    **options: Any,
) -> Program:
    """Publishes messages "NAME NUMBER" (filled up to `size` bytes) numbered from 0 to `count`, with a pause of
    `every_s` seconds (from, to) after each; ends with the result "done" when all are confirmed. `options`: as Client's.

    In another life it goes on behind what it tried last: whether that was accepted nobody can know. `keyed`: it tries
    what it does not know to be accepted again, with the same key; the store knows the key.
    """

    async def main(process: "Process") -> str:
        chance = process.world.random
        stream = f"{process.name} {topic}"
        begun = facts.accepted if keyed else facts.tried
        options.setdefault("client_id", process.name)
        waiting: list[tuple[str, Receipt]] = []

        def sweep() -> None:
            while waiting and waiting[0][1].done:
                payload, receipt = waiting.pop(0)
                if receipt.error is None:
                    facts.confirmed[payload] = None

        async with Client(
            url, store=make_store(process, store), clean_session=False, retry_first=True, **options
        ) as client:
            for number in range(count):
                payload = f"{process.name} {number}".ljust(size, ".")
                if payload in begun:
                    continue
                facts.try_(payload, stream, number)
                key = (process.name, number) if keyed else None
                receipt = await client.publish(topic, payload, qos, key=key)
                facts.accepted[payload] = None
                if qos:
                    waiting.append((payload, receipt))
                sweep()
                if every_s[1]:
                    await asyncio.sleep(chance.uniform(*every_s))
            if await client.drain(DRAIN_S):
                sweep()
                if store != "memory":  # those of earlier lives, too: the store has nothing left
                    facts.confirmed.update({p: None for p in facts.accepted if facts.order[p][0] == stream})
        return "done"

    return main


def device(facts: "Facts", count: int, *, url: str = "serial:///dev/ttyUSB0", **options: Any) -> Program:
    """A producer on a serial line; `options` as producer's, its store is a journal unless told otherwise."""
    options.setdefault("store", "journal")
    return producer(facts, count, url=url, **options)


def consumer(
    facts: "Facts",
    *,
    url: str = "mqtt://broker",
    qos: int = 2,
    topic: str = TOPIC,
    store: str = "memory",
    work_s: tuple[float, float] = (0.0, 0.0),
    **options: Any,
) -> Program:
    """Takes what arrives for ever, and needs `work_s` seconds (from, to) for each; `options`: as Client's. A message
    counts as handled after that: there is no inbox, so one that was being handled at a death comes again.
    """

    async def main(process: "Process") -> None:
        world = process.world
        options.setdefault("client_id", process.name)
        async with Client(
            url, store=make_store(process, store), clean_session=False, retry_first=True, **options
        ) as client:
            await client.subscribe(topic, qos)
            world.reach("subscribed")
            async for message in client:
                payload = str(message.payload, "utf-8")
                facts.entered.append(payload)
                world.note(process.name, "handle", payload)
                if work_s[1]:
                    await asyncio.sleep(world.random.uniform(*work_s))
                facts.effects.append(payload)

    return main
