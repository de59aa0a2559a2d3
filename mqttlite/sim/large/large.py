"""The large world: tens of devices, serial lines, gateways, bridges, brokers and consumers, and a bad time for all.

    run = Large(4711)
    problems = run.run()            # [] when everything that was promised was kept
    run.world.digest()              # the same for the same seed, always

What it is made of is drawn (plan.py), what goes wrong too (faults.py). When the bad time is over,
everything goes on until it is quiet. Then the ledger (ledger.py) says for every message and reader whether it was
lost, doubled or misplaced, and this module whether anything is left over: messages, identifiers, connections.
"""

import asyncio
import contextlib
import logging
import traceback
from collections import Counter, deque
from typing import Any, NamedTuple

from ...broker import Broker
from ...client import Client
from ...core.errors import MQTTError
from ..check.conduct import CONNECTS_MAX, WINDOW, Conduct
from ..check.facts import Facts, ended_by
from ..clock import WALL, Clock
from ..lines.serial import SerialLine
from ..loop import SECOND
from ..net.packets import Cut, Packet, Packets
from ..process import Process
from ..programs import Program, make_store
from ..world import World
from . import programs as large_programs
from .faults import Trouble
from .ledger import Ledger
from .plan import DevicePlan, Plan, draw

BEGIN_S = 60.0  # for all subscriptions
CALM_S = 6 * 3600.0  # for everything to arrive when nothing goes wrong any more
LEVELS = ("warning", "error", "critical")
WORDS = ("protocol error", "internal error", "unexpected", "Traceback", "never awaited")
ALARMS = 10
PROBES = 40  # times that bounds are looked at


class Outcome(NamedTuple):
    """What came of a seed. `seconds`: virtual ones. `faults`: how often each happened."""

    seed: int
    problems: list[str]
    seconds: float
    events: int
    messages: int
    deliveries: int
    lives: int
    connects: int
    faults: Counter[str]
    digest: str


class LargeConduct(Conduct):
    """As Conduct, for a world in which a client may lose its session without the broker: identifiers that the client
    does not know any more say nothing about its next life.
    """

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self.forgetful: set[str] = set()  # clients that have lost their store, until their next CONNECT
        self.may_forget = False  # a broker has lost its disk
        self.may_repeat = False  # a publisher or a broker has lost what it knew

    def see(self, packet: Packet) -> None:
        super().see(packet)
        if packet.kind == "CONNECT":
            client = self.client(packet)
            if client in self.forgetful:
                self.forgetful.discard(client)
                self.forget_sent(client)

    def _find(self, packet: Packet, client: str, what: str) -> None:
        # Conduct tells messages apart by their payloads, and these have none of their own.
        # And who has lost its store publishes again what is a new message to the broker, and the same to a reader.
        start = packet.data[:40]
        is_same = what.startswith("sent again") and (
            b"/e/" in start or b"r/device" in start or (self.may_repeat and not packet.is_up)
        )
        # A new store has the broker release all identifiers, also those that QoS 1 has used before.
        is_clearing = what.startswith("PUBREL") and bool(self._sender(client, True).ended) and packet.is_up
        if not is_same and not is_clearing and not (self.may_forget and "forgotten the session" in what):
            super()._find(packet, client, what)

    def forget_sent(self, client: str) -> None:
        """A client has lost what it knew about what it has sent."""
        self._sender(client, True).clear()

    def client(self, packet: Packet) -> str:
        """Whose connection it is."""
        return self._clients.get(packet.way, "")


class _World(World):
    """A world that keeps the lines of the log that nobody should see, though its trace is forgotten."""

    def __init__(self, seed: int, *, keep_trace: bool) -> None:
        super().__init__(seed, keep_trace=keep_trace)
        self.alarms: list[str] = []
        self.busy: set[str] = set()  # who may connect often: for many, or because the application wants it
        self._connects: dict[str, deque[int]] = {}

    def note(self, lane: str, kind: str, text: str | bytes = "") -> None:
        """As World.note."""
        if kind in LEVELS and len(self.alarms) < ALARMS and any(word in str(text) for word in WORDS):
            is_fault = "keep alive" not in str(text) and "no CONNECT" not in str(text)  # a client was silent
            self.alarms += [f"{lane}, {(self.now + self.ahead) / 1e9:.3f} s: {text!s:.200}"] * is_fault
        elif kind == "connect" and lane not in self.busy:
            times = self._connects.setdefault(lane, deque(maxlen=CONNECTS_MAX + 1))
            times.append(self.now)
            if len(times) > CONNECTS_MAX and times[-1] - times[0] < SECOND and len(self.alarms) < ALARMS:
                self.alarms.append(f"{lane} connects more than {CONNECTS_MAX} times in a second")
        super().note(lane, kind, text)


class Large:
    """`seed`: decides everything; `size`: how many devices, 0: drawn. `plan`: what it is made of. `world`: for
    charts and digests.
    """

    def __init__(self, seed: int, size: int = 0, *, keep_trace: bool = False, plan: Plan | None = None) -> None:
        self.seed = seed
        self.plan = plan = plan or draw(seed, size)
        self.world = world = _World(seed, keep_trace=keep_trace)
        world.busy.update(plan.gateways, [bridge.name for bridge in plan.bridges])
        world.busy.update(device.name for device in plan.devices if device.sleeps)
        self.ledger = Ledger(plan)
        self.facts = Facts()
        self.conduct = LargeConduct(self.facts)
        self.conduct.may_repeat = any(device.clean for device in plan.devices)  # a clean session is lost each time
        Packets(world, self._at_packet)
        self.clients: dict[str, Client] = {}  # of the last life
        self.brokers: dict[str, Broker] = {}
        self.stats: list[tuple[str, Any]] = []  # of each life of a broker
        self.qos0_dropped = 0
        self.calm_begun = False
        self.over = False
        self.lines: list[SerialLine] = []
        self.mortals: list[Process] = []
        self._dead: set[tuple[str, int]] = set()  # lives whose end is known
        self._roles: dict[str, DevicePlan] = {device.name: device for device in plan.devices}
        self._lines_of: dict[str, list[tuple[str, int]]] = {name: [] for name in plan.gateways}
        for device in plan.devices:
            if device.line:
                gateway, baud = device.line
                number = len(self._lines_of[gateway])
                self._lines_of[gateway].append((device.name, baud))
                line = SerialLine(world, device.name, large_programs.PORT, gateway, f"/dev/ttyACM{number}")
                noise = plan.faults.noise
                if noise:
                    line.noise(bit_errors=noise, dropped=noise * 5, inserted=noise, bursts=noise)
                if plan.faults.babble_s:
                    line.babble(plan.faults.babble_s)
                self.lines.append(line)
        for name in plan.brokers:
            self._process(name, large_programs.broker_of(self, name))
        for number, name in enumerate(plan.gateways):
            if self._lines_of[name]:
                broker = plan.brokers[number % len(plan.brokers)]
                self._process(name, large_programs.gateway_of(self, name, broker))
        for reader in plan.readers:
            self._process(reader.name, large_programs.reader_of(self, reader))
        for bridge in plan.bridges:
            self._process(bridge.name, large_programs.bridge_of(self, bridge))
        for device in plan.devices:
            self._process(device.name, large_programs.device_of(self, device), start=False)
        self.trouble = Trouble(self)

    def _process(self, name: str, main: Program, start: bool = True) -> None:
        world = self.world
        ppm = self.plan.faults.ppm
        offset = world.draw(0, 10**15) if ppm else 0
        wall = WALL + (world.draw(0, 10**13) if ppm else 0)
        clock = Clock(begin=world.now, offset=offset, wall=wall, ppm=world.draw(-ppm, ppm))
        process = world.process(name, main, clock=clock, start=start)
        process.may_fail = True
        self.mortals.append(process)

    # -- for programs and faults

    def lines_of(self, gateway: str) -> list[tuple[str, int]]:
        """(device, bit/s) of each port of a gateway."""
        return self._lines_of[gateway]

    def message(self, plan: DevicePlan, number: int) -> tuple[int, int]:
        """QoS and size of a device's message: the same whenever it is asked for."""
        mixed = (number * 2654435761 + self.seed * 40503 + len(plan.name) * 97 + plan.messages) & 0xFFFFFFFF
        low, high = plan.size
        size = low + (mixed >> 8) % (high - low + 1)
        if plan.size[0] == 0 and mixed % 5 == 0:
            size = 0
        return plan.qos[mixed % 7 % len(plan.qos)], size

    def is_done(self, process: Process) -> bool:
        """Whether a process has ended because there is nothing more to do."""
        if process.name in self._roles:
            return not process.life or process.result == "done"
        return False

    def neighbours(self) -> list[tuple[str, str]]:
        """Pairs of hosts that talk to each other."""
        plan = self.plan
        pairs = [(reader.name, reader.broker) for reader in plan.readers]
        pairs += [(device.name, device.broker) for device in plan.devices if not device.line]
        pairs += [(bridge.name, end) for bridge in plan.bridges for end in (bridge.source, bridge.target)]
        for number, name in enumerate(plan.gateways):
            if self._lines_of[name]:
                pairs.append((name, plan.brokers[number % len(plan.brokers)]))
        return pairs

    def died(self, process: Process) -> None:
        """A process is about to be started again."""
        self._check_end(process)
        if process.name in self.ledger.readings:
            self.ledger.readings[process.name].deaths += 1

    def state_lost(self, plan: DevicePlan) -> None:
        """A publisher begins anew, without what it knew."""
        self.ledger.producer_lost(plan)
        self.conduct.forget_sent(plan.name)
        self.conduct.forgetful.add(plan.name)
        self.conduct.may_repeat = True

    def wiped(self, process: Process) -> None:
        """The disk of a process is empty."""
        name = process.name
        if name in self.plan.brokers:
            self.ledger.broker_lost(name, self.world.now)
            self.conduct.may_forget = self.conduct.may_repeat = True
        elif name in self._roles:
            self.state_lost(self._roles[name])

    def _at_packet(self, packet: Packet) -> Cut | None:
        self.conduct.see(packet)
        kind = packet.kind
        if kind == "CONNACK":
            self.ledger.connected(self.conduct.client(packet), bool(packet.data[2] & 1))
        elif kind == "SUBACK" and packet.data[4] < 0x80:
            self.ledger.subscribed(self.conduct.client(packet), self.world.now)
        return self.trouble.at_packet(packet)

    # -- from beginning to end

    def run(self) -> list[str]:
        """Let it run to its end; what was promised and does not hold."""
        world = self.world
        plan = self.plan
        readings = self.ledger.readings.values()
        if not world.run_until(lambda: all(reading.since is not None for reading in readings), BEGIN_S):
            return ["not all readers got their subscriptions", *self._errors()]
        world.run(1)
        for process in self.mortals:
            if process.name in self._roles:
                process.start()
        self.trouble.watch()
        self.trouble.begin()
        for _ in range(PROBES):
            world.run(plan.duration_s / PROBES)
            self._probe()
        self.trouble.end()
        self.calm_begun = True
        if not self._wait():
            late = [p.name for p in self.mortals if p.name in self._roles and not self.is_done(p)]
            missing = self.ledger.missing()
            what = f"endless: devices {late}, {len(missing)} messages missing, such as {missing[:3]}"
            return [what, *self._errors(), *self.facts.noticed, *self.ledger.noticed]
        keep_alive_s = plan.readers[0].keep_alive_s if plan.readers else 5
        world.run(3 * keep_alive_s + 120)  # what is dead is noticed, and connected anew after 48 s at most
        before = self.conduct.connects
        self._quiet()
        world.run(60)
        if self.conduct.connects > before:
            self.ledger.noticed.append(f"{self.conduct.connects - before} CONNECTs when all was quiet")
        self._probe()
        self._look_at_retained()
        self._stop()
        self._read()
        return [
            *self.ledger.problems(self._no_room()),
            *self.facts.noticed,
            *self._errors(),
            *self._drops(),
        ]

    def _wait(self) -> bool:
        """Until everything has arrived, as far as anybody waits for it."""
        world = self.world
        waited = 0.0
        step = 1.0
        while waited < CALM_S:
            world.run(step)
            waited += step
            step = min(step * 1.2, 60.0)
            if all(self.is_done(p) and not p.alive for p in self.mortals if p.name in self._roles):
                missing = self.ledger.missing()
                dropped = self._no_room()
                lost = Counter(self.ledger.readings[one.reader].broker for one in missing)
                if all(count <= dropped[broker] for broker, count in lost.items()):
                    return True
        return False

    def _no_room(self) -> Counter[str]:
        """By broker: messages that it has dropped because a queue was full, as it says itself. What a bridge could not
        get is missing behind it, too.
        """
        dropped: Counter[str] = Counter()
        for name, stats in self.stats:
            dropped[name] += stats.dropped_queue_full
        for bridge in self.plan.bridges:
            dropped[bridge.target] += dropped[bridge.source] * len(self.plan.readers)
        return dropped

    def _probe(self) -> None:
        """Windows and queues are within their bounds."""
        found = self.ledger.noticed
        for name, client in self.clients.items():
            if client._error is None and len(client._receipts) > client.queue_max + 1:
                found.append(f"{name} has {len(client._receipts)} messages in a queue of {client.queue_max}")
        for name, broker in self.brokers.items():
            if not self.world.processes[name].alive:
                continue
            limits = broker.engine.limits
            for session in broker.engine.sessions.values():
                if session.unsent > limits.queue_messages * limits.queue_hard + WINDOW:
                    found.append(f"{name} has {session.unsent} messages in the queue for {session}")
                if session.state.unfinished > WINDOW:
                    found.append(f"{name} has {session.state.unfinished} messages in the window of {session}")

    def _quiet(self) -> None:
        """Nobody holds anything any more: no message, no identifier."""
        found = self.ledger.noticed
        forgetful = {name for name, plan in self._roles.items() if plan.store == "memory"}
        forgetful |= {name for name in self._roles if self.world.reached["fault: wipe device"]}
        for name, broker in self.brokers.items():
            process = self.world.processes[name]
            if not process.alive:
                found.append(f"{name} is not running when all is quiet")
                continue
            for client_id, session in broker.engine.sessions.items():
                client = str(client_id, "utf-8")
                if session.state.messages and client in self.ledger.readings:
                    found.append(f"{name} keeps {len(session.state.messages)} messages for {client}")
                if session.state.inbound and client not in forgetful:
                    found.append(f"{name} keeps {len(session.state.inbound)} identifiers of {client}")
        for name, client_ in self.clients.items():
            if client_._error is None:
                state = client_._protocol.state
                if state.messages or state.inbound:
                    found.append(f"{name} keeps {len(state.messages)} messages, {len(state.inbound)} identifiers")

    def _look_at_retained(self) -> None:
        """A client that comes late gets the last retained message of each topic."""
        for broker in self.plan.brokers:
            got: dict[str, int] = {}

            async def look(process: Process, broker: str = broker, got: dict[str, int] = got) -> None:
                async with Client(f"mqtt://{broker}", client_id=process.name, clean_session=True, keys=True) as client:
                    await client.subscribe("r/#", 1)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(5):
                            async for message in client:
                                got[message.topic] = int(message.payload)

            self.world.process(f"late-{broker}", look)
            self.world.run(10)
            for device in self.plan.devices:
                if device.retains and device.broker == broker:
                    wanted = max([self.ledger.statuses.get(device.name, -1), *self.ledger.unsure.get(device.name, [])])
                    if got.get(f"r/{device.name}", -1) < wanted:
                        self.ledger.noticed.append(
                            f"retained by {broker} for {device.name}: {got.get(f'r/{device.name}')}, wanted {wanted}"
                        )

    def _stop(self) -> None:
        self.over = True
        for process in self.mortals:
            process.stop()
        self.world.run(15)
        for process in self.mortals:
            self._check_end(process)
            if process.alive:
                self.ledger.noticed.append(f"{process.name} does not stop")
                process.kill()

    def _read(self) -> None:
        """What is on the disks: effects of inboxes, and what stores still hold."""
        found = self.ledger.noticed

        async def read(process: Process, of: str) -> None:
            files = process.disk.files()
            if "app.db" in files:
                connection = process.mount.connect("/app.db")
                rows = connection.execute("SELECT name FROM ledger ORDER BY entry")
                self.ledger.readings[of].effects = [row[0] for row in rows]
                received = connection.execute("SELECT count(*) FROM mqttlite_received").fetchone()[0]
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
            plan = self._roles.get(of)
            if plan and plan.store != "memory" and process.disk.files():
                own = make_store(process, plan.store, plan.journal)
                assert own
                left = await own.open()
                if left.messages:
                    found.append(f"the store of {of} keeps {len(left.messages)} messages")
                await own.close()

        for process in list(self.mortals):
            name = process.name

            async def main(auditor: Process, name: str = name) -> None:
                await read(auditor, name)

            self.world.process(f"auditor of {name}", main, process.disk)
            self.world.run(2)

    def _drops(self) -> list[str]:
        """Where nothing but noise goes wrong, messages of QoS 0 are delivered or counted by who dropped them."""
        found = []
        for name, stats in self.stats:
            if stats.failures:
                found.append(f"{name}: {stats.failures} unexpected failures")
        if not self.plan.calm:
            return found
        for broker in self.plan.brokers:
            wanted = got = 0
            dropped = sum(stats.dropped_slow + stats.dropped_offline for name, stats in self.stats if name == broker)
            for device in self.plan.devices:
                if device.broker == broker and device.sleeps:
                    return found  # each burst has a client of its own, whose counter goes with it
            for reading in self.ledger.readings.values():
                if reading.broker != broker:
                    continue
                dropped += self.clients[reading.name].qos0_dropped
                effects = Counter(reading.effects)
                for entry in self.ledger.entries.values():
                    source, bridged = self.ledger._way(entry, reading)
                    if source is reading and not bridged and not min(entry.qos, reading.qos):
                        wanted += 1
                        got += effects[entry.name]
            names = [device.name for device in self.plan.devices if device.broker == broker]
            readers = sum(reading.broker == broker for reading in self.ledger.readings.values())
            unsent = sum(self.clients[name].qos0_dropped for name in names) * readers
            if not got <= wanted <= got + dropped + unsent:
                found.append(f"{broker}: {got} of {wanted} deliveries at QoS 0, {dropped} and {unsent} dropped")
        return found

    def _check_end(self, process: Process) -> None:
        """A life has ended: was it for a reason that there is?"""
        life = (process.name, process.life)
        if life in self._dead:
            return
        self._dead.add(life)
        found = self.ledger.noticed
        if process.error and not self._is_excused(process.error):
            where = traceback.extract_tb(process.error.__traceback__)[-1:]
            found.append(f"{process.name} failed: {process.error!r} {where}")
        found += [f"{process.name}: {text}: {why!r}" for text, why in process.unhandled]
        process.unhandled = []

    def _is_excused(self, error: BaseException) -> bool:
        """Errors that a disk's fault explains; and what a group of tasks is ended by."""
        if isinstance(error, BaseExceptionGroup):
            return all(self._is_excused(inner) for inner in error.exceptions)
        if not self.trouble.disk_faults:
            return False
        return isinstance(error, (MQTTError, OSError)) or type(error).__module__ == "apsw"

    def _errors(self) -> list[str]:
        """What was logged that nobody should see."""
        for process in self.mortals:
            self._check_end(process)
        return self.world.alarms


def try_out(seed: int, size: int = 0) -> Outcome:
    """Run the world of a seed to its end. An exception is a problem like others."""
    logging.getLogger("mqttlite").setLevel(logging.WARNING)
    run = Large(seed, size)
    try:
        problems = run.run()
    except Exception as error:
        problems = [ended_by(error)]
    finally:
        run.world.close()
    world = run.world
    return Outcome(
        seed,
        problems,
        world.now / 1e9,
        world.events,
        len(run.ledger.entries),
        sum(len(reading.effects) for reading in run.ledger.readings.values()),
        sum(process.life for process in run.mortals),
        run.conduct.connects,
        Counter({key[7:]: count for key, count in world.reached.items() if key.startswith("fault: ")}),
        world.digest(),
    )
