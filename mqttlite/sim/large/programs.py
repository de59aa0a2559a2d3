"""The programs of a large world, as its parts have them: what is theirs beyond sim/programs.py."""

import asyncio
from typing import TYPE_CHECKING, Any

from ...client import Client, Message
from ...database.inbox import Inbox
from ...database.outbox import Outbox
from ..check.ledger import FOREVER, ToPublish
from ..disks.app_database import ledger_database
from ..process import Process
from ..programs import Program, Publishing, count_from, handled, make_store, read
from ..timeline import SECOND
from .base import LargeScene
from .drawn import chance_of
from .parts import Bridge, Device, Reader, spoken

if TYPE_CHECKING:
    from ...client.messages import Receipt
    from ...database.adapter import Database

TIMEOUT_S = 5
PORT = "/dev/ttyUSB0"
LIFE = 1_000_000  # a retained status grows with each life, too
JOURNALS = ("WAL", "WAL", "WAL", "DELETE", "DELETE", "TRUNCATE", "PERSIST")  # of databases with an inbox
STATUS_EVERY = 5  # bursts, of a device that has a retained status


class _Device(Publishing):
    """One life of a device's program."""

    def __init__(self, large: LargeScene, device: Device, process: Process) -> None:
        super().__init__(process, large.ledger, large.publishers[device.name])
        self.large = large
        self.part = device
        self.burst = device.burst
        self.one_connection = not device.sleeps
        self.store = device.store
        self._chance = chance_of(large.seed, device.name, "life", process.life)
        self._status: list[tuple[int, int, Receipt]] = []

    def left(self) -> list[ToPublish]:
        """As Publishing.left."""
        device, entries = self.part, self.ledger.entries
        found = []
        for number in range(device.messages):
            entry = entries.get(f"{device.name} {number}")
            if entry is None or (device.keys == "app" and entry.qos and not entry.confirmed_at < FOREVER):
                found.append(self.large.message(device, number))
        self._tells = device.retains and bool(found)
        return found

    def client(self) -> Client:
        """As Publishing.client."""
        device = self.part
        url = f"mqtt://{device.broker}" if device.line is None else f"serial://{PORT}?baud={device.line[1]}"
        client = Client(
            url,
            version=spoken(device.version, self.process.life),
            client_id=device.name,
            clean_session=device.clean,
            keep_alive_s=device.keep_alive_s,
            timeout_s=TIMEOUT_S,
            window=device.window,
            queue_max=device.queue_max,
            keys=device.keys != "none",
            store=make_store(self.process, device.store, device.journal),
            will=(f"w/{device.name}", device.name, 1, False) if device.will else None,
            retry_first=True,
        )
        if device.first >= 0 and device.store != "memory":
            count_from(client, device.first)  # where a store would be after so many messages
        return self.large.watched(client)

    async def pause(self) -> None:
        """As Publishing.pause; after the bad time nobody waits any more."""
        left_ns = max(self.large.bad_until - self.process.world.now, 0)
        await asyncio.sleep(min(self._chance.uniform(*self.part.every_s), left_ns / SECOND))

    async def after_burst(self, client: Client, number: int) -> None:
        """Tell the retained status."""
        if self._tells and number % STATUS_EVERY == 1:
            now = self.process.world.now
            value = LIFE * self.process.life + number
            receipt = await client.publish(f"r/{self.part.name}", str(value), 1, True)
            self.ledger.told(self.publisher, value, now, False)
            self._status.append((value, now, receipt))

    def sweep(self) -> None:
        """As Publishing.sweep."""
        super().sweep()
        for value, at, receipt in self._status:
            if receipt.done and receipt.error is None:
                self.ledger.told(self.publisher, value, at, True)
        self._status = [one for one in self._status if not one[2].done]


def device_of(large: LargeScene, device: Device) -> Program:
    """A publisher; ends with "done"."""

    async def main(process: Process) -> str:
        if process.life > 1 and device.store == "memory":
            large.publisher_lost(large.publishers[device.name])
        return await _Device(large, device, process).run()

    return main


async def _database(large: LargeScene, process: Process) -> "Database":
    """With a WAL or a rollback journal, as is drawn for each process."""
    return await ledger_database(process.mount, chance_of(large.seed, process.name, "journal").choice(JOURNALS))


def reader_of(large: LargeScene, part: Reader) -> Program:
    """A consumer, with an inbox or without; reads for ever."""

    async def main(process: Process) -> None:
        client = large.watched(
            Client(
                f"mqtt://{part.broker}",
                version=spoken(part.version, process.life),
                client_id=part.name,
                clean_session=False,
                keep_alive_s=part.keep_alive_s,
                timeout_s=TIMEOUT_S,
                inbox_max=part.inbox_max,
                keys=part.inbox,
                store=make_store(process, part.store),
                retry_first=True,
            )
        )
        chance = chance_of(large.seed, part.name, "life", process.life)

        async def work() -> None:
            if part.work_s[1]:
                await asyncio.sleep(chance.uniform(*part.work_s))

        async def subscribe() -> None:
            while True:
                await client.subscribe(part.topic_filter, part.qos)
                if not part.fickle or large.calm_begun:
                    return
                await asyncio.sleep(chance.uniform(0.05, 0.3) * large.parts.duration_s)
                large.ledger.unsubscribes(part.name, process.world.now)
                await client.unsubscribe(part.topic_filter)
                await asyncio.sleep(chance.uniform(0.01, 0.1) * large.parts.duration_s)

        database = await _database(large, process) if part.inbox else None
        await read(process, large.ledger, client, subscribe, database=database, work=work)

    return main


def bridge_of(large: LargeScene, part: Bridge) -> Program:
    """What arrives at one broker goes into an outbox for the other, in the transaction of its receipt."""

    async def main(process: Process) -> None:
        database = await _database(large, process)
        outbox = Outbox(database)
        options: dict[str, Any] = {
            "version": large.parts.version,
            "clean_session": False,
            "keep_alive_s": part.keep_alive_s,
            "timeout_s": TIMEOUT_S,
            "keys": True,
            "retry_first": True,
        }
        source = large.watched(Client(f"mqtt://{part.source}", client_id=part.name, **options))
        out = process.sqlite_store("out.db")
        target = large.watched(Client(f"mqtt://{part.target}", client_id=f"{part.name}-out", store=out, **options))
        inbox = Inbox(source, database)
        await database.create_tables()

        def handle(db: Any, message: Message) -> None:
            name = handled(large.ledger, process, message)
            if name:
                outbox.publish(db, "b/" + message.topic, message.payload, max(message.qos, 1))
                db.execute("INSERT INTO ledger (name) VALUES (?)", (name,))

        async with source, target, asyncio.TaskGroup() as group:
            group.create_task(outbox.forward(target))
            await source.subscribe("#", 2)
            group.create_task(inbox.run(handle))

    return main
