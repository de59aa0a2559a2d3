"""What is looked at apart from messages: bounds while a world runs, and in the end whether anything is left over:
messages, identifiers, processes that failed.
"""

import traceback
from collections.abc import Callable, Iterable
from typing import Any

from ...broker import Broker
from ...broker.counting.ledger import MESSAGE
from ...client import Client
from ...core.codec import topic_of
from ...core.errors import MQTTError
from ...core.session import WINDOW
from ...store.base import Store
from ..process import Process
from ..world import World
from .ledger import Ledger


class Audit:
    """Of one world. What is wrong goes into the ledger, `noticed`.

    `stores`: how publishers open their own. `forgetful`: clients whose packet identifiers a broker may keep for ever
    (docs/guarantees.md). `may_doubt`: clients may keep messages in doubt, for their application to ask for; `doubtful`:
    these may. `never_taken`: topics of messages that may be set aside, and have to be if they are `owed`.
    `disk_faults`: how often a disk has failed. `ended`: readers who are not there any more, and whose session is over.
    """

    def __init__(self, world: World, ledger: Ledger, clients: dict[str, Client], brokers: dict[str, Broker]) -> None:
        self.stores: dict[str, Callable[[Process], Store | None]] = {}
        self.forgetful: set[str] = set()
        self.may_doubt = False
        self.doubtful: set[str] = set()
        self.never_taken: set[str] = set()
        self.owed = False
        self.ended: set[str] = set()
        self.disk_faults = 0
        self._world = world
        self._ledger = ledger
        self._clients = clients
        self._brokers = brokers
        self._dead: set[tuple[str, int]] = set()  # lives whose end is known

    def probe(self) -> None:
        """Windows and queues are within their bounds."""
        found = self._ledger.noticed
        for name, client in self._clients.items():
            outgoing = client._outgoing
            if client.error is None and len(outgoing.receipts) > outgoing.queue_max + 1:
                found.append(f"{name} has {len(outgoing.receipts)} messages in a queue of {outgoing.queue_max}")
        for name, broker in self._brokers.items():
            if not self._world.processes[name].alive:
                continue
            engine = broker.engine
            engine.backpressure.settle()
            held = 0
            for session in engine.sessions.values():
                size = sum(len(head) + len(payload) + MESSAGE for head, payload, _ in session.session.messages.values())
                held += size
                if not size <= session.session.bytes <= engine.limits.queue_bytes:
                    found.append(f"{name} has {size} bytes for {session}, in its books {session.session.bytes}")
                own = session.session.window if session.is_inside else WINDOW
                if session.session.unfinished > own:  # a program inside says itself how much it takes
                    found.append(f"{name} has {session.session.unfinished} messages in the window of {session}")
            if held > engine.ledger.queued:
                found.append(f"{name} has {held} bytes in its queues, in its books {engine.ledger.queued}")

    def quiet(self, brokers: Iterable[str]) -> None:
        """Nobody holds anything any more: no message, no identifier."""
        found = self._ledger.noticed
        for name in brokers:
            if name not in self._brokers or not self._world.processes[name].alive:
                found.append(f"{name} is not running when all is quiet")
                continue
            for client_id, session in self._brokers[name].engine.sessions.items():
                self._look(name, str(client_id, "utf-8"), len(session.session.messages), len(session.session.inbound))
        for name, client in self._clients.items():
            if client.error is None:
                state = client._life.session
                if state.messages or state.inbound:
                    found.append(f"{name} keeps {len(state.messages)} messages, {len(state.inbound)} identifiers")

    def _look(self, where: str, client: str, messages: int, identifiers: int) -> None:
        """At what a broker keeps of a client, in its memory or on its disk."""
        if messages and client in self._ledger.readings:
            self._ledger.noticed.append(f"{where} keeps {messages} messages for {client}")
        if identifiers and client not in self.forgetful:
            self._ledger.noticed.append(f"{where} keeps {identifiers} identifiers of {client}")

    def read(self, processes: list[Process]) -> None:
        """What is on the disks: effects of inboxes, and what stores still hold."""
        for process in processes:
            auditor = self._world.process(f"auditor of {process.name}", self._read_of(process.name), process.disk)
            auditor.may_fail = True
            self._world.run(2)
            if auditor.error:
                self._ledger.noticed.append(f"the disk of {process.name} cannot be read: {auditor.error!r}")

    def _read_of(self, name: str) -> Callable[[Process], Any]:
        async def read(auditor: Process) -> None:
            files = auditor.disk.files()
            if "app.db" in files:
                self._read_application(auditor, name)
            if "broker.db" in files:
                store = auditor.broker_store()
                for client_id, (_, state) in (await store.open()).sessions.items():
                    self._look(f"the disk of {name}", str(client_id, "utf-8"), len(state.messages), len(state.held))
                await store.close()
            own = self.stores[name](auditor) if name in self.stores and files else None
            if own:
                self._look_at_own(name, await own.open())
                await own.close()

        return read

    def _read_application(self, auditor: Process, name: str) -> None:
        """The database of an application that has an inbox."""
        connection = auditor.connect("/app.db")
        rows = connection.execute("SELECT name FROM ledger ORDER BY entry")
        self._ledger.readings[name].effects = [row[0] for row in rows]
        if not list(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'mqttlite_inbox'")):
            connection.close()  # it has none
            return
        # Rows of an earlier session are of a handler that was committing meanwhile; the next life deletes them.
        kept = "mqttlite_received JOIN mqttlite_inbox USING (inbox, client_id, session)"
        received = connection.execute(f"SELECT count(*) FROM {kept}").fetchone()[0]
        if received and name not in self.ended:
            self._ledger.noticed.append(f"the inbox of {name} keeps {received} identifiers")
        connection.close()

    def _look_at_own(self, name: str, state: Any) -> None:
        found = self._ledger.noticed
        if state.messages:
            found.append(f"the store of {name} keeps {len(state.messages)} messages")
        topics = {topic_of(head).decode() for head, _, _ in state.doubts.values() if head[0] & 6 != 6}
        found += [f"set aside: a message to '{topic}'" for topic in topics - self.never_taken]
        if self.owed:
            found += [f"not set aside: a message to '{topic}'" for topic in self.never_taken - topics]
        if len(topics) < len(state.doubts) and not (self.may_doubt or name in self.doubtful):
            found.append(f"the store of {name} keeps {len(state.doubts)} messages in doubt")

    # -- ends of processes

    def check_end(self, process: Process) -> None:
        """A life has ended: was it for a reason that there is?"""
        life = (process.name, process.life)
        if life in self._dead:
            return
        self._dead.add(life)
        found = self._ledger.noticed
        if process.error and not self._is_excused(process.error):
            where = traceback.extract_tb(process.error.__traceback__)[-1:]
            found.append(f"{process.name} failed: {process.error!r} {where}")
        found += [f"{process.name}: {text}: {why!r}" for text, why in process.unhandled]
        process.unhandled = []

    def _is_excused(self, error: BaseException) -> bool:
        """Errors that a disk's fault explains; and what a group of tasks is ended by."""
        if isinstance(error, BaseExceptionGroup):
            return all(self._is_excused(inner) for inner in error.exceptions)
        return bool(self.disk_faults) and (isinstance(error, (MQTTError, OSError)) or type(error).__module__ == "apsw")
