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
from ..timeline import SECOND
from .base import LargeScene
from .drawn import HOWS, Moment, Series, chance_of, moments

STALL_MAX_S = 120.0
SAID = {
    "kill": "{0} is killed",
    "power": "power cut at {0}",
    "outage": "no power at {0} for {time}",
    "stall": "{0} does nothing for {time}",
    "full": "disk of {0} is full for {time}",
    "sync": "syncs of {0}'s disk may fail for {time}",
    "wipe": "the disk of {0} is lost",
    "cut": "connections between {0} and {1} are cut ({how})",
    "partition": "nothing gets through between {0} and {1} for {time}",
    "unplug": "the line of {0} is unplugged{end} for {time}",
    "part": "the line of {0} is cut for {time}",
}


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
                    pause = round(self.bad.revive_s * share * SECOND)
                    self.due[process.name] = world.now + (pause if self.active else 0)
                if world.now >= self.due[process.name]:
                    large.died(process)
                    process.start()
        world.after(min(self.bad.revive_s, 1.0), self.watch)

    # -- at moments

    def _happen(self, moment: Moment) -> None:
        if not self.active:
            return
        kind, who = moment.kind, moment.who
        process = self.world.processes[who[0]]
        if kind in ("kill", "power", "outage", "stall") and not process.alive:
            return
        if kind == "partition" and self.world.network.is_partitioned(*who):
            return
        end = ("", " at the gateway")[moment.side]
        for_s = min(moment.for_s, STALL_MAX_S) if kind == "stall" else moment.for_s
        text = SAID[kind].format(*who, how=moment.how, end=end, time=f"{for_s:g} s")
        shown = f"wipe {process.name.rstrip('0123456789')}" if kind == "wipe" else kind
        self._note(moment.key, shown, who, text)
        if kind in ("partition", "cut", "unplug", "part"):
            self._break_link(moment)
        elif kind in ("full", "sync"):
            self._break_disk(moment, process)
        elif kind == "kill":
            process.kill()
        elif kind == "stall":
            process.stall(for_s)
        elif kind == "wipe":
            self.large.wipe(process)
        else:
            process.cut_power()
            if kind == "outage":
                self.due[process.name] = self.world.now + round(for_s * SECOND)

    def _break_disk(self, moment: Moment, process: Process) -> None:
        disk = process.disk
        self.large.audit.disk_faults += 1
        if moment.kind == "full":
            disk.capacity = sum(map(len, disk.files().values())) + moment.room
            self.world.after(moment.for_s, setattr, disk, "capacity", None)
        else:
            until = self.world.now + round(moment.for_s * SECOND)
            self._failing[process.name] = moment.key, until, chance_of(self.large.seed, "syncs", moment.number)
            disk.on_operation = partial(self._at_operation, process)

    def _break_link(self, moment: Moment) -> None:
        world = self.world
        if moment.kind in ("cut", "partition"):
            a, b = moment.who
            if moment.kind == "cut":
                world.network.cut(a, b, moment.how)
            else:
                world.network.partition(a, b)
                world.after(moment.for_s, self._heal, a, b)
        else:
            line = self.large.lines[moment.who[0]]
            port = (line.a, line.b)[moment.side]
            down, up = (line.part, line.join) if moment.kind == "part" else (port.unplug, port.plug)
            down()
            world.after(moment.for_s, up)

    def _heal(self, a: str, b: str) -> None:
        if self.world.network.is_partitioned(a, b):
            self.world.network.heal(a, b)

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
