"""What the teaching scenarios are played with: a device, a broker and a consumer with their disks, and exact faults.

The programs are ordinary applications of the real client, broker and inbox. They tell the trace what an application
sees: a message is accepted, confirmed, in doubt, handled, an old one recognised.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

from ...client import Client, Message
from ...core.errors import InDoubtError
from .. import programs
from ..lines.serial import SerialLine
from ..net.packets import Cut, Packet, Packets
from ..process import Process
from ..world import World

TOPIC = "payments"
DEVICE_PORT, GATEWAY_PORT = "/dev/ttyUSB0", "/dev/ttyACM0"
SERIAL = f"serial://{DEVICE_PORT}"  # the URL of the device on the line
LIMIT_S = 120.0  # of virtual time that a scene may take
KEEP_ALIVE_S = 5  # a peer that has lost its power is noticed soon
AFTERWARDS_S = 0.03  # so that the last acknowledgements are seen


class LessonError(Exception):
    """A lesson does not show what it says."""


class Claim(NamedTuple):
    """What a lesson shows, and whether it did."""

    text: str
    holds: bool


class _Fault(NamedTuple):
    kind: str
    sender: str
    receiver: str
    cut: Cut


class Stage:
    """A world with a quiet network in which only what a lesson orders goes wrong.

    `charged`: what the consumer's effect was done for, in order. `confirmed`, `doubted`: what the device's application
    was told. `begin`: the time (ns) at which the lesson begins; what was before is preparation.
    """

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.world.network.conditions.split = 0.0
        self.world.network.conditions.latency = (1_500_000, 4_000_000)
        # Nearer, so that what the consumer gets does not hang on a race with the device's packets.
        self.world.network.between("broker", "consumer").latency = (600_000, 1_000_000)
        self.begin = 0
        self.charged: list[str] = []
        self.confirmed: list[str] = []
        self.doubted: list[str] = []
        self.claims: list[Claim] = []
        self.packets = Packets(self.world.network, self._at_packet)
        self.on_confirmed: Callable[[], object] | None = None  # called when the device's application is told
        self._faults: list[_Fault] = []
        self._database: Any = None  # of the consumer's inbox

    # -- what happens

    def broker(self, durable: bool = False) -> Process:
        """A broker, in memory or with a store."""
        process = self.world.process("broker", programs.broker("sqlite" if durable else "memory"))
        self.until(lambda: self.notes("broker", "listen") == 1, "the broker listens")
        return process

    def gateway(self) -> SerialLine:
        """A gateway, and the serial line that leads from the device to it."""
        line = SerialLine(self.world, "device", DEVICE_PORT, "gateway", GATEWAY_PORT, boot=b"")
        line.split = 0.0
        self.world.process("gateway", programs.gateway(GATEWAY_PORT))
        return line

    def device(
        self, payloads: list[str], qos: int, *, store: bool = False, keys: bool = False, url: str = "mqtt://broker"
    ) -> Process:
        """Publishes the payloads in its first life; in every life it waits until all are confirmed.

        The lesson begins when it is connected, and before it publishes.
        """
        go = asyncio.Event()

        async def main(process: Process) -> None:
            connected = asyncio.Event()

            def on_connection(is_connected: bool, reason: str) -> None:
                (connected.set if is_connected else connected.clear)()

            async with Client(
                url,
                client_id="device",
                keep_alive_s=KEEP_ALIVE_S,
                store=process.sqlite_store() if store else None,
                keys=keys,
                retry_first=True,
                on_connection=on_connection,
            ) as client:
                waiting = [
                    asyncio.create_task(self._confirm(process, client, seq, payload.decode()))
                    for seq, _, _, _, payload in client.pending()
                ]
                await connected.wait()
                process.world.reach("device connected")
                await go.wait()
                for payload in payloads if process.life == 1 else ():
                    await connected.wait()  # at QoS 0 there is no other time to publish
                    receipt = await client.publish(TOPIC, payload, qos)
                    process.world.note("device", "accepted", payload)
                    if qos:
                        waiting.append(asyncio.create_task(self._confirm(process, client, receipt.seq, payload)))
                    else:
                        await asyncio.sleep(0.05)
                await asyncio.gather(*waiting)
                await asyncio.Event().wait()

        process = self.world.process("device", main)
        self.until(lambda: self.world.reached["device connected"] == 1, "the device connects")
        self.world.run(AFTERWARDS_S)
        self.begin = self.world.now
        self.world.after(0, process.loop.enter, go.set)
        return process

    async def _confirm(self, process: Process, client: Client, seq: int, payload: str) -> None:
        try:
            await client.receipt(seq).completed()
        except InDoubtError:
            self.doubted.append(payload)
            process.world.note("device", "in doubt", payload)
        else:
            self.confirmed.append(payload)
            process.world.note("device", "confirmed", payload)
            if self.on_confirmed:
                self.on_confirmed()

    def consumer(
        self, qos: int = 2, *, keys: bool = False, inbox: bool = False, dies_in_handler: bool = False
    ) -> Process:
        """Charges each payment: an effect outside of its program, or with `inbox` a row in its database.

        `dies_in_handler`: it is killed in the handler of its first message, and started again a second later.
        """

        def at_work(process: Process) -> None:
            if dies_in_handler and process.life == 1:
                process.world.after(1.0, process.start)
                process.kill()

        async def main(process: Process) -> None:
            client = Client(
                "mqtt://broker", client_id="consumer", keep_alive_s=KEEP_ALIVE_S, keys=keys, retry_first=True
            )
            if inbox:
                from ...database import Inbox
                from ..disks.app_database import app_database

                database = app_database(process.mount)
                self._database = database.connection
                self._database.execute("CREATE TABLE IF NOT EXISTS charges (payload TEXT)")
                box = Inbox(client, database)

                def handler(db: Any, message: Message) -> None:
                    payload = message.payload.decode()
                    process.world.note("consumer", "handler runs", payload)
                    db.execute("INSERT INTO charges VALUES (?)", (payload,))
                    at_work(process)

                async with client:
                    await client.subscribe(TOPIC, qos)
                    process.world.reach("subscribed")
                    await box.run(handler)
            async with client:
                await client.subscribe(TOPIC, qos)
                process.world.reach("subscribed")
                async for message in client:
                    payload = message.payload.decode()
                    self.charged.append(payload)
                    process.world.note("consumer", "handled, flagged DUP" if message.dup else "handled", payload)
                    at_work(process)

        process = self.world.process("consumer", main)
        self.until(lambda: self.world.reached["subscribed"] == 1, "the consumer subscribes")
        return process

    def charges(self) -> list[str]:
        """What the consumer's database holds."""
        return [payload for (payload,) in self._database.execute("SELECT payload FROM charges ORDER BY rowid")]

    # -- what goes wrong

    def cut(self, kind: str, sender: str, receiver: str, where: str, how: str = "reset", times: int = 1) -> None:
        """The connection is cut at the next packets of a kind; `where` and `how` as packets.Cut."""
        self._faults += [_Fault(kind, sender, receiver, Cut(where, how))] * times

    def at(self, kind: str, sender: str, receiver: str, where: str, then: Callable[[], object]) -> None:
        """Something happens at the next packet of a kind, in its sender's place."""
        self._faults.append(_Fault(kind, sender, receiver, Cut(where, "none", then)))

    def die(self, name: str, again_s: float, power: bool = False) -> Callable[[], None]:
        """What kills a process, or takes its power, and starts it again so many seconds later."""

        def call() -> None:
            process = self.world.processes[name]
            self.world.after(again_s, process.start)
            if power:
                process.cut_power()
            else:
                process.kill()

        return call

    def _at_packet(self, packet: Packet) -> Cut | None:
        for fault in self._faults:
            way = packet.way
            if (packet.kind, way.source.process.name, way.sink.process.name) == fault[:3]:
                self._faults.remove(fault)
                return fault.cut
        return None

    # -- what is shown

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Let time pass until `condition()`. LessonError: `what` did not happen in LIMIT_S."""
        if not self.world.run_until(condition, LIMIT_S):
            raise LessonError(f"did not happen in {LIMIT_S:.0f} s: {what}")

    def end(self, condition: Callable[[], bool], what: str) -> None:
        """As `until`, and a moment longer. Every fault that was ordered must have happened."""
        self.until(condition, what)
        self.world.run(AFTERWARDS_S)
        if self._faults:
            raise LessonError(f"was not reached: {self._faults[0]}")

    def shows(self, text: str, holds: bool) -> None:
        """A claim: what the lesson shows. LessonError unless it holds."""
        self.claims.append(Claim(text, holds))
        if not holds:
            raise LessonError(f"does not hold: {text}")

    def delivered(self) -> None:
        """As `end`: the one message is charged and confirmed."""
        self.end(lambda: self.charged != [] and len(self.confirmed) == 1, "the message is delivered and confirmed")

    def notes(self, lane: str, kind: str) -> int:
        """How often the trace says this of a process."""
        return sum(entry[1:3] == (lane, kind) for entry in self.world.trace)

    def count(self, kind: str, sender: str, receiver: str) -> int:
        """How many packets of a kind were written, from the beginning of the world."""
        return self.world.reached[f"{kind} {sender} to {receiver}"]

    def close(self) -> None:
        if self._database is not None:
            with contextlib.suppress(Exception):
                self._database.close()
        self.world.close()
