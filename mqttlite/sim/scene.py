"""A world with brokers, publishers and readers, and all that watches them: what small worlds and large ones have in
common. What runs in it: programs.py; what decides whether all is well: check/.
"""

import traceback
from dataclasses import replace
from typing import Any

from ..broker import Access, Broker
from ..broker.limits import Limits
from ..client import Client
from ..core.session import Session
from .check.alarms import Alarms
from .check.audit import Audit
from .check.conduct import Conduct
from .check.ledger import Ledger, Publisher
from .check.sessions import Sessions
from .machine import Machine
from .net.packets import Cut, Packet, Packets
from .process import Process
from .programs import Program, broker
from .world import World


class Scene:
    """`mortals`: its processes. `clients`: of the last life of each, by client identifier. `brokers`: those that serve,
    by name. `stats`: of each life of a broker, with its name. `over`: nobody is started again.
    """

    def __init__(self, world: World, alarms: Alarms) -> None:
        self.world = world
        self.ledger = Ledger()
        self.conduct = Conduct(self.ledger.noticed, self.is_excused)
        self.alarms = alarms
        self.mortals: list[Process] = []
        self.clients: dict[str, Client] = {}
        self.brokers: dict[str, Broker] = {}
        self.stats: list[tuple[str, Any]] = []
        self.over = False
        self.audit = Audit(world, self.ledger, self.clients, self.brokers)
        self.packets = Packets(world.network, self.at_packet)
        self.sessions = Sessions(self._sessions_of, self.ledger.noticed)
        world.on_turn = self.turned

    # -- who is there

    def add(self, process: Process) -> Process:
        """A process that may die, and end with an error of its store."""
        process.may_fail = True
        self.mortals.append(process)
        return process

    def broker_of(self, limits: Limits | None = None, deduplicate: bool = False) -> Program:
        """A broker that keeps everything, with the access that the scene has now. `deduplicate`: it recognises repeats;
        else they are for whoever reads.
        """

        def made(process: Process, broker: Broker) -> None:
            self.brokers.pop(process.name, None)
            self.stats.append((process.name, broker.stats))

        def serves(process: Process, broker: Broker) -> None:
            self.brokers[process.name] = broker
            self.served(broker)

        limits = replace(limits or Limits(), deduplicate=deduplicate)
        return broker("sqlite", limits=limits, access=self.access, made=made, serves=serves)

    def access(self) -> Access | None:
        """Who may what; None: everybody everything."""
        return None

    def served(self, broker: Broker) -> None:
        """A life of a broker has begun to serve; in its loop."""

    def watched(self, client: Client) -> Client:
        """A client of this life of its process."""
        self.clients[client.client_id] = client
        return client

    def _sessions_of(self, name: str) -> list[Session]:
        """Those in a process: a broker's, or of one client, or two (a bridge)."""
        broker = self.brokers.get(name)
        if broker:
            return [client.session for client in broker.engine.sessions.values()]
        clients = (self.clients.get(name), self.clients.get(f"{name}-out"))
        return [client._life.session for client in clients if client]

    # -- what happens

    def turned(self, process: Machine) -> None:
        """A process has done something."""
        self.sessions.look(process)

    def is_excused(self, packet: Packet, client: str, what: str) -> bool:
        """Whether what Conduct has found is no fault here."""
        return False

    def at_packet(self, packet: Packet) -> Cut | None:
        """A packet has been written; whether to cut there."""
        self.conduct.see(packet)
        if packet.kind == "SUBACK" and packet.data[-1] < 0x80:
            self.ledger.subscribed(self.conduct.client(packet), self.world.now)
        return None

    def publisher_lost(self, publisher: Publisher, clears: bool = False) -> None:
        """A publisher begins anew, without what it knew. `clears`: it gives up its identifiers before it publishes."""
        self.ledger.producer_lost(publisher)
        self.conduct.lost(publisher.name)
        self.conduct.may_repeat = True
        if not clears:
            self.audit.forgetful.add(publisher.name)

    def broker_lost(self, name: str) -> None:
        """The disk of a broker is empty."""
        self.ledger.broker_lost(name, self.world.now)
        self.conduct.broker_lost(name)

    def died(self, process: Process) -> None:
        """A process has died, and is about to be started again."""
        self.audit.check_end(process)
        if process.name in self.ledger.readings:
            self.ledger.readings[process.name].deaths += 1

    # -- the end

    def run(self) -> list[str]:
        """Let it run to its end; what was promised and does not hold."""
        raise NotImplementedError

    def stop(self, seconds: float) -> None:
        """Ask all to end, and wait for that."""
        self.over = True
        for process in self.mortals:
            process.stop()
        self.world.run(seconds)
        for process in self.mortals:
            self.audit.check_end(process)
            if process.alive:
                self.ledger.noticed.append(f"{process.name} does not stop")
                process.kill()

    def errors(self) -> list[str]:
        """What was logged that nobody should see."""
        return self.alarms.found

    def stuck(self, what: str) -> list[str]:
        """What it waits for in vain, and all that was noticed until now; of those that run, too."""
        for process in self.mortals:
            self.audit.check_end(process)
        return [what, *self.errors(), *self.ledger.noticed]


def attempt(run: Scene) -> list[str]:
    """Run a world to its end, and close it; its problems, to which an exception belongs like others."""
    try:
        return run.run()
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return [f"{type(error).__name__}: {error} ({last.filename.rpartition('/')[2]}:{last.lineno})"]
    finally:
        run.world.close()
