"""What goes wrong in a large world: as drawn.py has it and the selection wants it, until `end`. Everything is repaired
by then. Each fault that has happened is in `Trouble.happened`, and in the trace, on the lane "fault".
"""

import errno
from collections.abc import Callable
from functools import partial
from random import Random
from typing import NamedTuple

from ..disks.disk import Operation
from ..net.packets import Cut, Packet
from ..process import Process
from .base import LargeScene
from .drawn import HOWS, Moment, Series, chance_of, moments


class Happened(NamedTuple):
    """A fault that has happened, at `at` ns, to one or two processes. `key`: see selection.py."""

    key: str
    at: int
    kind: str
    who: tuple[str, ...]
    text: str


class Trouble:
    """Of one large world. World.reached counts what has happened, as "fault: …"."""

    def __init__(self, large: LargeScene) -> None:
        self.large = large
        self.world = large.world
        self.bad = large.parts.faults
        self.active = False
        self.happened: list[Happened] = []
        self.due: dict[str, int] = {}  # when a dead process is started again
        self._failing: dict[str, tuple[str, int, Random]] = {}  # by disk: fault, until when, chance
        self._series: dict[str, Series] = {}

    def begin(self) -> None:
        """From now on things go wrong."""
        self.active = True
        bad = self.bad
        world = self.world
        wanted = self.large.selection
        conditions = world.network.conditions
        conditions.refuse, conditions.vanish, conditions.stall = bad.refuse, bad.vanish, bad.stall
        # Drawn from the parts of the whole world: what is not here cannot fail, and what is here fails as ever.
        for moment in moments(self.large.seed, self.large.whole):
            if wanted.happens(moment.key) and all(name in world.processes for name in moment.who):
                world.after(moment.at_s, self._happen, moment)
        if bad.at_disk or bad.io_error:
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
        for line in self.large.lines.values():
            line.join()
            line.a.plug()
            line.b.plug()
        for process in self.large.mortals:
            process.disk.capacity = None
            process.disk.on_operation = None
        self.due.clear()

    def _note(self, key: str, kind: str, who: tuple[str, ...], text: str) -> None:
        self.world.reach("fault: " + kind)
        self.world.note("fault", key, text)
        self.happened.append(Happened(key, self.world.now + self.world.ahead, kind, who, text))

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
                if process.name not in self.due:
                    share = 0.5 + chance_of(large.seed, process.name, "rises", process.life).random()
                    pause = round(self.bad.revive_s * share * 1e9)
                    self.due[process.name] = world.now + (pause if self.active else 0)
                if world.now >= self.due[process.name]:
                    large.died(process)
                    process.start()
        world.after(min(self.bad.revive_s, 1.0), self.watch)

    # -- at moments

    def _happen(self, moment: Moment) -> None:
        if not self.active:
            return
        kind, who, for_s = moment.kind, moment.who, moment.for_s
        if kind in ("partition", "cut"):
            self._part_hosts(moment)
        elif kind in ("unplug", "part"):
            self._part_line(moment)
        elif kind == "wipe":
            self._wipe(moment)
        else:
            process = self.world.processes[who[0]]
            if kind in ("kill", "power", "outage", "stall") and not process.alive:
                return
            if kind == "kill":
                self._note(moment.key, kind, who, f"{process.name} is killed")
                process.kill()
            elif kind == "power":
                self._note(moment.key, kind, who, f"power cut at {process.name}")
                process.cut_power()
            elif kind == "outage":
                self._note(moment.key, kind, who, f"no power at {process.name} for {for_s:g} s")
                process.cut_power()
                self.due[process.name] = self.world.now + round(for_s * 1e9)
            elif kind == "stall":
                self._note(moment.key, kind, who, f"{process.name} does nothing for {min(for_s, 120.0):g} s")
                process.stall(min(for_s, 120.0))
            elif kind == "full":
                self._note(moment.key, kind, who, f"disk of {process.name} is full for {for_s:g} s")
                self.large.audit.disk_faults += 1
                process.disk.capacity = sum(map(len, process.disk.files().values())) + moment.room
                self.world.after(for_s, self._empty, process)
            elif kind == "sync":
                self._note(moment.key, kind, who, f"syncs of {process.name}'s disk may fail for {for_s:g} s")
                self.large.audit.disk_faults += 1
                until = self.world.now + round(for_s * 1e9)
                self._failing[process.name] = moment.key, until, chance_of(self.large.seed, "syncs", moment.number)
                process.disk.on_operation = partial(self._at_operation, process)

    def _empty(self, process: Process) -> None:
        process.disk.capacity = None

    def _part_line(self, moment: Moment) -> None:
        world = self.world
        line = self.large.lines[moment.who[0]]
        if moment.kind == "part":
            self._note(moment.key, "part", moment.who, f"the line of {moment.who[0]} is cut for {moment.for_s:g} s")
            line.part()
            world.after(moment.for_s, line.join)
        else:
            port = (line.a, line.b)[moment.side]
            end = ("", " at the gateway")[moment.side]
            text = f"the line of {moment.who[0]} is unplugged{end} for {moment.for_s:g} s"
            self._note(moment.key, "unplug", moment.who, text)
            port.unplug()
            world.after(moment.for_s, port.plug)

    def _part_hosts(self, moment: Moment) -> None:
        network = self.world.network
        a, b = moment.who
        if moment.kind == "cut":
            self._note(moment.key, "cut", moment.who, f"connections between {a} and {b} are cut ({moment.how})")
            network.cut(a, b, moment.how)
        elif not network.is_partitioned(a, b):
            text = f"nothing gets through between {a} and {b} for {moment.for_s:g} s"
            self._note(moment.key, "partition", moment.who, text)
            network.partition(a, b)
            self.world.after(moment.for_s, self._heal, a, b)

    def _heal(self, a: str, b: str) -> None:
        if self.world.network.is_partitioned(a, b):
            self.world.network.heal(a, b)

    def _wipe(self, moment: Moment) -> None:
        """A disk is lost, with the machine."""
        process = self.world.processes[moment.who[0]]
        name = process.name
        self._note(moment.key, f"wipe {name.rstrip('0123456789')}", moment.who, f"the disk of {name} is lost")
        self.large.wipe(process)

    # -- at packets and operations

    def _step(self, name: str, rate: float) -> tuple[str, Random] | None:
        """One more step of a series; the fault that is due at it, if it is wanted."""
        series = self._series.get(name)
        if series is None:
            series = self._series[name] = Series(self.large.seed, name, rate)
        due = series.step()
        return due if due and self.large.selection.happens(due[0]) else None

    def at_packet(self, packet: Packet) -> Cut | None:
        """Whether to cut here."""
        if not self.active or not self.bad.at_packet:
            return None
        ends = packet.way.source.process, packet.way.sink.process
        due = self._step(f"{ends[0].name}/{ends[1].name}", self.bad.at_packet)
        if due is None:
            return None
        key, chance = due
        process = chance.choice(ends)
        then, said = chance.choice(
            ((None, ""), (None, ""), (process.kill, " is killed"), (process.cut_power, " loses power"))
        )
        how = chance.choice((*HOWS, "none") if then else HOWS)
        where = chance.choice(("before", "inside", "after"))
        text = f"{where} {packet.kind} from {ends[0].name} to {ends[1].name}: "
        words = [*([f"cut ({how})"] if how != "none" else []), *([process.name + said] if said else [])]
        self._note(key, "cut at a packet", (ends[0].name, ends[1].name), text + ", ".join(words))
        return Cut(where, how, then)

    def _at_operation(self, process: Process, operation: Operation) -> Callable[[], object] | None:
        if not self.active or not process.alive:
            return None
        name = process.name
        key, until, syncs = self._failing.get(name, ("", 0, None))
        if syncs and self.world.now < until and operation.what == "sync" and syncs.random() < 0.5:
            self._note(key, "failed sync", (name,), f"a sync of {name}'s disk fails")
            raise OSError(errno.EIO, "Input/output error")
        rate = self.bad.at_disk + self.bad.io_error
        due = self._step(f"{name}/disk", rate) if rate else None
        if due is None:
            return None
        key, chance = due
        what = f"{operation.what} {operation.name}".strip()
        if chance.random() < self.bad.at_disk / rate:
            end, said = chance.choice(((process.kill, "is killed"), (process.cut_power, "loses power")))
            where = chance.choice(("before", "after"))
            self._note(key, "death at an operation of the disk", (name,), f"{name} {said} {where} {what}")
            if where == "before":
                end()
            return end
        self.large.audit.disk_faults += 1
        number = chance.choice((errno.EIO, errno.ENOSPC))
        said = "fails" if number == errno.EIO else "finds no room"
        self._note(key, "failed operation of the disk", (name,), f"{name}'s disk: {what} {said}")
        raise OSError(number, "failed")
