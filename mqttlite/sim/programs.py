"""Programs for processes of the world: broker, gateway, publishers, readers. All real code.

Each of these makes a program that may be started any number of times. What survives is on its disk; what the
*application* of a publisher knows of its messages (tried, confirmed) is in the ledger (check/ledger.py), as if it were
in a notebook that nobody loses.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from ..broker import Access, Broker
from ..client import Client, Message
from ..core import PORT
from ..database.inbox import Inbox
from ..database.stream_inbox import StreamInbox
from ..store.base import Store
from ..store.journal import Journal
from .check.ledger import Entry, Ledger, Publisher, ToPublish, name_in
from .process import Process

if TYPE_CHECKING:
    from ..broker.limits import Limits
    from ..client.messages import Receipt
    from ..database.adapter import Database

Program = Callable[[Process], Awaitable[Any]]

JOURNAL_SIZE = 16384  # bytes: of a small board
DRAIN_S = 1e8  # a program waits for its confirmations as long as it lives


def make_store(process: Process, kind: str, journal_size: int = JOURNAL_SIZE) -> Store | None:
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


def count_from(client: Client, number: int) -> None:
    """The first message of a client that has not begun gets this number, unless its store has more to tell."""
    session = client._life.session
    session.next = session.sent = session.first = session.sent_before = session.kept = number


def _nothing(*_: object) -> None:
    pass


def _open() -> None:
    """Everybody may everything."""


def broker(
    store: str = "memory",
    *,
    port: int = PORT,
    limits: "Limits | None" = None,
    access: Callable[[], Access | None] = _open,
    made: Callable[[Process, Broker], object] = _nothing,
    serves: Callable[[Process, Broker], object] = _nothing,
) -> Program:
    """A broker on all addresses of its machine. `store`: "memory", or "sqlite": sessions survive. It ends with
    StoreError when its store fails. `access`: who may what, asked for each life; `made`, `serves`: are told of it.
    """
    if store not in ("memory", "sqlite"):
        raise ValueError(f"a broker's store '{store}'; it is memory or sqlite")

    async def main(process: Process) -> None:
        kept = process.broker_store() if store == "sqlite" else None
        who = access() or Access(anonymous=True)  # nobody else is in this network
        running = Broker([f"mqtt://{process.name}:{port}"], limits, kept, access=who)
        made(process, running)
        async with running:
            serves(process, running)
            raise await running.failed

    return main


def gateway(*ports: str, upstream: str = "mqtt://broker", **options: Any) -> Program:
    """The gateway on these ports ("/dev/ttyACM0?baud=115200&window=8"); `options` as fields of its Config."""

    async def main(process: Process) -> None:
        from mqttlite_gateway.config import Config, SerialPort
        from mqttlite_gateway.gateway import run

        config = Config([SerialPort.parse(port) for port in ports], upstream, console="", **options)
        config.check()
        await run(config)

    return main


class Publishing:
    """One life of a program that publishes what is left, in bursts, until all is confirmed. What it publishes, with
    which client, and what is between its bursts, is for classes that inherit from it to say.
    """

    burst = 1 << 30  # messages
    one_connection = True  # for all bursts
    store = ""  # "memory": what an earlier life has accepted is not in it

    def __init__(self, process: Process, ledger: Ledger, publisher: Publisher) -> None:
        self.process = process
        self.ledger = ledger
        self.publisher = publisher
        self._waiting: list[tuple[Entry, Receipt]] = []

    def left(self) -> list[ToPublish]:
        """What is still to be published. What was tried may have been accepted: only with a key can it be tried again
        without harm.
        """
        raise NotImplementedError

    def client(self) -> Client:
        """The client of the next connection."""
        raise NotImplementedError

    async def begins(self, client: Client) -> None:
        """A connection has begun, or is being made."""

    async def after_burst(self, client: Client, number: int) -> None:
        """The `number`-th burst, from 1, is accepted."""

    async def pause(self) -> None:
        """Between two bursts."""

    async def run(self) -> str:
        """All of it."""
        left = self.left()
        at = bursts = 0
        while at < len(left) or not bursts:
            async with self.client() as client:
                await self.begins(client)
                while at < len(left) or not bursts:
                    for message in left[at : at + self.burst]:
                        await self.publish(client, message)
                    at += self.burst
                    bursts += 1
                    await self.after_burst(client, bursts)
                    self.sweep()
                    if not self.one_connection:
                        break
                    await self.pause()
                await self.settle(client)
            if not self.one_connection:
                await self.pause()
        return "done"

    async def publish(self, client: Client, message: ToPublish) -> None:
        """One message."""
        world = self.process.world
        entry = self.ledger.try_(self.publisher, message, world.now)
        world.note(self.publisher.name, "publish", entry.name)
        self._look_at_doubts(client)  # the store may have to forget the oldest
        topic = self.topic_of(message)
        receipt = await client.publish(topic, message.payload, message.qos, key=message.key, **message.more)
        entry.accepted = True
        world.note(self.publisher.name, "accepted", entry.name)
        if entry.qos:
            self._waiting.append((entry, receipt))

    def topic_of(self, message: ToPublish) -> str:
        """Where it is published, so that it comes to its topic."""
        return message.topic

    def sweep(self) -> None:
        """Look at receipts."""
        world = self.process.world
        still: list[tuple[Entry, Receipt]] = []
        for entry, receipt in self._waiting:
            if not receipt.done:
                still.append((entry, receipt))
            elif receipt.error is None:
                entry.confirmed_at = min(entry.confirmed_at, world.now)
                world.note(self.publisher.name, "confirmed", entry.name)
            else:  # in doubt: the application is told, and decides
                entry.void = str(receipt.error)
                world.note(self.publisher.name, "in doubt", entry.name)
        self._waiting = still

    async def settle(self, client: Client) -> None:
        """Wait until everything is confirmed, however long it takes."""
        self._look_at_doubts(client)
        if not await client.drain(DRAIN_S):
            raise client.error or RuntimeError("drain has ended, and not all is confirmed")
        self.sweep()
        self._look_at_doubts(client)
        if self.store == "memory":
            return
        for entry in self.ledger.entries.values():  # those of earlier lives, too: the store has nothing left
            if entry.publisher == self.publisher and entry.accepted and entry.qos and not entry.void:
                if entry.known_by in self.ledger.in_doubt:
                    entry.void = "in doubt"
                else:
                    entry.confirmed_at = min(entry.confirmed_at, self.process.world.now)

    def _look_at_doubts(self, client: Client) -> None:
        if client._life.session.doubts:
            for _, status, topic, _, payload in client.pending():
                if status == "in doubt":
                    self.ledger.in_doubt.add(name_in(topic, payload))


def handled(ledger: Ledger, process: Process, message: Message) -> str:
    """A handler was entered; the message's name, as Ledger.handled."""
    name = ledger.handled(process.name, message.topic, message.payload, process.world.now)
    if name:
        process.world.note(process.name, "handle", name)
    return name


def into_ledger(
    process: Process, ledger: Ledger, work: Callable[[], Awaitable[object]] | None
) -> Callable[[Any, Message], Coroutine[Any, Any, None]]:
    """The handler of an inbox."""

    async def handle(db: Any, message: Message) -> None:
        name = handled(ledger, process, message)
        if work:
            await work()
        if name:
            db.execute("INSERT INTO ledger (name) VALUES (?)", (name,))

    return handle


async def replay(
    process: Process,
    ledger: Ledger,
    client: Client,
    database: "Database",
    work: Callable[[], Awaitable[object]] | None = None,
    stream: str = "s",
    topic_filter: str = "t/#",
) -> None:
    """Read a stream of the broker for ever, from the place that the database has."""
    async with client:
        await StreamInbox(client, database, stream, topic_filter, qos=2).run(into_ledger(process, ledger, work))


async def read(
    process: Process,
    ledger: Ledger,
    client: Client,
    subscribe: Callable[[], Coroutine[Any, Any, None]],
    *,
    database: "Database | None" = None,
    work: Callable[[], Awaitable[object]] | None = None,
) -> None:
    """Take what arrives for ever, while `subscribe` runs beside that, and do some `work` with each message. `database`:
    of an inbox; without one, a message counts as handled after the work on it, and one that was being handled at a
    death comes again.
    """

    async def take() -> None:
        async for message in client:
            name = handled(ledger, process, message)
            if work:
                await work()
            if name:
                ledger.readings[process.name].effects.append(name)

    taking = take
    if database:
        taking = partial(Inbox(client, database).run, into_ledger(process, ledger, work))
    async with client, asyncio.TaskGroup() as group:
        group.create_task(subscribe())
        group.create_task(taking())
