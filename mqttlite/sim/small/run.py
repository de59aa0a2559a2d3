"""A small world on its way. Each part is real code on a disk of its own, is started again half a second after it has
died, and has a supervisor's patience: errors of its store end it, and the next life begins. The world is over when
everything that was promised is done and the sessions are quiet, or after `LIMIT_S`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from ...broker.clients import forms, queue
from ...broker.limits import Limits
from ...broker.routing import witnessed
from ...client import Client
from ...core import earlier_life, invariants, outbound5, session_host, streamed
from ...core import session as core
from ...store.base import Store
from ..check.ledger import Publisher, ToPublish
from ..disks.app_database import ledger_database
from ..lines.serial import SerialLine
from ..net.packets import Packet
from ..process import Process
from ..programs import Publishing, count_from, gateway, make_store, read
from .small import Small
from .steps import Steps

TOPIC = "t"
DEVICE_PORT = "/dev/ttyUSB0"
GATEWAY_PORT = "/dev/ttyACM0"
LIMIT_S = 600.0  # virtual seconds; with keep alive and all pauses, everything is long done
DONE_S = 0.2  # after it: for the last acknowledgements, and the store's lingering batch
QUIET_S = 20.0  # after the last message: time for keep alive to notice what is dead, and to reconnect
KEEP_ALIVE_S = 5
TIMEOUT_S = 3
HANDLER_S = 0.3  # of a slow consumer: longer than a reconnection
PACE_S = 1.5  # of a slow producer, between two messages: longer than a reconnection, after which it goes on at once
FEW = 4  # packet identifiers
TIGHT = 200  # bytes of a journal that is rewritten again and again
OUTGROWN = 2000  # bytes of a message that is never taken
COUNTING: tuple[Any, ...] = (
    core,
    session_host,
    earlier_life,
    invariants,
    outbound5,
    streamed,
    forms,
    queue,
    witnessed,
)  # identifiers
POISON = "poison"  # its topic, when it is the broker that does not take it; it is in TOPIC when it is the consumer


@contextlib.contextmanager
def few_identifiers(few: bool) -> Iterator[None]:
    """While this lasts, sessions have few packet identifiers."""
    owners = COUNTING if few else ()
    before = [owner.SPAN for owner in owners]
    for owner in owners:
        owner.SPAN = FEW
    try:
        yield
    finally:
        for owner, span in zip(owners, before, strict=True):
            owner.SPAN = span


class Run(Steps):
    """One small world. `start` is called before anything happens: the place for faults."""

    def __init__(self, small: Small, seed: int, start: "Callable[[Run], None] | None" = None) -> None:
        super().__init__(seed, *["at most"] * small.poison)
        self.small = small
        self.may_lose = small.lose
        world = self.world
        self.ledger.add("consumer", "broker", TOPIC, small.qos)
        self.done = False  # the producer has all confirmed
        self.begun = False  # the consumer has subscribed
        self.finished = False  # the producer has ended in good order
        self.outgrown = False  # it was tried to publish the message that is never taken
        self.outgrown_accepted = False
        self.past = 0  # how often the consumer was told that it was too large
        self.black = False  # there was a blackout
        limits = Limits(packet_bytes=OUTGROWN // 2) if small.poison else None
        self.broker = world.process("broker", self.broker_of(limits))
        self.consumer = world.process("consumer", self._consumer)
        others = []
        if small.line:
            self.line = SerialLine(world, "device", DEVICE_PORT, "gateway", GATEWAY_PORT)
            self.line.split = 0.0
            others = [world.process("gateway", gateway(GATEWAY_PORT))]
        self.producer = world.process("device" if small.line else "producer", self._produce, start=False)
        for process in (self.producer, *others, self.broker, self.consumer):
            self.add(process)
        self.publisher = Publisher(self.producer.name, "broker", "app" if small.keys else "none")
        self.audit.stores[self.producer.name] = self.store
        if start:
            start(self)

    def saw(self, packet: Packet) -> None:
        """As Steps.saw."""
        if self.lost and packet.kind == "PUBLISH" and packet.is_up:
            self._published(packet)
        if self.small.blackout and not self.black and packet.kind == "PUBLISH" and not packet.is_up:
            self.black = True
            self.world.after(0.0, self._blackout)

    def _published(self, packet: Packet) -> None:
        """PUBLISH was written to the broker after a store was lost. A repeat may be of what came before."""
        for entry in self.ledger.entries.values():
            if packet.data.endswith(entry.name.encode()):
                if not packet.data[0] & 8:
                    entry.sent_at = self.world.now
                elif self.small.reuse:
                    # A repeat, as the standard has it, of what had the identifier before: the first PUBLISH was lost.
                    entry.void = "it is taken for a repeat of another"

    def _blackout(self) -> None:
        for process in self.mortals:
            if process.alive:
                process.cut_power()

    def lose(self, process: Process) -> None:
        """The disk of a process is lost, and with it its power; of a consumer's, the application's database is kept."""
        process.lose_disk()
        if process is self.producer:
            self.producer_lost(clears=self.small.keys)  # without keys, there may be nothing to publish any more
        else:
            self.lost.add(process.name)
            if process is self.broker:
                self.broker_lost(process.name)

    def producer_lost(self, clears: bool) -> None:
        """It begins anew. `clears`: it gives up its identifiers before it publishes."""
        self.lost.add(self.producer.name)
        self.publisher_lost(self.publisher, clears)

    # -- programs

    async def _produce(self, process: Process) -> None:
        self.clients.pop(process.name, None)
        producer = _Producer(self, process)
        if producer.forgets:
            self.producer_lost(clears=False)
        await producer.run()
        self.finished = True

    def store(self, process: Process) -> Store | None:
        """The producer's."""
        if self.small.producer == "tight":
            return make_store(process, "journal", TIGHT)
        return make_store(process, self.small.producer)

    async def _consumer(self, process: Process) -> None:
        self.clients.pop(process.name, None)

        def too_large(topic: str, size: int) -> None:
            self.past += 1

        async def subscribe() -> None:
            await client.subscribe(TOPIC, self.small.qos)
            self.begun = True

        async def work() -> None:
            if self.small.slow:
                await asyncio.sleep(HANDLER_S)

        options: dict[str, Any] = {"size_max": OUTGROWN // 2, "on_oversized": too_large} if self.small.large else {}
        database = await ledger_database(process.mount, "DELETE" if self.small.rollback else "WAL")
        client = self.client(process, keys=self.small.keys, store=process.sqlite_store(), **options)
        await read(process, self.ledger, client, subscribe, database=database, work=work)

    def version(self, process: Process) -> str:
        """Of MQTT, that the client of a process speaks in this life."""
        small = self.small
        if not small.changes:
            return "5.0" if small.five else "3.1.1"
        lives = process.life + (process is self.producer)
        # A store keeps messages in the version in which they were published.
        return "3.1.1" if lives % 2 and (process is self.consumer or small.producer == "memory") else "5.0"

    def client(self, process: Process, url: str = "mqtt://broker", **options: Any) -> Client:
        """A client of a process; options as Client's."""
        client = Client(
            url,
            version=self.version(process),
            client_id=process.name,
            clean_session=False,
            retry_first=True,
            keep_alive_s=KEEP_ALIVE_S,
            timeout_s=TIMEOUT_S,
            **options,
        )
        if (self.small.wrap or self.small.reuse) and process is self.producer:
            count_from(client, core.SPAN - 1)
        return self.watched(client)

    # -- from beginning to end

    def run(self) -> list[str]:
        """Let it run to its end; what was promised and does not hold."""
        with few_identifiers(self.small.few):
            return self._run()

    def _run(self) -> list[str]:
        world = self.world
        self.revive()
        if not world.run_until(lambda: self.moment() or self.begun, LIMIT_S):
            return self.stuck("the consumer never got its subscription")
        self.producer.start()
        if not world.run_until(lambda: self.moment() or self.done, LIMIT_S):
            return self.stuck("the producer waits for ever")
        world.run_until(self.moment, DONE_S)
        self.extent = self.now()  # what was wanted is done; what goes on from here is only quiet
        self.done_at = world.now
        world.run_until(self.moment, QUIET_S)
        self.look_at_the_end()
        self.stop(10)
        owed = self.outgrown_accepted and self.small.qos > 0 and not self.lost
        self.audit.never_taken, self.audit.owed = {POISON} if self.small.poison else set(), owed
        # A broker that has lost its disk leaves messages in doubt: kept, for the application to ask for.
        self.audit.may_doubt = bool(self.lost & {self.broker.name, "gateway"}) and not self.small.keys
        self.audit.read(self.mortals)
        found = [*self.ledger.problems(), *self.errors()]
        if owed and self.small.large and not self.past:
            found.append("the consumer was not told of the message that is too large")
        for name, stats in self.stats:
            dropped = stats.dropped_queue_full + stats.dropped_slow * bool(self.small.qos)
            if dropped:
                found.append(f"the {name} dropped {dropped} messages")
        return found

    def look_at_the_end(self) -> None:
        """All is quiet, and everybody is still there."""
        self.audit.quiet([self.broker.name])

    def is_revived(self, process: Process) -> bool:
        """As Steps.is_revived."""
        return process is not self.producer or (bool(process.life) and not self.finished)


class _Producer(Publishing):
    """One life of the producer's program. `forgets`: it has no store, and so knows nothing of earlier ones."""

    def __init__(self, run: Run, process: Process) -> None:
        super().__init__(process, run.ledger, run.publisher)
        self.run_of = run
        self.small = run.small
        self.store = run.small.producer
        self.burst = 1 if run.small.slow else self.burst
        self.forgets = run.small.producer == "memory" and process.life > 1
        self._back = asyncio.Event()

    def left(self) -> list[ToPublish]:
        """As Publishing.left; what forgets publishes all again, and one more."""
        small = self.small
        names = [(number, f"message {number}") for number in range(1, small.messages + 1)]
        if self.forgets and not small.keys:
            life = self.process.life
            names.insert(0 if small.reuse else len(names), (small.messages + life, f"life {life}"))
        return [
            # In another order in each life, where identifiers are used again.
            ToPublish(
                name,
                number,
                TOPIC,
                name,
                small.qos,
                ("app", number) if small.keys else None,
                name if small.reuse else "app",
            )
            for number, name in names
            if self.forgets or small.keys or name not in self.ledger.entries
        ]

    def client(self) -> Client:
        """As Publishing.client."""
        small = self.small

        def on_connection(connected: bool, reason: str) -> None:
            if connected:
                self._back.set()

        options = {"store": self.run_of.store(self.process), "keys": small.keys, "on_connection": on_connection}
        url = f"serial://{DEVICE_PORT}" if small.line else "mqtt://broker"
        return self.run_of.client(self.process, url, **options)

    async def begins(self, client: Client) -> None:
        """Publish what is never taken, once; without a store, once in each life."""
        self._back.clear()
        run, small = self.run_of, self.small
        if not (small.poison or small.large) or (run.outgrown and small.producer != "memory"):
            return
        run.outgrown = True
        key = ("outgrown", 1) if small.keys else None
        await client.publish(POISON if small.poison else TOPIC, bytes(OUTGROWN), small.qos, key=key)
        run.outgrown_accepted = True

    async def publish(self, client: Client, message: ToPublish) -> None:
        """As Publishing.publish."""
        if self.forgets:
            which = "the same" if message.name in self.ledger.entries else "another"
            self.run_of.tell(f"without a store, {which} payload")
        self.run_of.on_publishing(client)
        await super().publish(client, message)

    async def pause(self) -> None:
        """As Publishing.pause."""
        if self.small.slow:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._back.wait(), PACE_S)
            self._back.clear()

    async def settle(self, client: Client) -> None:
        """As Publishing.settle."""
        await super().settle(client)
        self.run_of.done = True
