"""The large world: tens of devices, serial lines, gateways, bridges, brokers and consumers, and a bad time for all.

    run = Large(4711)
    problems = run.run()            # [] when everything that was promised was kept
    run.world.digest()              # the same for the same seed, always

What it is made of is drawn (plan.py), what goes wrong too (drawn.py, faults.py). When the bad time is over,
everything goes on until it is quiet. Then the ledger (ledger.py) says for every message and reader whether it was
lost, doubled or misplaced, and audit.py whether anything is left over: messages, identifiers, connections.
"""

from collections import Counter
from typing import Any, NamedTuple
from zlib import crc32

from ...broker import Broker
from ...client import Client
from ..check.facts import Facts, attempt
from ..clock import WALL, Clock
from ..lines.serial import SerialLine
from ..net.packets import Cut, Packet, Packets
from ..process import Process
from ..programs import Program
from ..timeline import SECOND
from . import programs as large_programs
from .audit import Audit
from .drawn import chance_of
from .faults import Trouble
from .ledger import Ledger
from .plan import DevicePlan, Plan, draw
from .selection import ALL, Selection
from .watch import LargeConduct, LargeWorld

BEGIN_S = 60.0  # for all subscriptions
CALM_S = 6 * 3600.0  # for everything to arrive when nothing goes wrong any more
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


class Large:
    """`seed`: decides everything; `size`: how many devices, 0: drawn. `selection`: which parts and faults of it are
    wanted. `whole`: what all of it is made of, `plan`: what is wanted of that. `world`: for charts and digests.

    ValueError: the selection names parts that are not there.
    """

    def __init__(
        self,
        seed: int,
        size: int = 0,
        selection: Selection = ALL,
        *,
        keep_trace: bool = False,
        plan: Plan | None = None,
    ) -> None:
        self.seed = seed
        self.selection = selection
        self.whole = plan or draw(seed, size)
        self.plan = plan = selection.of(self.whole)
        self.world = world = LargeWorld(seed, keep_trace=keep_trace)
        world.busy.update(plan.gateways, [bridge.name for bridge in plan.bridges])
        world.busy.update(device.name for device in plan.devices if device.sleeps)
        self.ledger = Ledger(plan)
        self.facts = Facts()
        self.conduct = LargeConduct(self.facts, world)
        self.conduct.may_repeat = any(device.clean for device in plan.devices)  # a clean session is lost each time
        Packets(world, self._at_packet)
        self.clients: dict[str, Client] = {}  # of the last life
        self.brokers: dict[str, Broker] = {}
        self.stats: list[tuple[str, Any]] = []  # of each life of a broker
        self.qos0_dropped = 0
        self.calm_s = CALM_S
        self.bad_until = 0  # ns
        self.calm_begun = False
        self.over = False
        self.lines: dict[str, SerialLine] = {}  # by device
        self.mortals: list[Process] = []
        self.roles: dict[str, DevicePlan] = {device.name: device for device in plan.devices}
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
                self.lines[device.name] = line
        for name in plan.brokers:
            self._process(name, large_programs.broker_of(self, name))
        gates = {device.line[0]: device.broker for device in plan.devices if device.line}
        for name in plan.gateways:
            if name in gates:
                self._process(name, large_programs.gateway_of(self, name, gates[name]))
        for reader in plan.readers:
            self._process(reader.name, large_programs.reader_of(self, reader))
        for bridge in plan.bridges:
            self._process(bridge.name, large_programs.bridge_of(self, bridge))
        for device in plan.devices:
            self._process(device.name, large_programs.device_of(self, device), start=False)
        self.trouble = Trouble(self)
        self.audit = Audit(self)

    def _process(self, name: str, main: Program, start: bool = True) -> None:
        world = self.world
        chance = chance_of(self.seed, name, "clock")
        ppm = self.plan.faults.ppm
        offset = chance.randint(0, 10**15) if ppm else 0
        wall = WALL + (chance.randint(0, 10**13) if ppm else 0)
        clock = Clock(begin=world.now, offset=offset, wall=wall, ppm=chance.randint(-ppm, ppm))
        process = world.process(name, main, clock=clock, start=start)
        process.may_fail = True
        self.mortals.append(process)

    # -- for programs and faults

    def lines_of(self, gateway: str) -> list[tuple[str, int]]:
        """(device, bit/s) of each port of a gateway."""
        return self._lines_of[gateway]

    def message(self, plan: DevicePlan, number: int) -> tuple[int, int]:
        """QoS and size of a device's message: the same whenever it is asked for."""
        mixed = crc32(f"{self.seed} {plan.name} {number}".encode())
        low, high = plan.size
        size = low + (mixed >> 8) % (high - low + 1)
        if plan.size[0] == 0 and mixed % 5 == 0:
            size = 0
        return plan.qos[mixed % 7 % len(plan.qos)], size

    def is_done(self, process: Process) -> bool:
        """Whether a process has ended because there is nothing more to do."""
        if process.name in self.roles:
            return not process.life or process.result == "done"
        return False

    def died(self, process: Process) -> None:
        """A process is about to be started again."""
        self.audit.check_end(process)
        if process.name in self.ledger.readings:
            self.ledger.readings[process.name].deaths += 1

    def state_lost(self, plan: DevicePlan) -> None:
        """A publisher begins anew, without what it knew."""
        self.ledger.producer_lost(plan)
        self.conduct.lost(plan.name)
        self.conduct.may_repeat = True

    def wiped(self, process: Process) -> None:
        """The disk of a process is empty."""
        name = process.name
        if name in self.plan.brokers:
            self.ledger.broker_lost(name, self.world.now)
            self.conduct.may_forget = self.conduct.may_repeat = True
        elif name in self.roles:
            self.state_lost(self.roles[name])

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
            return ["not all readers got their subscriptions", *self.audit.errors()]
        world.run(1)
        self.bad_until = world.now + round(plan.duration_s * SECOND)
        for process in self.mortals:
            if process.name in self.roles:
                process.start()
        self.trouble.watch()
        self.trouble.begin()
        for _ in range(PROBES):
            world.run(plan.duration_s / PROBES)
            self.audit.probe()
        self.trouble.end()
        self.calm_begun = True
        if not self._wait():
            late = [p.name for p in self.mortals if p.name in self.roles and not self.is_done(p)]
            missing = self.ledger.missing()
            some = ", ".join(f"{one.name} at {one.reader}" for one in missing[:3])
            what = f"endless: {len(late)} devices not done {late}, {len(missing)} messages missing: {some}"
            return [what, *self.audit.errors(), *self.facts.noticed, *self.ledger.noticed]
        keep_alive_s = plan.readers[0].keep_alive_s if plan.readers else 5
        world.run(3 * keep_alive_s + 120)  # what is dead is noticed, and connected anew after 48 s at most
        before = self.conduct.connects
        self.audit.quiet()
        world.run(60)
        if self.conduct.connects > before:
            self.ledger.noticed.append(f"{self.conduct.connects - before} CONNECTs when all was quiet")
        self.audit.probe()
        self.audit.look_at_retained()
        self._stop()
        self.audit.read()
        return [
            *self.ledger.problems(self._no_room()),
            *self.facts.noticed,
            *self.audit.errors(),
            *self.audit.drops(),
        ]

    def _wait(self) -> bool:
        """Until everything has arrived, as far as anybody waits for it."""
        world = self.world
        waited = 0.0
        step = 1.0
        while waited < self.calm_s:
            world.run(step)
            waited += step
            step = min(step * 1.2, 60.0)
            if all(self.is_done(p) and not p.alive for p in self.mortals if p.name in self.roles):
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

    def _stop(self) -> None:
        self.over = True
        for process in self.mortals:
            process.stop()
        self.world.run(15)
        for process in self.mortals:
            self.audit.check_end(process)
            if process.alive:
                self.ledger.noticed.append(f"{process.name} does not stop")
                process.kill()


def outcome_of(run: Large, problems: list[str]) -> Outcome:
    """What came of a world that has run."""
    world = run.world
    return Outcome(
        run.seed,
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


def try_out(seed: int, size: int = 0) -> Outcome:
    """Run the world of a seed to its end. An exception is a problem like others."""
    run = Large(seed, size)
    return outcome_of(run, attempt(run))
