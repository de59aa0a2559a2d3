"""The programs of a large world: real brokers, gateways and clients as plans have them; the ledger is told of all.

Each may be started any number of times. What survives is on its disk; what the *application* of a publisher knows of
its messages (tried, confirmed) is in the ledger, as if it were in a notebook that nobody loses.
"""

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any

from ...broker import Broker
from ...broker.limits import Limits
from ...client import Client
from ...database.inbox import Inbox
from ...database.outbox import Outbox
from ..disks.app_database import app_database
from ..programs import DRAIN_S, Program, gateway, make_store
from ..timeline import SECOND
from .drawn import chance_of
from .ledger import FOREVER

if TYPE_CHECKING:
    from ...client.messages import Message, Receipt
    from ...database.adapter import Database
    from ..process import Process
    from .large import Large
    from .ledger import Entry
    from .plan import BridgePlan, DevicePlan, ReaderPlan

TIMEOUT_S = 5
PORT = "/dev/ttyUSB0"
LIFE = 1_000_000  # a retained status grows with each life, too
JOURNALS = ("WAL", "WAL", "WAL", "DELETE", "DELETE", "TRUNCATE", "PERSIST")  # of databases with an inbox
STATUS_EVERY = 5  # bursts, of a device that has a retained status


def broker_of(large: "Large", name: str) -> Program:
    """A broker that keeps everything."""
    hold, size = large.plan.queue
    limits = Limits(hold_bytes=hold, queue_bytes=size, queues_bytes=1 << 30, persistent_sessions=1000)

    async def main(process: "Process") -> None:
        store = process.broker_store()
        broker = Broker([f"mqtt://{name}:1883"], limits, store)
        large.brokers[name] = broker
        large.stats.append((name, broker.stats))
        async with broker:
            raise await broker.failed

    return main


def gateway_of(large: "Large", name: str, broker: str) -> Program:
    """A gateway with all its ports."""
    ports = [f"/dev/ttyACM{n}?baud={baud}" for n, (gate, baud) in enumerate(large.lines_of(name)) if gate]
    return gateway(*ports, upstream=f"mqtt://{broker}")


def _watched(large: "Large", process: "Process", client: Client) -> Client:
    large.clients[client.client_id] = client
    return client


class Publisher:
    """A device: one life of its program."""

    def __init__(self, large: "Large", plan: "DevicePlan", process: "Process") -> None:
        self.large = large
        self.ledger = large.ledger
        self.plan = plan
        self.process = process
        self.waiting: list[tuple[Entry, Receipt]] = []
        self.status: list[tuple[int, int, Receipt]] = []

    async def run(self) -> str:
        """Publish what is left, until all is confirmed."""
        plan = self.plan
        chance = chance_of(self.large.seed, plan.name, "life", self.process.life)
        left = self._left()
        at = 0
        bursts = 0
        while at < len(left) or not bursts:
            async with self._connection() as client:
                while at < len(left) or not bursts:
                    for number in left[at : at + plan.burst]:
                        await self._publish(client, number)
                    at += plan.burst
                    bursts += 1
                    if plan.retains and left and bursts % STATUS_EVERY == 1:
                        await self._tell(client, LIFE * self.process.life + bursts)
                    self._sweep()
                    if plan.sleeps:
                        break
                    await self._pause(chance)
                await self._settle(client)
            if plan.sleeps:
                await self._pause(chance)
        return "done"

    async def _pause(self, chance: Random) -> None:
        """Between two bursts; after the bad time nobody waits any more."""
        left_ns = max(self.large.bad_until - self.process.world.now, 0)
        await asyncio.sleep(min(chance.uniform(*self.plan.every_s), left_ns / SECOND))

    def _left(self) -> list[int]:
        """Which messages are to be published. What was tried may have been accepted: only with a key can it be tried
        again without harm.
        """
        entries = self.ledger.entries
        plan = self.plan
        left = []
        for number in range(plan.messages):
            entry = entries.get(f"{plan.name} {number}")
            if entry is None or (plan.keys == "app" and entry.qos and not entry.confirmed_at < FOREVER):
                left.append(number)
        return left

    def _connection(self) -> Client:
        plan = self.plan
        url = f"mqtt://{plan.broker}" if plan.line is None else f"serial://{PORT}?baud={plan.line[1]}"
        client = _watched(
            self.large,
            self.process,
            Client(
                url,
                client_id=plan.name,
                clean_session=plan.clean,
                keep_alive_s=plan.keep_alive_s,
                timeout_s=TIMEOUT_S,
                window=plan.window,
                queue_max=plan.queue_max,
                keys=plan.keys != "none",
                store=make_store(self.process, plan.store, plan.journal),
                will=(f"w/{plan.name}", plan.name, 1, False) if plan.will else None,
                retry_first=True,
            ),
        )
        if plan.first >= 0 and plan.store != "memory":
            # A new store counts on from where it would have been after so many messages.
            session = client._protocol.session
            session.next = session.sent = session.first = session.sent_before = session.kept = plan.first
        return client

    async def _publish(self, client: Client, number: int) -> None:
        plan = self.plan
        world = self.process.world
        # Drawn from the number alone: another life must publish the same.
        qos, size = self.large.message(plan, number)
        topic = f"{'p' if plan.keys == 'none' or not qos else 'k'}/{plan.name}/{qos}"
        name = f"{plan.name} {number}"
        if not size:
            topic += f"/e/{number}"
        payload = f"{name} ".ljust(size, ".") if size else ""
        entry = self.ledger.try_(plan, number, qos, topic, len(payload), world.now)
        world.note(plan.name, "publish", name)
        key = (f"{plan.name}-app", number) if plan.keys == "app" and qos else None
        self._look_at_doubts(client)  # the store may have to forget the oldest
        receipt = await client.publish(topic, payload, qos, key=key)
        entry.accepted = True
        world.note(plan.name, "accepted", name)
        if entry.qos:
            self.waiting.append((entry, receipt))

    async def _tell(self, client: Client, value: int) -> None:
        """The retained status."""
        now = self.process.world.now
        receipt = await client.publish(f"r/{self.plan.name}", str(value), 1, True)
        self.ledger.told(self.plan, value, now, False)
        self.status.append((value, now, receipt))

    def _sweep(self) -> None:
        now = self.process.world.now
        still: list[tuple[Entry, Receipt]] = []
        for entry, receipt in self.waiting:
            if not receipt.done:
                still.append((entry, receipt))
            elif receipt.error is None:
                entry.confirmed_at = min(entry.confirmed_at, now)
                self.process.world.note(self.plan.name, "confirmed", entry.name)
            else:  # in doubt: the application is told, and decides
                entry.void = str(receipt.error)
                self.process.world.note(self.plan.name, "in doubt", entry.name)
                self.ledger.doubted += 1
        self.waiting = still
        for value, at, receipt in self.status:
            if receipt.done and receipt.error is None:
                self.ledger.told(self.plan, value, at, True)
        self.status = [one for one in self.status if not one[2].done]

    async def _settle(self, client: Client) -> None:
        """Wait until everything is confirmed, however long it takes."""
        self._look_at_doubts(client)
        if not await client.drain(DRAIN_S):
            raise client._error or RuntimeError("drain has ended, and not all is confirmed")
        self._sweep()
        self._look_at_doubts(client)
        if self.plan.store != "memory":  # those of earlier lives, too: the store has nothing left
            for entry in self.ledger.entries.values():
                if entry.device is self.plan and entry.accepted and entry.qos and not entry.void:
                    if (entry.name if entry.size else entry.topic) in self.ledger.in_doubt:
                        entry.void = "in doubt"
                        self.ledger.doubted += 1
                    else:
                        entry.confirmed_at = min(entry.confirmed_at, self.process.world.now)

    def _look_at_doubts(self, client: Client) -> None:
        if client._protocol.session.doubts:
            for _, status, topic, _, payload in client.pending():
                if status == "in doubt":
                    self.ledger.in_doubt.add(topic_payload(topic, payload))


def topic_payload(topic: str, payload: bytes) -> str:
    """What tells a message from others: its name, or the topic of an empty one."""
    return " ".join(str(payload[:60], "utf-8", "replace").split(" ", 2)[:2]) if payload else topic


def device_of(large: "Large", plan: "DevicePlan") -> Program:
    """A publisher; ends with "done"."""

    async def main(process: "Process") -> str:
        if process.life > 1 and plan.store == "memory":
            large.state_lost(plan)
        return await Publisher(large, plan, process).run()

    return main


def _handled(large: "Large", process: "Process", message: "Message") -> str:
    """A handler was entered; the message's name, as Ledger.handled."""
    name = large.ledger.handled(process.name, message.topic, message.payload, process.world.now)
    if name:
        process.world.note(process.name, "handle", name)
    return name


def _database(large: "Large", process: "Process") -> "Database":
    """With a WAL or a rollback journal, as is drawn for each process."""
    return app_database(process, chance_of(large.seed, process.name, "journal").choice(JOURNALS))


def reader_of(large: "Large", plan: "ReaderPlan") -> Program:
    """A consumer, with an inbox or without; reads for ever."""

    async def main(process: "Process") -> None:
        world = process.world
        client = _watched(
            large,
            process,
            Client(
                f"mqtt://{plan.broker}",
                client_id=plan.name,
                clean_session=False,
                keep_alive_s=plan.keep_alive_s,
                timeout_s=TIMEOUT_S,
                inbox_max=plan.inbox_max,
                keys=plan.inbox,
                store=make_store(process, plan.store),
                retry_first=True,
            ),
        )

        chance = chance_of(large.seed, plan.name, "life", process.life)

        async def work() -> None:
            if plan.work_s[1]:
                await asyncio.sleep(chance.uniform(*plan.work_s))

        async def subscribe() -> None:
            while True:
                await client.subscribe(plan.topic_filter, plan.qos)
                if not plan.fickle or large.calm_begun:
                    return
                await asyncio.sleep(chance.uniform(0.05, 0.3) * large.plan.duration_s)
                large.ledger.unsubscribes(plan.name, world.now)
                await client.unsubscribe(plan.topic_filter)
                await asyncio.sleep(chance.uniform(0.01, 0.1) * large.plan.duration_s)

        async def take() -> None:
            reading = large.ledger.readings[plan.name]
            async for message in client:
                name = _handled(large, process, message)
                await work()
                if name:
                    reading.effects.append(name)

        if plan.inbox:
            database = _database(large, process)
            async with database.transaction() as db:
                db.execute("CREATE TABLE IF NOT EXISTS ledger (entry INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT)")
            inbox = Inbox(client, database)

            async def handle(db: Any, message: "Message") -> None:
                name = _handled(large, process, message)
                await work()
                if name:
                    db.execute("INSERT INTO ledger (name) VALUES (?)", (name,))

            async with client, asyncio.TaskGroup() as group:
                group.create_task(subscribe())
                group.create_task(inbox.run(handle))
        else:
            async with client, asyncio.TaskGroup() as group:
                group.create_task(subscribe())
                group.create_task(take())

    return main


def bridge_of(large: "Large", plan: "BridgePlan") -> Program:
    """What arrives at one broker goes into an outbox for the other, in the transaction of its receipt."""

    async def main(process: "Process") -> None:
        database = _database(large, process)
        async with database.transaction() as db:
            db.execute("CREATE TABLE IF NOT EXISTS ledger (entry INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT)")
        outbox = Outbox(database)
        options: dict[str, Any] = {
            "clean_session": False,
            "keep_alive_s": plan.keep_alive_s,
            "timeout_s": TIMEOUT_S,
            "keys": True,
            "retry_first": True,
        }
        source = _watched(large, process, Client(f"mqtt://{plan.source}", client_id=plan.name, **options))
        target = _watched(
            large,
            process,
            Client(
                f"mqtt://{plan.target}", client_id=plan.name + "-out", store=process.sqlite_store("out.db"), **options
            ),
        )
        inbox = Inbox(source, database)
        await database.create_tables()

        def handle(db: Any, message: "Message") -> None:
            name = _handled(large, process, message)
            if name:
                outbox.publish(db, "b/" + message.topic, message.payload, max(message.qos, 1))
                db.execute("INSERT INTO ledger (name) VALUES (?)", (name,))

        async with source, target, asyncio.TaskGroup() as group:
            group.create_task(outbox.forward(target))
            await source.subscribe("#", 2)
            group.create_task(inbox.run(handle))

    return main
