"""What goes wrong in a large world: drawn, as often as its plan says, until `end`. Everything is repaired by then."""

import errno
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ..disks.disk import Operation
from ..net.packets import Cut, Packet

if TYPE_CHECKING:
    from ..process import Process
    from .large import Large

HOWS = ("reset", "close", "unread", "silence")


class Trouble:
    """Of one large world. World.reached counts what has happened, as "fault: …"."""

    def __init__(self, large: "Large") -> None:
        self.large = large
        self.world = large.world
        self.plan = large.plan.faults
        self.active = False
        self.due: dict[str, int] = {}  # when a dead process is started again
        self.disk_faults = 0
        self._full: dict[str, int] = {}  # until when a disk is full

    def begin(self) -> None:
        """From now on things go wrong."""
        self.active = True
        plan = self.plan
        world = self.world
        duration_s = self.large.plan.duration_s
        conditions = world.network.conditions
        conditions.refuse, conditions.vanish, conditions.stall = plan.refuse, plan.vanish, plan.stall
        for kind, count in plan.times.items():
            for _ in range(count):
                world.after(world.random.uniform(0, duration_s), self._happen, kind)
        for _ in range(plan.wipes):
            world.after(world.random.uniform(0, duration_s), self._wipe)
        if plan.at_disk or plan.io_error:
            for process in self.large.mortals:
                process.disk.on_operation = partial(self._at_operation, process)

    def end(self) -> None:
        """All is well from now on."""
        self.active = False
        world = self.world
        conditions = world.network.conditions
        conditions.refuse = conditions.vanish = conditions.stall = 0.0
        names = list(world.processes)
        for a in names:
            for b in names:
                if a < b and world.network.is_partitioned(a, b):
                    world.network.heal(a, b)
        for line in self.large.lines:
            line.join()
            line.a.plug()
            line.b.plug()
        for process in self.large.mortals:
            process.disk.capacity = None
            process.disk.on_operation = None
        self.due.clear()

    def _count(self, what: str) -> None:
        self.world.reach("fault: " + what)

    # -- the dead rise

    def watch(self) -> None:
        """Start again what has died, after a while."""
        world = self.world
        large = self.large
        if large.over:
            return
        for process in large.mortals:
            if process.alive:
                self.due.pop(process.name, None)
            elif not large.is_done(process):
                pause = round(self.plan.revive_s * (0.5 + world.random.random()) * 1e9)
                if world.now >= self.due.setdefault(process.name, world.now + (pause if self.active else 0)):
                    large.died(process)
                    process.start()
        world.after(min(self.plan.revive_s, 1.0), self.watch)

    # -- at moments

    def _happen(self, kind: str) -> None:
        if not self.active:
            return
        self._count(kind)
        world = self.world
        chance = world.random
        process = chance.choice(self.large.mortals)
        for_s = chance.choice((0.1, 2.0, 10.0, min(self.large.plan.duration_s / 10, 3600.0)))
        if kind == "kill" and process.alive:
            process.kill()
        elif kind == "power" and process.alive:
            process.cut_power()
        elif kind == "outage" and process.alive:
            process.cut_power()
            self.due[process.name] = world.now + round(for_s * 1e9)
        elif kind == "stall" and process.alive:
            process.stall(min(for_s, 120.0))
        elif kind in ("partition", "cut"):
            self._part_hosts(kind, for_s)
        elif kind in ("unplug", "part") and self.large.lines:
            line = chance.choice(self.large.lines)
            if kind == "part":
                line.part()
                world.after(for_s, line.join)
            else:
                port = chance.choice((line.a, line.b))
                port.unplug()
                world.after(for_s, port.plug)
        elif kind == "full":
            self.disk_faults += 1
            disk = process.disk
            disk.capacity = sum(map(len, disk.files().values())) + chance.choice((0, 1000, 50_000))
            world.after(for_s, self._empty, process)
        elif kind == "sync":
            self.disk_faults += 1
            self._full[process.name] = world.now + round(for_s * 1e9)
            process.disk.on_operation = partial(self._at_operation, process)

    def _empty(self, process: "Process") -> None:
        process.disk.capacity = None

    def _part_hosts(self, kind: str, for_s: float) -> None:
        world = self.world
        chance = world.random
        a, b = chance.choice(self.large.neighbours())
        if kind == "cut":
            world.network.cut(a, b, chance.choice(HOWS))
        elif not world.network.is_partitioned(a, b):
            world.network.partition(a, b)
            world.after(for_s, self._heal, a, b)

    def _heal(self, a: str, b: str) -> None:
        if self.world.network.is_partitioned(a, b):
            self.world.network.heal(a, b)

    def _wipe(self) -> None:
        """A disk is lost, with the machine: all of a broker's; of a client, its store, but not the database of the
        application, in which an inbox keeps its receipts.
        """
        if not self.active:
            return
        large = self.large
        process = self.world.random.choice(large.mortals)
        if process.name.startswith(("gateway", "bridge")):
            return  # a gateway has no disk; a bridge's outbox is the application's
        self._count("wipe " + process.name.rstrip("0123456789"))
        if process.alive:
            process.cut_power()
        kept = {name: data for name, data in process.disk.files().items() if name.startswith("app.db")}
        process.disk.put(kept)
        large.wiped(process)

    # -- at packets and operations

    def at_packet(self, packet: Packet) -> Cut | None:
        """Whether to cut here."""
        chance = self.world.random
        if not self.active or not self.plan.at_packet or chance.random() >= self.plan.at_packet:
            return None
        self._count("cut at a packet")
        process = chance.choice((packet.way.source, packet.way.sink)).process
        then = chance.choice((None, None, process.kill, process.cut_power))
        how = chance.choice((*HOWS, "none") if then else HOWS)
        return Cut(chance.choice(("before", "inside", "after")), how, then)

    def _at_operation(self, process: "Process", operation: Operation) -> Callable[[], object] | None:
        chance = self.world.random
        if not self.active or not process.alive:
            return None
        if self.world.now < self._full.get(process.name, 0) and operation.what == "sync" and chance.random() < 0.5:
            self._count("failed sync")
            raise OSError(errno.EIO, "Input/output error")
        drawn = chance.random()
        if drawn < self.plan.at_disk:
            self._count("death at an operation of the disk")
            end = chance.choice((process.kill, process.cut_power))
            if chance.random() < 0.5:
                end()
            return end
        if drawn < self.plan.at_disk + self.plan.io_error:
            self._count("failed operation of the disk")
            self.disk_faults += 1
            raise OSError(chance.choice((errno.EIO, errno.ENOSPC)), "failed")
        return None
