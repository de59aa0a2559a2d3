"""Faults as data: what goes wrong in a small world, and at which of its steps. A fault has a text, and comes from it.

    kill broker @ event 57            power off producer @ event 12
    cut producer reset @ event 40     (the connections between producer and broker; reset, unread, close, silence)
    kill consumer before disk 14      power off broker after disk 9      (an operation of that process's disk)
    fail broker disk 9                full producer disk 3               (the operation fails; the disk is full for it)
    cut inside packet 8 reset         (before, inside, after the packet that was written as the 8th)

Steps are counted from the beginning of the world, so a fault means the same only in the same world with the same seed
and the same faults before it.
"""

import errno
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ..net.packets import Cut, Packet

if TYPE_CHECKING:
    from ..disks.disk import Operation
    from ..process import Process
    from .small import Run

PARTS = ("producer", "broker", "consumer")
HOWS = ("reset", "unread", "close", "silence")
_PATTERNS = (
    r"(?P<what>kill|power off) (?P<who>\w+) @ (?P<unit>event) (?P<number>\d+)",
    r"(?P<what>cut) (?P<who>\w+) (?P<how>\w+) @ (?P<unit>event) (?P<number>\d+)",
    r"(?P<what>kill|power off) (?P<who>\w+) (?P<where>before|after) (?P<unit>disk) (?P<number>\d+)",
    r"(?P<what>fail|full) (?P<who>\w+) (?P<unit>disk) (?P<number>\d+)",
    r"(?P<what>cut) (?P<where>before|inside|after) (?P<unit>packet) (?P<number>\d+) (?P<how>\w+)",
)


class Fault(NamedTuple):
    """See the module's text. `unit`: event, disk, packet."""

    what: str  # kill, power off, cut, fail, full
    unit: str
    number: int
    who: str = ""  # process
    where: str = ""  # before, inside, after
    how: str = ""  # of a cut

    def __str__(self) -> str:
        if self.unit == "event":
            return " ".join(filter(None, (self.what, self.who, self.how, "@ event", str(self.number))))
        if self.unit == "packet":
            return f"cut {self.where} packet {self.number} {self.how}"
        return " ".join(filter(None, (self.what, self.who, self.where, "disk", str(self.number))))


def parse(text: str) -> Fault:
    """The fault of a text. ValueError when it is none."""
    for pattern in _PATTERNS:
        found = re.fullmatch(pattern, text.strip())
        if found:
            fields = found.groupdict()
            return Fault(
                what=fields["what"],
                unit=fields["unit"],
                number=int(fields["number"]),
                who=fields.get("who", ""),
                where=fields.get("where", ""),
                how=fields.get("how", ""),
            )
    raise ValueError(f"'{text}' is not a fault; one looks like 'kill broker @ event 57' or 'cut inside packet 8 reset'")


def place(run: "Run", faults: "list[Fault]") -> None:
    """Have these faults happen: each that `run.happens` says yes to, when its step has come."""
    world = run.world
    at_packets: dict[int, list[Fault]] = {}
    at_disks: dict[str, dict[int, list[Fault]]] = {}

    def note(fault: Fault, point: str) -> None:
        run.happened.append((str(fault), point))
        run.last = run.now()
        world.note("fault", fault.what, str(fault))

    for fault in faults:
        if fault.unit == "event":
            run.moments.setdefault(fault.number, []).append(lambda fault=fault: _at_event(run, fault, note))  # type: ignore[misc]
        elif fault.unit == "packet":
            at_packets.setdefault(fault.number, []).append(fault)
        else:
            at_disks.setdefault(fault.who, {}).setdefault(fault.number, []).append(fault)

    if at_packets:

        def on_packet(packet: Packet) -> Cut | None:
            fault = next(filter(run.happens, at_packets.get(packet.serial, ())), None)
            if fault is None:
                return None
            way = packet.way
            point = f"{packet.kind} {way.source.process.name} to {way.sink.process.name}"
            note(fault, f"{fault.where} {point}")
            return Cut(fault.where, fault.how)

        run.on_packet = on_packet
    for who, planned in at_disks.items():
        process = world.processes[who]
        process.disk.on_operation = _at_operation(run, process, planned, note)


Note = Callable[[Fault, str], None]


def _at_event(run: "Run", fault: Fault, note: Note) -> None:
    world = run.world
    process = world.processes[fault.who]
    if (fault.what != "cut" and not process.alive) or not run.happens(fault):
        return
    last = next((f"{kind} {text!s}" for _, lane, kind, text in reversed(world.trace) if fault.who in lane), "nothing")
    if fault.what == "cut":
        note(fault, f"between {fault.who} and broker, after {last}")
        world.network.cut(fault.who, "broker", fault.how)
    else:
        note(fault, f"{fault.who}, after {last}")
        (process.kill if fault.what == "kill" else process.cut_power)()


def _at_operation(
    run: "Run", process: "Process", planned: dict[int, list[Fault]], note: Note
) -> "Callable[[Operation], Callable[[], object] | None]":
    def on_operation(operation: "Operation") -> Callable[[], object] | None:
        faults = planned.get(operation.number, ()) if process.alive else ()
        fault = next(filter(run.happens, faults), None)
        if fault is None:
            return None
        note(fault, f"{process.name} disk {operation.what} {operation.name}")
        if fault.what == "fail":
            raise OSError(errno.EIO, "Input/output error")
        if fault.what == "full":
            raise OSError(errno.ENOSPC, "No space left on device")
        end = process.kill if fault.what == "kill" else process.cut_power
        if fault.where == "after":
            return end
        end()
        return None

    return on_operation


class Extent(NamedTuple):
    """How many steps of each unit a run had that are worth a fault: up to the end of what it was for."""

    events: int
    packets: int
    disks: dict[str, int]


def every(extent: Extent, after: Extent | None = None) -> "list[Fault]":
    """All single faults of a run, or only those at steps that come after `after`."""
    first = after or Extent(0, 0, {})
    found = []
    for number in range(first.events + 1, extent.events + 1):
        for who in PARTS:
            found += [Fault("kill", "event", number, who), Fault("power off", "event", number, who)]
        found += [Fault("cut", "event", number, who, how=how) for who in ("producer", "consumer") for how in HOWS]
    for who in PARTS:
        for number in range(first.disks.get(who, 0) + 1, extent.disks.get(who, 0) + 1):
            found += [
                Fault(what, "disk", number, who, where)
                for what in ("kill", "power off")
                for where in ("before", "after")
            ]
            found += [Fault("fail", "disk", number, who), Fault("full", "disk", number, who)]
    for number in range(first.packets + 1, extent.packets + 1):
        found += [
            Fault("cut", "packet", number, where=where, how=how)
            for where in ("before", "inside", "after")
            for how in HOWS
        ]
    return found
