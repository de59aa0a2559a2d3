"""Small worlds: a producer, a broker and a consumer, all durable, and a few messages. What explore.py goes through.

Each part is real code on a disk of its own, is started again half a second after it has died, and has a supervisor's
patience: errors of its store end it, and the next life begins. The world is over when everything that was promised is
done and the sessions are quiet, or after `LIMIT_S`.
"""

import contextlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from ...broker import Broker
from ...client import Client
from ...core.errors import MQTTError
from ...database.inbox import Inbox
from ..check.conduct import Conduct, in_trace
from ..check.facts import Facts, Promise
from ..disks.app_database import app_database
from ..net.packets import Cut, Packet, Packets
from ..process import Process
from ..programs import make_store
from ..world import World
from .faults import Extent, Fault

TOPIC = "t"
LIMIT_S = 600.0  # virtual seconds; with keep alive and all pauses, everything is long done
REVIVE_S = 0.5
DONE_S = 0.2  # after it: for the last acknowledgements, and the store's lingering batch
QUIET_S = 45.0  # after the last message: time for keep alive to notice what is dead, and to reconnect
KEEP_ALIVE_S = 5
TIMEOUT_S = 3


class Small(NamedTuple):
    """A small world.

    qos, messages: what is published. producer: its store, "sqlite", "journal" or "memory". keys: messages carry an
    idempotency key of the application's, and what a producer is unsure of it publishes again.
    """

    qos: int = 2
    messages: int = 1
    producer: str = "sqlite"
    keys: bool = False

    def __str__(self) -> str:
        return f"qos{self.qos}-{self.messages}-{self.producer}{'-keys' if self.keys else ''}"


def named(name: str) -> Small:
    """The small world of a name, as `qos2-1-sqlite-keys`. ValueError when it is none."""
    found = re.fullmatch(r"qos([012])-(\d{1,3})-(sqlite|journal|memory)(-keys)?", name)
    if not found:
        raise ValueError(f"'{name}' is no small world; one is called qos2-1-sqlite, or qos1-30-journal-keys")
    return Small(int(found[1]), int(found[2]), found[3], bool(found[4]))


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
        self.on_packet: Callable[[Packet], Cut | None] = lambda packet: None
        self.happens: Callable[[Fault], bool] = lambda fault: True  # asked when the step of a placed fault has come
        self.packets = Packets(self.world, self._packet)
        self.done = False  # the producer has all confirmed
        self.begun = False  # the consumer has subscribed
        self.finished = False  # the producer has ended in good order
        self.over = False  # nobody is started again
        self.moments: dict[int, list[Callable[[], object]]] = {}  # what to do after which event of the world
        self.happened: list[tuple[str, str]] = []  # faults that have happened, and where
        self.done_at = 0  # ns
        self.last = self.extent = Extent(0, 0, {})  # where the last fault happened, and where all was done
        self.broker = self.world.process("broker", self._broker)
        self.consumer = self.world.process("consumer", self._consumer)
        self.producer = self.world.process("producer", self._producer, start=False)
        self.parts = (self.producer, self.broker, self.consumer)
        for process in self.parts:
            process.may_fail = True
        self.stats: list[Any] = []  # of each life of the broker
        if start:
            start(self)

    def _packet(self, packet: Packet) -> Cut | None:
        self.conduct.see(packet)
        return self.on_packet(packet)

    # -- programs

    async def _broker(self, process: Process) -> None:
        store = process.broker_store()
        broker = Broker([f"mqtt://{process.name}:1883"], None, store)
        self.stats.append(broker.stats)
        async with broker:
            raise await broker.failed

    async def _producer(self, process: Process) -> None:
        facts = self.facts
        small = self.small
        store = make_store(process, small.producer)
        async with self._client(process, store=store, keys=small.keys) as client:
            for number in range(1, small.messages + 1):
                payload = f"message {number}"
                key = ("app", number) if small.keys else None
                if payload in facts.tried and not small.keys:
                    continue  # it may have been accepted: publishing it again might double it
                facts.try_(payload, "app", number)
                await client.publish(TOPIC, payload, small.qos, key=key)
                facts.accepted[payload] = None
            if await client.drain(LIMIT_S):
                for payload in facts.accepted:  # those of earlier lives, too: the store has nothing left
                    facts.confirmed[payload] = None
                self.done = True
        self.finished = True

    async def _consumer(self, process: Process) -> None:
        facts = self.facts
        database = app_database(process)
        async with database.transaction() as db:
            db.execute("CREATE TABLE IF NOT EXISTS ledger (entry INTEGER PRIMARY KEY AUTOINCREMENT, payload TEXT)")

        def handle(db: Any, message: Any) -> None:
            payload = str(message.payload, "utf-8")
            facts.entered.append(payload)
            self.world.note(process.name, "handle", payload)
            db.execute("INSERT INTO ledger (payload) VALUES (?)", (payload,))

        client = self._client(process, keys=self.small.keys, store=process.sqlite_store())
        inbox = Inbox(client, database)
        async with client:
            await client.subscribe(TOPIC, self.small.qos)
            self.begun = True
            await inbox.run(handle)

    def _client(self, process: Process, **options: Any) -> Client:
        return Client(
            "mqtt://broker",
            client_id=process.name,
            clean_session=False,
            retry_first=True,
            keep_alive_s=KEEP_ALIVE_S,
            timeout_s=TIMEOUT_S,
            **options,
        )

    # -- from beginning to end

    def run(self) -> list[str]:
        """Let it run to its end; what was promised and does not hold."""
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
        self.audit()
        facts.noticed += self._errors() + self._leaks() + in_trace(self.world)
        return facts.problems(promise)

    def _moment(self) -> bool:
        for call in self.moments.pop(self.world.events, ()):
            call()
        return False

    def now(self) -> Extent:
        """How many steps there have been until now."""
        disks = {process.name: process.disk.operations for process in self.parts}
        return Extent(self.world.events, self.packets.count, disks)

    def audit(self) -> None:
        """Read what the consumer's database holds, and what the sessions still hold."""
        self.over = True
        for process in self.parts:
            process.stop()
        self.world.run(10)
        for process in self.parts:
            if process.alive:
                self.facts.noticed.append(f"{process.name} does not stop")
                process.kill()

        async def read(process: Process) -> None:
            connection = process.mount.connect("/app.db")
            with contextlib.suppress(Exception):
                self.facts.effects = [row[0] for row in connection.execute("SELECT payload FROM ledger ORDER BY entry")]
            connection.close()

        self.world.process("auditor", read, self.consumer.disk)
        self.world.run(1)

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
        for table in ("outbound", "inbound"):
            rows = self._rows("broker", "broker.db", f"SELECT count(*) FROM {table}")
            if rows and rows[0][0]:
                found.append(f"the broker keeps {rows[0][0]} rows in {table}")
        if self.small.producer == "sqlite":
            rows = self._rows("producer", "state.db", "SELECT count(*) FROM outbound")
            if rows and rows[0][0]:
                found.append(f"the producer keeps {rows[0][0]} messages")
        for stats in self.stats:
            dropped = stats.dropped_queue_full + stats.dropped_slow * bool(self.small.qos)
            if dropped:
                found.append(f"the broker dropped {dropped} messages")
        return found

    def _rows(self, name: str, file: str, sql: str) -> list[Any]:
        rows: list[Any] = []

        async def read(process: Process) -> None:
            connection = process.mount.connect("/" + file)
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
