"""Small worlds: a producer, a broker and a consumer, all durable, and a few messages. What explore.py goes through.

Each part is real code on a disk of its own, is started again half a second after it has died, and has a supervisor's
patience: errors of its store end it, and the next life begins. The world is over when everything that was promised is
done and the sessions are quiet, or after `LIMIT_S`.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ...broker import Broker
from ...broker.limits import Limits
from ...client import Client
from ...core import earlier_life
from ...core import session as core
from ...core.codec import topic_of
from ...core.errors import MQTTError
from ...database.inbox import Inbox
from ...store.base import Store
from ..check.conduct import Conduct, in_trace
from ..check.facts import Facts, Promise
from ..disks.app_database import app_database
from ..net.packets import Cut, Packet, Packets
from ..process import Process
from ..programs import make_store
from ..world import World
from . import chain, states
from .faults import Extent
from .losses import Losses

if TYPE_CHECKING:
    from ..lines import serial

TOPIC = "t"
LIMIT_S = 600.0  # virtual seconds; with keep alive and all pauses, everything is long done
REVIVE_S = 0.5
DONE_S = 0.2  # after it: for the last acknowledgements, and the store's lingering batch
QUIET_S = 20.0  # after the last message: time for keep alive to notice what is dead, and to reconnect
KEEP_ALIVE_S = 5
TIMEOUT_S = 3


HANDLER_S = 0.3  # of a slow consumer: longer than a reconnection
PACE_S = 1.5  # of a slow producer, between two messages: longer than a reconnection, after which it goes on at once
FEW = 4  # packet identifiers
TIGHT = 200  # bytes of a journal that is rewritten again and again
OUTGROWN = 2000  # bytes of a message that is never taken
POISON = "poison"  # its topic, when it is the broker that does not take it; it is in TOPIC when it is the consumer
STORES = ("sqlite", "journal", "tight", "memory")


class Small(NamedTuple):
    """A small world.

    qos, messages: what is published. producer: its store, "sqlite", "journal", "tight" (a journal that is full after
    a few messages) or "memory" (none: the next life publishes all again, and one more). keys: messages carry an
    idempotency key of the application's, and what a producer is unsure of it publishes again. line: the producer is a
    device on a serial line of a gateway. slow: messages are published and handled slowly. few: there are FEW packet
    identifiers. wrap: the producer's first message has the last packet identifier. lose: disks may get lost, too.
    blackout: everything loses its power at once when the first message is on its way to the consumer. rollback: the
    consumer's database has a rollback journal, no WAL. poison: before the first message the producer publishes one that
    the broker never takes. large: before the first message it publishes one that the consumer never takes. reuse: each
    life of a producer without a store begins with another message, under the identifier of the first one.
    """

    qos: int = 2
    messages: int = 1
    producer: str = "sqlite"
    keys: bool = False
    line: bool = False
    slow: bool = False
    few: bool = False
    wrap: bool = False
    lose: bool = False
    blackout: bool = False
    rollback: bool = False
    poison: bool = False
    large: bool = False
    reuse: bool = False

    def __str__(self) -> str:
        return f"qos{self.qos}-{self.messages}-{self.producer}" + "".join(
            f"-{flag}" for flag in FLAGS if getattr(self, flag)
        )


FLAGS = Small._fields[3:]


def named(name: str) -> Small:
    """The small world of a name, as `qos2-1-sqlite-keys`. ValueError when it is none."""
    found = re.fullmatch(rf"qos([012])-(\d{{1,3}})-({'|'.join(STORES)})((?:-\w+)*)", name)
    if found:
        flags = {flag: f"-{flag}-" in f"{found[4]}-" for flag in FLAGS}
        small = Small(int(found[1]), int(found[2]), found[3], **flags)
        if str(small) == name:
            return small
    raise ValueError(f"'{name}' is no small world; one is called qos2-1-sqlite, or qos1-30-journal-keys")


@contextlib.contextmanager
def few_identifiers(few: bool) -> Iterator[None]:
    """While this lasts, sessions have few packet identifiers."""
    owners: tuple[Any, ...] = (core, earlier_life) if few else ()
    before = [owner.SPAN for owner in owners]
    for owner in owners:
        owner.SPAN = FEW
    try:
        yield
    finally:
        for owner, span in zip(owners, before, strict=True):
            owner.SPAN = span


class Run:
    """One small world on its way. `start` is called before anything happens: the place for faults."""

    def __init__(self, small: Small, seed: int, start: "Callable[[Run], None] | None" = None) -> None:
        self.small = small
        self.facts = Facts()
        self.world = World(seed)
        network = self.world.network
        network.conditions.latency = (100_000, 400_000)
        network.conditions.split = 0.0
        self.conduct = Conduct(self.facts)
        self.losses = Losses(self.facts, self.conduct, small.keys, small.reuse)
        self.consequences = states.Consequences(self)
        self.on_packet: Callable[[Packet], Cut | None] = lambda packet: None
        self.packets = Packets(self.world, self._packet)
        self.done = False  # the producer has all confirmed
        self.begun = False  # the consumer has subscribed
        self.finished = False  # the producer has ended in good order
        self.outgrown = False  # it was tried to publish the message that is never taken
        self.outgrown_accepted = False
        self.past = 0  # how often the consumer was told that it was too large
        self.over = False  # nobody is started again
        self.black = False  # there was a blackout
        self.moments: dict[int, list[Callable[[], object]]] = {}  # what to do after which event of the world
        self.happened: list[tuple[str, str]] = []  # faults that have happened, and where
        self.turns: list[tuple[int, str]] = []  # events in which a process has done something, and which one
        self.done_at = 0  # ns
        self.clients: dict[str, Client] = {}  # of the last life of each
        self.durable_broker: Broker | None = None
        self.line: serial.SerialLine | None = None
        self.broker = self.world.process("broker", self._broker)
        self.consumer = self.world.process("consumer", self._consumer)
        self.parts: tuple[Process, ...] = (self.broker, self.consumer)
        if small.line:
            self.line = chain.lay(self.world)
            self.parts = (self.world.process("gateway", chain.program()), *self.parts)
        self.producer = self.world.process("device" if small.line else "producer", self._producer, start=False)
        self.parts = (self.producer, *self.parts)
        self.last = Extent(0, 0, {})  # where the last fault happened
        self.extent = Extent(0, 0, {})  # where all was done
        for process in self.parts:
            process.may_fail = True
        self.stats: list[Any] = []  # of each life of the broker
        if start:
            start(self)

    def _packet(self, packet: Packet) -> Cut | None:
        self.conduct.see(packet)
        self.losses.see(packet)
        self.consequences.see(packet)
        if self.small.blackout and not self.black and packet.kind == "PUBLISH" and not packet.is_up:
            self.black = True
            self.world.after(0.0, self._blackout)
        return self.on_packet(packet)

    def _blackout(self) -> None:
        for process in self.parts:
            if process.alive:
                process.cut_power()

    def tell(self, what: str) -> None:
        """Something has come of the last fault."""
        if self.happened:
            fault, point = self.happened[-1]
            if what not in point:
                self.happened[-1] = (fault, f"{point}; {what}")

    def lose(self, process: Process) -> None:
        """The disk of a process is lost, and with it its power; of a consumer's, the application's database is kept."""
        process.lose_disk()
        if process is self.producer:
            self.losses.of_producer(process.name, True)
        elif process is self.broker:
            self.losses.of_broker()

    # -- programs

    async def _broker(self, process: Process) -> None:
        store = process.broker_store()
        limits = Limits(packet_bytes=OUTGROWN // 2) if self.small.poison else None
        broker = Broker([f"mqtt://{process.name}:1883"], limits, store)
        self.stats.append(broker.stats)
        self.durable_broker = None
        async with broker:
            self.durable_broker = broker
            raise await broker.failed

    @property
    def opening(self) -> list[str]:
        """Processes that open their stores."""
        found = [self.broker.name] if self.broker.alive and not self.durable_broker else []
        for process in (self.producer, self.consumer):
            client = self.clients.get(process.name)
            if process.alive and not (client and (client._has_store or client._error)):
                found.append(process.name)
        return found

    async def _producer(self, process: Process) -> None:
        facts = self.facts
        small = self.small
        self.clients.pop(process.name, None)
        forgets = small.producer == "memory" and process.life > 1
        if forgets:
            self.losses.of_producer(process.name, False)
        url = chain.URL if small.line else "mqtt://broker"
        back = asyncio.Event()

        def on_connection(connected: bool, reason: str) -> None:
            if connected:
                back.set()

        options: dict[str, Any] = {"store": self._store(process), "keys": small.keys, "on_connection": on_connection}
        async with self._client(process, url, **options) as client:
            back.clear()
            if small.poison or small.large:
                await self._publish_outgrown(client)
            for number, payload in self._payloads(process.life if forgets else 1):
                key = ("app", number) if small.keys else None
                if payload in facts.tried:
                    if not forgets and not small.keys:
                        continue  # it may have been accepted: publishing it again might double it
                    self.losses.tried(payload)
                if forgets:
                    self.tell(f"without a store, {'the same' if payload in facts.tried else 'another'} payload")
                self.consequences.publishing(process.name)
                facts.try_(payload, payload if small.reuse else "app", number)  # in another order in each life
                await client.publish(TOPIC, payload, small.qos, key=key)
                facts.accepted[payload] = None
                self.world.note(process.name, "accepted", payload)
                if small.slow:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(back.wait(), PACE_S)
                    back.clear()
            if await client.drain(LIMIT_S):
                for payload in facts.accepted:  # those of earlier lives, too: the store has nothing left
                    facts.confirmed[payload] = None
                self.done = True
        self.finished = True

    async def _publish_outgrown(self, client: Client) -> None:
        """Publish what is never taken, once; without a store, once in each life."""
        if self.outgrown and self.small.producer != "memory":
            return
        self.outgrown = True
        key = ("outgrown", 1) if self.small.keys else None
        await client.publish(POISON if self.small.poison else TOPIC, bytes(OUTGROWN), self.small.qos, key=key)
        self.outgrown_accepted = True

    def _payloads(self, life: int) -> list[tuple[int, str]]:
        """What a producer has to publish, with its numbers. `life`: above 1 when it knows of none before."""
        found = [(number, f"message {number}") for number in range(1, self.small.messages + 1)]
        if life > 1 and not self.small.keys:
            found.insert(0 if self.small.reuse else len(found), (self.small.messages + life, f"life {life}"))
        return found

    def _store(self, process: Process) -> Store | None:
        if self.small.producer == "tight":
            return make_store(process, "journal", TIGHT)
        return make_store(process, self.small.producer)

    async def _consumer(self, process: Process) -> None:
        facts = self.facts
        self.clients.pop(process.name, None)
        database = app_database(process, "DELETE" if self.small.rollback else "WAL")
        async with database.transaction() as db:
            db.execute("CREATE TABLE IF NOT EXISTS ledger (entry INTEGER PRIMARY KEY AUTOINCREMENT, payload TEXT)")

        def handle(db: Any, message: Any) -> Any:
            payload = str(message.payload, "utf-8")
            facts.entered.append(payload)
            self.world.note(process.name, "handle", payload)
            db.execute("INSERT INTO ledger (payload) VALUES (?)", (payload,))
            return asyncio.sleep(HANDLER_S) if self.small.slow else None

        def too_large(topic: str, size: int) -> None:
            self.past += 1

        options: dict[str, Any] = {"size_max": OUTGROWN // 2, "on_oversized": too_large} if self.small.large else {}
        client = self._client(process, keys=self.small.keys, store=process.sqlite_store(), **options)
        inbox = Inbox(client, database)
        async with client:
            await client.subscribe(TOPIC, self.small.qos)
            self.begun = True
            await inbox.run(handle)

    def _client(self, process: Process, url: str = "mqtt://broker", **options: Any) -> Client:
        client = self.clients[process.name] = Client(
            url,
            client_id=process.name,
            clean_session=False,
            retry_first=True,
            keep_alive_s=KEEP_ALIVE_S,
            timeout_s=TIMEOUT_S,
            **options,
        )
        if (
            self.small.wrap or self.small.reuse
        ) and process is self.producer:  # a store that has more to tell overrules it
            session = client._protocol.session
            session.next = session.sent = session.first = session.sent_before = session.kept = core.SPAN - 1
        return client

    # -- from beginning to end

    def run(self) -> list[str]:
        """Let it run to its end; what was promised and does not hold."""
        with few_identifiers(self.small.few):
            return self._run()

    def _run(self) -> list[str]:
        world = self.world
        facts = self.facts
        promise = Promise(
            lossless=self.small.qos > 0, once=self.small.qos == 2 or self.small.keys, certain=self.small.keys
        )
        self._revive()
        if not world.run_until(lambda: self._moment() or self.begun, LIMIT_S):
            return ["the consumer never got its subscription", *self._errors()]
        self.producer.start()
        if not world.run_until(lambda: self._moment() or self.done, LIMIT_S):
            return ["the producer waits for ever", *self._errors()]
        world.run_until(self._moment, DONE_S)
        self.extent = self.now()  # what was wanted is done; what goes on from here is only quiet
        self.done_at = world.now
        world.run_until(self._moment, QUIET_S)
        self._stop()
        facts.effects = [
            row[0] for row in self._rows("consumer", "app.db", "SELECT payload FROM ledger ORDER BY entry")
        ]
        facts.noticed += self._errors() + self._leaks() + in_trace(self.world)
        self.losses.settle()
        return facts.problems(promise)

    def _moment(self) -> bool:
        world = self.world
        if world.last:
            self.turns.append((world.events, world.last.name))
            world.last = None
        for call in self.moments.pop(world.events, ()):
            call()
        return False

    def now(self) -> Extent:
        """How many steps there have been until now."""
        disks = {process.name: process.disk.operations for process in self.parts}
        frames = self.line.frames if self.line else 0
        return Extent(self.world.events, self.packets.count, disks, frames, self.small.lose)

    def _stop(self) -> None:
        self.over = True
        for process in self.parts:
            process.stop()
        self.world.run(10)
        for process in self.parts:
            if process.alive:
                self.facts.noticed.append(f"{process.name} does not stop")
                process.kill()

    def _errors(self) -> list[str]:
        """What no program should have been told."""
        found = []
        for process in self.parts:
            error = process.error
            if error and not isinstance(error, (MQTTError, OSError)):
                found.append(f"{process.name} failed: {error!r}")
            found += [f"{process.name}: {text}: {why!r}" for text, why in process.unhandled]
        for _, lane, kind, text in self.world.trace:
            if kind in ("error", "critical") and "unexpected" in str(text):
                found.append(f"{lane}: {text!s}")
        return found

    def _leaks(self) -> list[str]:
        """Identifiers and messages that nobody will ever ask for, and drops."""
        found = []
        tables = ["outbound"] if self.losses.identifiers else ["outbound", "inbound"]
        counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
        for row in self._rows("broker", "broker.db", f"SELECT {counts}"):
            found += [
                f"the broker keeps {count} rows in {table}" for table, count in zip(tables, row, strict=True) if count
            ]
        owed = self.outgrown_accepted and self.small.qos > 0 and not self.losses.lost
        if owed and self.small.large and not self.past:
            found.append("the consumer was not told of the message that is too large")
        if not self.losses.lost:
            # Of an earlier session they mean nothing.
            kept = "mqttlite_received JOIN mqttlite_inbox USING (inbox, client_id, session)"
            for (count,) in self._rows("consumer", "app.db", f"SELECT count(*) FROM {kept}"):
                found += [f"the consumer keeps {count} receipts"] * (count > 0)
        if self.small.producer == "sqlite":
            found += self._aside(owed and self.small.poison)
            # A broker that has lost its disk leaves messages in doubt (state 3): kept, for the application to ask for.
            kept = "state < 2" if "broker" in self.losses.lost and not self.small.keys else "state <> 2"
            rows = self._rows(self.producer.name, "state.db", f"SELECT count(*) FROM outbound WHERE {kept}")
            if rows and rows[0][0]:
                found.append(f"the producer keeps {rows[0][0]} messages")
        for stats in self.stats:
            dropped = stats.dropped_queue_full + stats.dropped_slow * bool(self.small.qos)
            if dropped:
                found.append(f"the broker dropped {dropped} messages")
        return found

    def _aside(self, owed: bool) -> list[str]:
        """Messages that were set aside and should not have been, or the other way round."""
        rows = self._rows(self.producer.name, "state.db", "SELECT head FROM outbound WHERE state = 2")
        topics = [topic_of(head).decode() for (head,) in rows]
        found = [f"set aside: a message to '{topic}'" for topic in topics if topic != POISON]
        behind = self._rows(self.producer.name, "state.db", "SELECT count(*) FROM log")  # not carried over yet
        if owed and POISON not in topics and not (behind and behind[0][0]):
            found.append("not set aside: the message that the broker never takes")
        return found

    def _rows(self, name: str, file: str, sql: str) -> list[Any]:
        """What a database on the disk of a process says; nothing where there is no such table."""
        rows: list[Any] = []

        async def read(process: Process) -> None:
            connection = process.connect("/" + file)
            rows.extend(connection.execute(sql))
            connection.close()

        reader = self.world.process(f"reader {len(self.world.processes)}", read, self.world.processes[name].disk)
        reader.may_fail = True
        self.world.run(1)
        return rows

    def _revive(self) -> None:
        if self.over:
            return
        for process in self.parts:
            if not process.alive and (process is not self.producer or (process.life and not self.finished)):
                process.start()
        self.world.after(REVIVE_S, self._revive)
