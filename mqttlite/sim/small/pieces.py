"""Small worlds of payloads in pieces: a producer that gives two large ones and a small one to a broker, and a consumer
that takes them as they arrive. Each arrives whole or not at all, once, whatever is killed or cut in its middle.

The producer publishes anew, in its next life, what was not confirmed: with the same key where there are keys. The
consumer's database has what it has handled, and where there are keys, which: what has a key that is there already, its
sink reads no further.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from hashlib import shake_128
from typing import NamedTuple

from ...client import Client
from ...client.pieces.message import StreamedMessage
from ...core.errors import StreamError
from ...core.rare_errors import InDoubtError
from ..check.ledger import FOREVER, ToPublish, name_in
from ..disks.app_database import AppDatabase, ledger_database
from ..net.packets import Packet
from ..process import Process
from .run import TOPIC, Run
from .small import Small

SIZES = (3000, 90, 1700)  # bytes of each payload
SIZE_MAX = 400  # of the consumer: what is larger is taken as it arrives
STREAM_MAX = 1 << 16
PIECE = 600  # bytes
PAUSE_S = 0.001  # between two pieces, at both ends
SPLIT = 0.7  # probability that what the broker writes arrives in several pieces


class Streaming(NamedTuple):
    """`small`: what is published; its `messages` are the first ones of SIZES."""

    name: str
    small: Small

    def __str__(self) -> str:
        return self.name


STREAMING = (
    Streaming("pieces-0", Small(0, 3, five=True)),
    Streaming("pieces-1", Small(1, 3)),
    Streaming("pieces-2", Small(2, 3)),
    Streaming("pieces-2-five", Small(2, 3, five=True)),
    Streaming("pieces-keys", Small(2, 3, keys=True)),
    Streaming("pieces-lose", Small(2, 1, keys=True, few=True, lose=True)),
    Streaming("pieces-keys-five", Small(1, 3, keys=True, five=True)),
)


def named(name: str) -> Streaming | None:
    """The world of a name, if there is one."""
    return next((streaming for streaming in STREAMING if streaming.name == name), None)


def payload_of(name: str, size: int) -> str:
    """The payload of a message: its name, and text that is like nothing else."""
    return f"{name} {shake_128(name.encode()).hexdigest(size)}"[:size]


class StreamingRun(Run):
    """One such world. `start` is called before anything happens: the place for faults."""

    def __init__(self, streaming: Streaming, seed: int, start: "Callable[[StreamingRun], None] | None" = None) -> None:
        super().__init__(streaming.small, seed)
        reading = self.ledger.readings["consumer"]
        reading.inbox = streaming.small.keys  # its database knows keys, and nothing else of what it has handled
        self.world.network.between("broker", "consumer").split = SPLIT
        if start:
            start(self)

    def messages(self) -> list[ToPublish]:
        """What the producer has to say."""
        small = self.small
        return [
            ToPublish(
                name,
                number,
                TOPIC,
                payload_of(name, size),
                small.qos,
                ("app", number) if small.keys else None,
                "large" if size > SIZE_MAX else "small",
            )
            for number, size in enumerate(SIZES[: small.messages], 1)
            for name in (f"message {number}",)
        ]

    # -- programs

    async def _produce(self, process: Process) -> None:
        self.clients.pop(process.name, None)
        await _Giver(self, process).run()
        self.finished = True

    async def _consumer(self, process: Process) -> None:
        self.clients.pop(process.name, None)
        keys = self.small.keys
        database = await ledger_database(process.mount)
        async with database.transaction() as db:
            db.execute("CREATE TABLE IF NOT EXISTS handled (number INTEGER PRIMARY KEY)")
        store = process.sqlite_store()
        client = self.client(process, keys=keys, store=store, size_max=SIZE_MAX, stream_max=STREAM_MAX)

        async def sink(message: StreamedMessage) -> None:
            await self._take(process, database, message)

        async with client:
            await client.receive_stream(TOPIC, sink, self.small.qos)

    async def _take(self, process: Process, database: AppDatabase, message: StreamedMessage) -> None:
        number = message.key[2] if message.key else 0
        if self.small.keys and not number:
            self.ledger.noticed.append("never published: a message without a key")
        data = b""
        async for piece in message:
            data += piece
            await asyncio.sleep(PAUSE_S)
        name = self.ledger.handled(process.name, message.topic, data, self.world.now)
        entry = self.ledger.entries.get(name)
        if entry is None or data.decode() != payload_of(name, entry.size):
            self.ledger.noticed.append(f"never published: {name_in(message.topic, data)} has other bytes in its middle")
            return
        self.world.note(process.name, "handle", name)
        async with database.transaction() as db:
            if number and list(db.execute("SELECT 1 FROM handled WHERE number = ?", (number,))):
                return
            db.execute("INSERT INTO ledger (name) VALUES (?)", (name,))
            if number:
                db.execute("INSERT INTO handled (number) VALUES (?)", (number,))

    def saw(self, packet: Packet) -> None:
        """As Run.saw."""
        super().saw(packet)
        if packet.kind == "SUBACK":
            self.begun = True

    def is_excused(self, packet: Packet, client: str, what: str) -> bool:
        """As Scene.is_excused: an earlier life's streams are let go of, and published anew."""
        is_old = what.startswith("sent again") or (what.startswith("PUBREL") and packet.is_up)
        return is_old and self.producer.life > 1

    def _published(self, packet: Packet) -> None:
        for entry in self.ledger.entries.values():
            if f"{entry.name} ".encode() in packet.data and not packet.data[0] & 8:
                entry.sent_at = self.world.now

    def _repeats(self) -> list[str]:
        """At QoS 2 a death between effect and acknowledgement, which are no one thing here, has it once more."""
        reading = self.ledger.readings["consumer"]
        return [
            f"{count} times: {name} at a consumer that has died {reading.deaths} times"
            for name, count in Counter(reading.effects).items()
            if self.small.qos == 2 and count > self.ledger.entries[name].copies + reading.deaths
        ]

    def run(self) -> list[str]:
        """As Run.run."""
        return super().run() + self._repeats()


class _Giver:
    """One life of the producer's program: it gives everything that is not confirmed."""

    def __init__(self, run: StreamingRun, process: Process) -> None:
        self.run_of = run
        self.process = process

    async def run(self) -> None:
        """All of it; two at a time."""
        run = self.run_of
        client = run.client(self.process, store=run.store(self.process), keys=run.small.keys)
        confirmed = {entry.name for entry in run.ledger.entries.values() if entry.void or entry.confirmed_at < FOREVER}
        async with client:
            async with asyncio.TaskGroup() as group:
                for message in run.messages():
                    if message.name not in confirmed:
                        group.create_task(self._give(client, message))
            run.done = True

    async def _give(self, client: Client, message: ToPublish) -> None:
        run = self.run_of
        world = run.world
        run.on_publishing(client)
        entry = run.ledger.try_(run.publisher, message, world.now)
        world.note(self.process.name, "publish", entry.name)
        data = message.payload.encode()

        async def pieces() -> AsyncIterator[bytes]:
            for at in range(0, len(data), PIECE):
                await asyncio.sleep(PAUSE_S)
                yield data[at : at + PIECE]

        is_over = False
        while not is_over:
            is_over = True
            try:
                await client.publish_stream(message.topic, pieces, len(data), message.qos, key=message.key)
            except InDoubtError:  # the broker has lost the session behind PUBREC: with a key, it does no harm again
                if not message.key:
                    raise
                is_over = False
            except StreamError:
                if message.qos:
                    raise
        entry.accepted = True
        entry.confirmed_at = min(entry.confirmed_at, world.now)
        world.note(self.process.name, "confirmed", entry.name)
