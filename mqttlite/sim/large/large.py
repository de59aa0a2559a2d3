"""The large world: tens of devices, serial lines, gateways, bridges, brokers and consumers, and a bad time for all.

    run = Large(4711)
    problems = run.run()            # [] when everything that was promised was kept
    run.world.digest()              # the same for the same seed, always

What it is made of is drawn (parts.py), what goes wrong too (drawn.py, faults.py). When the bad time is over,
everything goes on until it is quiet. Then the ledger (check/ledger.py) says for every message and reader whether it was
lost, doubled or misplaced, and check/audit.py whether anything is left over: messages, identifiers, connections.
"""

import asyncio
import contextlib
from collections import Counter
from functools import partial

from ...broker.limits import Limits
from ...client import Client
from ..clock import WALL, Clock
from ..lines.serial import SerialLine
from ..net.packets import Cut, Packet
from ..process import Process
from ..programs import Program, make_store
from ..programs import gateway as gateway_program
from ..timeline import SECOND
from .base import LargeScene
from .drawn import chance_of
from .faults import Trouble
from .parts import Parts
from .programs import PORT, bridge_of, device_of, reader_of
from .selection import ALL, Selection

BEGIN_S = 60.0  # for all subscriptions
CALM_S = 6 * 3600.0  # for everything to arrive when nothing goes wrong any more
PROBES = 40  # times that bounds are looked at


class Large(LargeScene):
    """See LargeScene. `parts` in the constructor: instead of what the seed draws."""

    def __init__(
        self,
        seed: int,
        size: int = 0,
        selection: Selection = ALL,
        *,
        keep_trace: bool = False,
        parts: Parts | None = None,
    ) -> None:
        super().__init__(seed, size, selection, keep_trace, parts)
        self.calm_s = CALM_S
        parts = self.parts
        lines_of: dict[str, list[str]] = {name: [] for name in parts.gateways}
        for device in parts.devices:
            if device.line:
                gateway, baud = device.line
                port = f"/dev/ttyACM{len(lines_of[gateway])}"
                lines_of[gateway].append(f"{port}?baud={baud}")
                self.lines[device.name] = self._line(device.name, gateway, port)
        queue, queues = parts.queue
        limits = Limits(hold_bytes=queue, queue_bytes=queues, queues_bytes=1 << 30, persistent_sessions=1000)
        for name in parts.brokers:
            self._process(name, self.broker_of(limits))
        for name in parts.gateways:
            if name in parts.gates:
                self._process(name, self.gateway_of(parts.gates[name], lines_of[name]))
        for reader in parts.readers:
            self._process(reader.name, reader_of(self, reader))
        for bridge in parts.bridges:
            self._process(bridge.name, bridge_of(self, bridge))
        for device in parts.devices:
            self._process(device.name, device_of(self, device), start=False)
            self.audit.stores[device.name] = partial(make_store, kind=device.store, journal_size=device.journal)
            if device.store == "memory":
                self.audit.forgetful.add(device.name)
        self.trouble = Trouble(self)

    def gateway_of(self, broker: str, ports: list[str]) -> Program:
        """The program of a gateway with these ports, whose devices' messages go to `broker`."""
        return gateway_program(*ports, upstream=f"mqtt://{broker}")

    def _line(self, device: str, gateway: str, port: str) -> SerialLine:
        line = SerialLine(self.world, device, PORT, gateway, port)
        bad = self.parts.faults
        if bad.noise:
            line.noise(bit_errors=bad.noise, dropped=bad.noise * 5, inserted=bad.noise, bursts=bad.noise)
        if bad.babble_s:
            line.babble(bad.babble_s)
        return line

    def _process(self, name: str, main: Program, start: bool = True) -> None:
        chance = chance_of(self.seed, name, "clock")
        ppm = self.parts.faults.ppm
        offset = chance.randint(0, 10**15) if ppm else 0
        wall = WALL + (chance.randint(0, 10**13) if ppm else 0)
        clock = Clock(begin=self.world.now, offset=offset, wall=wall, ppm=chance.randint(-ppm, ppm))
        self.add(self.world.process(name, main, clock=clock, start=start))

    def at_packet(self, packet: Packet) -> Cut | None:
        """As Scene.at_packet."""
        super().at_packet(packet)
        return self.trouble.at_packet(packet)

    # -- from beginning to end

    def run(self) -> list[str]:
        """Let it run to its end; what was promised and does not hold."""
        world = self.world
        parts = self.parts
        readings = self.ledger.readings.values()
        if not world.run_until(lambda: all(reading.since is not None for reading in readings), BEGIN_S):
            return self.stuck("not all readers got their subscriptions")
        world.run(1)
        self.bad_until = world.now + round(parts.duration_s * SECOND)
        for process in self.mortals:
            if process.name in self.publishers:
                process.start()
        self.trouble.watch()
        self.trouble.begin()
        for _ in range(PROBES):
            world.run(parts.duration_s / PROBES)
            self.audit.probe()
        self.trouble.end()
        self.calm_begun = True
        if not self._wait():
            late = [p.name for p in self.mortals if p.name in self.publishers and not self.is_done(p)]
            missing = self.ledger.missing()
            some = ", ".join(f"{one.name} at {one.reader}" for one in missing[:3])
            what = f"endless: {len(late)} devices not done {late}, {len(missing)} messages missing: {some}"
            return self.stuck(what)
        keep_alive_s = parts.readers[0].keep_alive_s if parts.readers else 5
        world.run(3 * keep_alive_s + 120)  # what is dead is noticed, and connected anew after 48 s at most
        before = self.conduct.connections.total()
        self.audit.quiet(parts.brokers)
        world.run(60)
        if self.conduct.connections.total() > before:
            self.ledger.noticed.append(f"{self.conduct.connections.total() - before} CONNECTs when all was quiet")
        self.audit.probe()
        self._look_at_retained()
        self.stop(15)
        self.audit.read(self.mortals)
        return [
            *self.ledger.problems(self._no_room()),
            *self.errors(),
            *self._drops(),
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
            if all(self.is_done(p) and not p.alive for p in self.mortals if p.name in self.publishers):
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
        for bridge in self.parts.bridges:
            dropped[bridge.target] += dropped[bridge.source] * len(self.parts.readers)
        return dropped

    def _look_at_retained(self) -> None:
        """A client that comes late gets the last retained message of each topic."""
        for broker in self.parts.brokers:
            got: dict[str, int] = {}

            async def look(process: Process, broker: str = broker, got: dict[str, int] = got) -> None:
                url, name, version = f"mqtt://{broker}", process.name, self.parts.version
                async with Client(url, version=version, client_id=name, clean_session=True, keys=True) as client:
                    await client.subscribe("r/#", 1)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(5):
                            async for message in client:
                                got[message.topic] = int(message.payload)

            self.world.process(f"late-{broker}", look)
            self.world.run(10)
            for device in self.parts.devices:
                if device.retains and device.broker == broker:
                    ledger = self.ledger
                    wanted = max([ledger.statuses.get(device.name, -1), *ledger.unsure.get(device.name, [])])
                    if got.get(f"r/{device.name}", -1) < wanted:
                        self.ledger.noticed.append(
                            f"retained by {broker} for {device.name}: {got.get(f'r/{device.name}')}, wanted {wanted}"
                        )

    def _drops(self) -> list[str]:
        """Where nothing but noise goes wrong, messages of QoS 0 are delivered or counted by who dropped them."""
        found = []
        for name, stats in self.stats:
            if stats.failures:
                found.append(f"{name}: {stats.failures} unexpected failures")
        if not self.parts.calm:
            return found
        for broker in self.parts.brokers:
            wanted = got = 0
            stats_of = [stats for name, stats in self.stats if name == broker]
            dropped = sum(stats.dropped_slow + stats.dropped_offline for stats in stats_of)
            names = [device.name for device in self.parts.devices if device.broker == broker]
            if any(device.sleeps for device in self.parts.devices if device.name in names):
                return found  # each burst has a client of its own, whose counter goes with it
            if any(self.conduct.connections[name] > 1 for name in names):
                continue  # a line was so full that PINGRESP came too late, and what was under way is gone
            for reading in self.ledger.readings.values():
                if reading.broker != broker:
                    continue
                dropped += self.clients[reading.name].qos0_dropped
                effects = Counter(reading.effects)
                for entry in self.ledger.entries.values():
                    source, bridged = self.ledger.way(entry, reading)
                    if source is reading and not bridged and not min(entry.qos, reading.qos):
                        wanted += 1
                        got += effects[entry.name]
            readers = sum(reading.broker == broker for reading in self.ledger.readings.values())
            unsent = sum(self.clients[name].qos0_dropped for name in names) * readers
            if not got <= wanted <= got + dropped + unsent:
                found.append(f"{broker}: {got} of {wanted} deliveries at QoS 0, {dropped} and {unsent} dropped")
        return found
