"""A site for a day: devices on noisy serial lines, a gateway in bridge mode with its store on a disk that loses power
again and again, an upstream that is away for hours, and a consumer behind it.

    site = Site(4711)
    problems = site.run()       # [] when nothing was lost, nothing came twice, and nothing is left over
    site.report()               # what it has cost: writes, time, messages

Device, gateway, bridge, broker and consumer are the real ones. The rules are the large world's (check/ledger.py): what
a device was told is accepted is handled at the far end of two hops, and at QoS 2 once.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import mqttlite_gateway.inside.joined  # noqa: F401 (so that the world answers for its sockets)
from mqttlite_gateway.config import BRIDGE, Config, SerialPort
from mqttlite_gateway.gateway import Gateway
from mqttlite_gateway.settings.mdns import MdnsSettings
from mqttlite_gateway.settings.upstream import Route, UpstreamSettings

from ...broker.inside import session_of
from ..check.ledger import Reading
from ..disks.disk import PAGE, Disk
from ..large.drawn import chance_of
from ..large.faults import Trouble
from ..large.large import Large
from ..large.parts import HOUR, KINDS, BadTime, Device, Parts, Reader
from ..net.packets import Packet
from ..process import Process
from ..programs import Program
from ..timeline import SECOND

CLOUD, GATEWAY = "cloud", "gateway"
BAUD = 115200
STORE = "gateway.db"
UPSTREAM = UpstreamSettings(CLOUD, f"mqtt://{CLOUD}", client_id="site", out=(Route("#"),), start_jitter_s=2.0)
CARD_BYTES = 32 << 30  # a usual SD card,
CARD_CYCLES = 500  # whose cells are erased so often: TLC, without a maker's word
BOARD_CYCLES = 100_000  # of a board's NOR flash
BOARD_BYTES = 1 << 20  # of which the file system has so much


@dataclass(frozen=True)
class Plan:
    """What a site is. Times in seconds. `cut_every_s`: the gateway's power; `devices_cut`: so many lose theirs with it;
    `away`: from when, and for how long the upstream cannot be reached. `noise`: bit errors of each line. `awake`: so
    many devices are on their line all the time, the others for each reading, as what runs on a battery does.
    """

    devices: int = 50
    awake: int = 5
    hours: float = 24.0
    every_s: float = 300.0
    cut_every_s: float = 600.0
    devices_cut: int = 2
    away: tuple[float, float] = (8 * HOUR, 6 * HOUR)
    noise: float = 2e-5
    off_s: float = 8.0


class Site(Large):
    """`plan`: what it is; the seed decides everything else."""

    def __init__(self, seed: int, plan: Plan | None = None, *, keep_trace: bool = False) -> None:
        self.plan = plan or Plan()
        self.cuts = self.queued_max = 0
        self.gateway: Gateway | None = None  # of its latest life
        super().__init__(seed, parts=parts_of(self.plan), keep_trace=keep_trace)
        self.trouble = SiteTrouble(self)

    def gateway_of(self, broker: str, ports: list[str]) -> Program:
        """As Large.gateway_of: with a broker inside, whose store is on the disk."""

        async def main(process: Process) -> None:
            config = Config(
                mode=BRIDGE,
                serial=[SerialPort.parse(port) for port in ports],
                console="",
                upstreams=[UPSTREAM],
                mdns=MdnsSettings(announce=False),
            )
            told = config.broker
            told.listen = [f"mqtt://{process.name}:1883"]
            told.access = {"anonymous": "anybody-on-the-network"}
            told.control = None
            gateway = Gateway(config, asks=False, store=process.broker_store(STORE))
            async with gateway:
                assert gateway.broker
                self.gateway = gateway
                self.brokers[process.name] = gateway.broker
                self.stats.append((process.name, gateway.broker.stats))
                await gateway.finished()

        return main

    def is_excused(self, packet: Packet, client: str, what: str) -> bool:
        """As Large.is_excused. In 5.0 a broker says itself how many messages it takes at once: ours 65535."""
        count, _, rest = what.partition(" ")
        if rest.startswith("messages unfinished") and packet.way.source.process.name == GATEWAY:
            return int(count) <= UPSTREAM.inflight
        return super().is_excused(packet, client, what)

    def run(self) -> list[str]:
        """As Large.run; nothing waits for the upstream in the end, and nothing was set aside."""
        left: list[str] = []
        quiet = self.audit.quiet

        def look(brokers: Iterable[str]) -> None:
            quiet(brokers)
            left.extend(self._left())

        self.audit.quiet = look  # type: ignore[method-assign]
        return super().run() + left

    def _left(self) -> Iterator[str]:
        if self.gateway is None or not self.world.processes[GATEWAY].alive:
            yield "the gateway is not running when all is quiet"
            return
        [uplink] = [each.describe() for each in self.gateway.uplinks]
        for name in ("queued", "set_aside", "refused", "expired"):
            if uplink[name]:
                yield f"{uplink[name]} {name} for the upstream when all is quiet"
        if any(uplink["in_doubt"].values()) or any(uplink["dropped"].values()):
            yield f"for the upstream, when all is quiet: in doubt {uplink['in_doubt']}, dropped {uplink['dropped']}"

    def _again(self, reading: Reading) -> dict[str, int]:
        """How many messages this consumer has handled more than once, by what was promised of them."""
        twice = [self.ledger.entries[name] for name, count in Counter(reading.effects).items() if count > 1]
        return dict(Counter(f"of QoS {each.qos} with{'' if each.keyed else 'out'} a key" for each in twice))

    def look_at_queue(self) -> None:
        """How long the queue is now."""
        broker = self.brokers.get(GATEWAY)
        session = session_of(broker, CLOUD) if broker and self.world.processes[GATEWAY].alive else None
        if session is not None:
            self.queued_max = max(self.queued_max, session.session.queued)

    def report(self) -> dict[str, Any]:
        """What has happened, and what it has cost."""
        seconds = self.plan.hours * HOUR
        entries = self.ledger.entries.values()
        gateway = self.world.processes[GATEWAY].disk
        boards = [self.world.processes[device.name].disk for device in self.parts.devices]
        worst = max(boards, key=lambda disk: disk.pages)
        first = self.ledger.readings["inbox"].first
        late_s = sorted((first[entry.name] - entry.sent_at) / SECOND for entry in entries if entry.name in first)
        return {
            "plan": asdict(self.plan),
            "messages": len(entries),
            "accepted": sum(entry.accepted for entry in entries),
            "handled": {name: len(reading.effects) for name, reading in self.ledger.readings.items()},
            "came again": {name: self._again(reading) for name, reading in self.ledger.readings.items()},
            "for the upstream, at most": self.queued_max,
            "late_s": {"median": round(late_s[len(late_s) // 2], 3), "most": round(late_s[-1], 1)} if late_s else {},
            "power cuts of the gateway": self.cuts,
            "lives of the gateway": self.world.processes[GATEWAY].life,
            "gateway": _writes(gateway, len(entries), CARD_BYTES * CARD_CYCLES, seconds),
            "board that wrote most": _writes(worst, len(entries) // len(boards), BOARD_BYTES * BOARD_CYCLES, seconds),
        }


class SiteTrouble(Trouble):
    """Power cuts by the clock, and an upstream that cannot be reached for hours."""

    large: Site

    def begin(self) -> None:
        """As Trouble.begin."""
        super().begin()
        plan = self.large.plan
        world = self.world
        world.after(plan.cut_every_s, self._cut, 1)
        at_s, for_s = plan.away
        if for_s:
            world.after(at_s, world.network.partition, GATEWAY, CLOUD)
            world.after(at_s + for_s, self._heal, GATEWAY, CLOUD)

    def _cut(self, number: int) -> None:
        """The power of the gateway goes, and that of some devices with it."""
        if not self.active:
            return
        plan, world = self.large.plan, self.world
        self.large.look_at_queue()
        chance = chance_of(self.large.seed, "power", number)
        names = [device.name for device in self.large.parts.devices]
        for name in [GATEWAY, *chance.sample(names, min(plan.devices_cut, len(names)))]:
            process = world.processes[name]
            if process.alive:
                self._note(f"power {number}", "power", (name,), f"power cut at {name}")
                process.cut_power()
        self.large.cuts += 1
        world.after(plan.cut_every_s * chance.uniform(0.9, 1.1), self._cut, number + 1)


def parts_of(plan: Plan) -> Parts:
    """A large world of this site."""
    count = max(1, round(plan.hours * HOUR / plan.every_s))
    devices = tuple(
        Device(
            name=f"device{number}",
            broker=CLOUD,
            line=(GATEWAY, BAUD),
            store="journal",
            journal=16384,
            keys="auto" if number % 2 else "none",
            qos=(2,) if number % 4 == 0 else (1, 2),
            messages=count,
            size=(20, 80),
            burst=1,
            every_s=(plan.every_s * 0.5, plan.every_s * 1.45),
            sleeps=number >= plan.awake,
            window=18,
            queue_max=100,
            keep_alive_s=300,
            clean=False,
            first=-1,
            retains=False,
            will=False,
        )
        for number in range(plan.devices)
    )
    readers = (
        Reader("inbox", CLOUD, True, "sqlite", "#", 2, False, (0.0, 0.0), 100, 300),
        Reader("plain", CLOUD, False, "sqlite", "p/#", 2, False, (0.0, 0.0), 100, 300),
    )
    bad = BadTime(dict.fromkeys(KINDS, 0), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, plan.noise, 0.0, 0, 0, plan.off_s)
    return Parts(plan.hours * HOUR, (CLOUD,), (256 * 1024, 1 << 30), (GATEWAY,), devices, readers, (), bad, False)


def _writes(disk: Disk, messages: int, endurance: int, seconds: float) -> dict[str, Any]:
    programmed = disk.pages * PAGE
    return {
        "bytes written": disk.written,
        "syncs": disk.syncs,
        "pages": disk.pages,
        "bytes a message": round(disk.written / max(messages, 1)),
        "syncs a message": round(disk.syncs / max(messages, 1), 2),
        "years": round(endurance / max(programmed, 1) * seconds / (365.25 * 86400), 1),
    }
