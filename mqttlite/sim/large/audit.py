"""What is looked at in a large world, apart from its messages: bounds while it runs, and in the end whether anything is
left over: messages, identifiers, connections, processes that failed.
"""

import asyncio
import contextlib
import traceback
from collections import Counter
from typing import TYPE_CHECKING

from ...broker.ledger import MESSAGE
from ...client import Client
from ...core.errors import MQTTError
from ..check.conduct import WINDOW
from ..process import Process
from ..programs import make_store

if TYPE_CHECKING:
    from .large import Large


class Audit:
    """Of one large world. What is wrong goes into the ledger, `noticed`, unless a method returns it."""

    def __init__(self, large: "Large") -> None:
        self.large = large
        self._dead: set[tuple[str, int]] = set()  # lives whose end is known

    def probe(self) -> None:
        """Windows and queues are within their bounds."""
        found = self.large.ledger.noticed
        for name, client in self.large.clients.items():
            if client._error is None and len(client._receipts) > client.queue_max + 1:
                found.append(f"{name} has {len(client._receipts)} messages in a queue of {client.queue_max}")
        for name, broker in self.large.brokers.items():
            if not self.large.world.processes[name].alive:
                continue
            engine = broker.engine
            engine.backpressure.settle()
            held = 0
            for client_session in engine.sessions.values():
                session = client_session.session
                size = sum(len(head) + len(payload) + MESSAGE for head, payload, _ in session.messages.values())
                held += size
                if not size <= session.bytes <= engine.limits.queue_bytes:
                    found.append(f"{name} has {size} bytes for {client_session}, in its books {session.bytes}")
                if session.unfinished > WINDOW:
                    found.append(f"{name} has {session.unfinished} messages in the window of {client_session}")
            if held > engine.ledger.queued:
                found.append(f"{name} has {held} bytes in its queues, in its books {engine.ledger.queued}")

    def quiet(self) -> None:
        """Nobody holds anything any more: no message, no identifier."""
        found = self.large.ledger.noticed
        forgetful = {name for name, plan in self.large.roles.items() if plan.store == "memory"}
        forgetful |= {name for name in self.large.roles if self.large.world.reached["fault: wipe device"]}
        for name, broker in self.large.brokers.items():
            process = self.large.world.processes[name]
            if not process.alive:
                found.append(f"{name} is not running when all is quiet")
                continue
            for client_id, client_session in broker.engine.sessions.items():
                session = client_session.session
                client = str(client_id, "utf-8")
                if session.messages and client in self.large.ledger.readings:
                    found.append(f"{name} keeps {len(session.messages)} messages for {client}")
                if session.inbound and client not in forgetful:
                    found.append(f"{name} keeps {len(session.inbound)} identifiers of {client}")
        for name, client_ in self.large.clients.items():
            if client_._error is None:
                state = client_._protocol.session
                if state.messages or state.inbound:
                    found.append(f"{name} keeps {len(state.messages)} messages, {len(state.inbound)} identifiers")

    def look_at_retained(self) -> None:
        """A client that comes late gets the last retained message of each topic."""
        for broker in self.large.plan.brokers:
            got: dict[str, int] = {}

            async def look(process: Process, broker: str = broker, got: dict[str, int] = got) -> None:
                async with Client(f"mqtt://{broker}", client_id=process.name, clean_session=True, keys=True) as client:
                    await client.subscribe("r/#", 1)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(5):
                            async for message in client:
                                got[message.topic] = int(message.payload)

            self.large.world.process(f"late-{broker}", look)
            self.large.world.run(10)
            for device in self.large.plan.devices:
                if device.retains and device.broker == broker:
                    ledger = self.large.ledger
                    wanted = max([ledger.statuses.get(device.name, -1), *ledger.unsure.get(device.name, [])])
                    if got.get(f"r/{device.name}", -1) < wanted:
                        self.large.ledger.noticed.append(
                            f"retained by {broker} for {device.name}: {got.get(f'r/{device.name}')}, wanted {wanted}"
                        )

    def read(self) -> None:
        """What is on the disks: effects of inboxes, and what stores still hold."""
        found = self.large.ledger.noticed

        async def read(process: Process, of: str) -> None:
            files = process.disk.files()
            if "app.db" in files:
                connection = process.connect("/app.db")
                rows = connection.execute("SELECT name FROM ledger ORDER BY entry")
                self.large.ledger.readings[of].effects = [row[0] for row in rows]
                # Rows of an earlier session are of a handler that was committing meanwhile; the next life deletes them.
                received = connection.execute(
                    "SELECT count(*) FROM mqttlite_received JOIN mqttlite_inbox USING (inbox, client_id, session)"
                ).fetchone()[0]
                if received:
                    found.append(f"the inbox of {of} keeps {received} identifiers")
                connection.close()
            if "broker.db" in files:
                store = process.broker_store()
                kept = await store.open()
                for client_id, (_, state) in kept.sessions.items():
                    client = str(client_id, "utf-8")
                    if state.messages:
                        found.append(f"the disk of {of} keeps {len(state.messages)} messages for {client}")
                await store.close()
            plan = self.large.roles.get(of)
            if plan and plan.store != "memory" and process.disk.files():
                own = make_store(process, plan.store, plan.journal)
                assert own
                left = await own.open()
                if left.messages:
                    found.append(f"the store of {of} keeps {len(left.messages)} messages")
                await own.close()

        for process in list(self.large.mortals):
            name = process.name

            async def main(auditor: Process, name: str = name) -> None:
                await read(auditor, name)

            self.large.world.process(f"auditor of {name}", main, process.disk)
            self.large.world.run(2)

    def drops(self) -> list[str]:
        """Where nothing but noise goes wrong, messages of QoS 0 are delivered or counted by who dropped them."""
        found = []
        for name, stats in self.large.stats:
            if stats.failures:
                found.append(f"{name}: {stats.failures} unexpected failures")
        if not self.large.plan.calm:
            return found
        for broker in self.large.plan.brokers:
            wanted = got = 0
            stats_of = [stats for name, stats in self.large.stats if name == broker]
            dropped = sum(stats.dropped_slow + stats.dropped_offline for stats in stats_of)
            names = [device.name for device in self.large.plan.devices if device.broker == broker]
            if any(device.sleeps for device in self.large.plan.devices if device.name in names):
                return found  # each burst has a client of its own, whose counter goes with it
            if any(self.large.conduct.connections[name] > 1 for name in names):
                continue  # a line was so full that PINGRESP came too late, and what was under way is gone
            for reading in self.large.ledger.readings.values():
                if reading.broker != broker:
                    continue
                dropped += self.large.clients[reading.name].qos0_dropped
                effects = Counter(reading.effects)
                for entry in self.large.ledger.entries.values():
                    source, bridged = self.large.ledger.way(entry, reading)
                    if source is reading and not bridged and not min(entry.qos, reading.qos):
                        wanted += 1
                        got += effects[entry.name]
            readers = sum(reading.broker == broker for reading in self.large.ledger.readings.values())
            unsent = sum(self.large.clients[name].qos0_dropped for name in names) * readers
            if not got <= wanted <= got + dropped + unsent:
                found.append(f"{broker}: {got} of {wanted} deliveries at QoS 0, {dropped} and {unsent} dropped")
        return found

    # -- ends of processes

    def check_end(self, process: Process) -> None:
        """A life has ended: was it for a reason that there is?"""
        life = (process.name, process.life)
        if life in self._dead:
            return
        self._dead.add(life)
        found = self.large.ledger.noticed
        if process.error and not self.is_excused(process.error):
            where = traceback.extract_tb(process.error.__traceback__)[-1:]
            found.append(f"{process.name} failed: {process.error!r} {where}")
        found += [f"{process.name}: {text}: {why!r}" for text, why in process.unhandled]
        process.unhandled = []

    def is_excused(self, error: BaseException) -> bool:
        """Errors that a disk's fault explains; and what a group of tasks is ended by."""
        if isinstance(error, BaseExceptionGroup):
            return all(self.is_excused(inner) for inner in error.exceptions)
        if not self.large.trouble.disk_faults:
            return False
        return isinstance(error, (MQTTError, OSError)) or type(error).__module__ == "apsw"

    def errors(self) -> list[str]:
        """What was logged that nobody should see."""
        for process in self.large.mortals:
            self.check_end(process)
        return self.large.world.alarms
