"""Faults as data: what goes wrong in a small world, and at which of its steps. A fault has a text, and comes from it.

    kill broker @ event 57            power off producer @ event 12
    cut producer reset @ event 40     (the connections between producer and broker; reset, unread, close, silence)
    kill consumer before disk 14      power off broker after disk 9      (an operation of that process's disk)
    fail broker disk 9                full producer disk 3               (the operation fails; the disk is full for it)
    cut inside packet 8 reset         (before, inside, after the packet that was written as the 8th)
    stall producer long @ event 40    (between it and the broker: longer than keep alive, or briefly)
    lose broker disk @ event 40       (with its power: losses.py)

and at frames of a serial line, if there is one: chain.py.

Steps are counted from the beginning of the world, so a fault means the same only in the same world with the same seed
and the same faults before it.
"""

import errno
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from ..net.packets import Cut, Packet
from . import chain, states

if TYPE_CHECKING:
    from ..disks.disk import Operation
    from ..lines.serial import Fault as LineFault
    from ..lines.serial import Frame
    from ..process import Process
    from .small import Run

STALLED_S = {"briefly": 2.0, "long": 12.0}  # keep alive is 5 s
WHERES = ("before", "inside", "after")
HOWS = ("reset", "unread", "close", "silence")
_PATTERNS = (
    r"(?P<what>kill|power off) (?P<who>\w+) @ (?P<unit>event) (?P<number>\d+)",
    r"(?P<what>cut) (?P<who>\w+) (?P<how>\w+) @ (?P<unit>event) (?P<number>\d+)",
    r"(?P<what>kill|power off) (?P<who>\w+) (?P<where>before|after) (?P<unit>disk) (?P<number>\d+)",
    r"(?P<what>fail|full) (?P<who>\w+) (?P<unit>disk) (?P<number>\d+)",
    r"(?P<what>cut) (?P<where>before|inside|after) (?P<unit>packet) (?P<number>\d+) (?P<how>\w+)",
    r"(?P<what>stall) (?P<who>\w+) (?P<how>briefly|long) @ (?P<unit>event) (?P<number>\d+)",
    r"(?P<what>lose) (?P<who>\w+) disk @ (?P<unit>event) (?P<number>\d+)",
    r"(?P<what>unplug) (?P<who>device|gateway) (?P<where>before|inside|after) (?P<unit>frame) (?P<number>\d+)",
    r"(?P<what>part) line (?P<how>briefly|long) (?P<where>before|inside|after) (?P<unit>frame) (?P<number>\d+)",
    r"(?P<what>damage|shorten|swallow) line (?P<unit>frame) (?P<number>\d+)",
)


class Fault(NamedTuple):
    """See the module's text. `unit`: event, disk, packet, frame."""

    what: str  # kill, power off, cut, fail, full, stall, lose, unplug, part, damage, shorten, swallow
    unit: str
    number: int
    who: str = ""  # process
    where: str = ""  # before, inside, after
    how: str = ""  # of a cut; of what has an end: briefly or long

    def __str__(self) -> str:
        if self.unit == "event":
            how = "disk" if self.what == "lose" else self.how
            return " ".join(filter(None, (self.what, self.who, how, "@ event", str(self.number))))
        if self.unit == "packet":
            return f"cut {self.where} packet {self.number} {self.how}"
        who = self.who or "line" * (self.unit == "frame")
        return " ".join(filter(None, (self.what, who, self.how, self.where, self.unit, str(self.number))))


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
                who=fields.get("who") or "",
                where=fields.get("where") or "",
                how=fields.get("how") or "",
            )
    raise ValueError(f"'{text}' is not a fault; one looks like 'kill broker @ event 57' or 'cut inside packet 8 reset'")


def place(run: "Run", faults: "list[Fault]") -> None:
    """Have these faults happen. Of several at one packet, frame or operation, only the first does."""
    world = run.world
    at_packets: dict[int, Fault] = {}
    at_frames: dict[int, Fault] = {}
    at_disks: dict[str, dict[int, Fault]] = {}

    def note(fault: Fault, point: str) -> None:
        run.happened.append((str(fault), point + states.now(run)))
        run.last = run.now()
        world.note("fault", fault.what, str(fault))

    for fault in faults:
        if fault.unit == "event":
            run.moments.setdefault(fault.number, []).append(lambda fault=fault: _at_event(run, fault, note))  # type: ignore[misc]
        elif fault.unit == "packet":
            at_packets.setdefault(fault.number, fault)
        elif fault.unit == "frame":
            at_frames.setdefault(fault.number, fault)
        else:
            at_disks.setdefault(fault.who, {}).setdefault(fault.number, fault)

    if at_packets:

        def on_packet(packet: Packet) -> Cut | None:
            fault = at_packets.get(packet.serial)
            if fault is None:
                return None
            way = packet.way
            point = f"{packet.kind} {way.source.process.name} to {way.sink.process.name}"
            note(fault, f"{fault.where} {point}")
            return Cut(fault.where, fault.how)

        run.on_packet = on_packet
    if run.line:
        line = run.line

        def on_frame(frame: "Frame") -> "LineFault | bytes | None":
            fault = at_frames.get(frame.number)
            return chain.strike(fault, line, frame, lambda point: note(fault, point)) if fault else None

        line.on_frame = on_frame if at_frames else None
    for who, planned in at_disks.items():
        process = world.processes[who]
        process.disk.on_operation = _at_operation(process, planned, note)


Note = Callable[[Fault, str], None]


def _at_event(run: "Run", fault: Fault, note: Note) -> None:
    world = run.world
    process = world.processes[fault.who]
    is_link = fault.what in ("cut", "stall")
    if not (is_link or process.alive):
        return
    last = next((f"{kind} {text!s}" for _, lane, kind, text in reversed(world.trace) if fault.who in lane), "nothing")
    note(fault, f"between {fault.who} and broker, after {last}" if is_link else f"{fault.who}, after {last}")
    if fault.what == "cut":
        world.network.cut(fault.who, "broker", fault.how)
    elif fault.what == "stall":
        world.network.partition(fault.who, "broker")
        world.after(STALLED_S[fault.how], world.network.heal, fault.who, "broker")
    elif fault.what == "lose":
        run.lose(process)
    else:
        (process.kill if fault.what == "kill" else process.cut_power)()


def _at_operation(
    process: "Process", planned: dict[int, Fault], note: Note
) -> "Callable[[Operation], Callable[[], object] | None]":
    def on_operation(operation: "Operation") -> Callable[[], object] | None:
        fault = planned.get(operation.number) if process.alive else None
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
    """How many steps of each unit a run had that are worth a fault: up to the end of what it was for. `disks`: by
    process, all that there are. `lose`: a disk may be lost, too.
    """

    events: int
    packets: int
    disks: dict[str, int]
    frames: int = 0
    lose: bool = False


def essential(extent: Extent, after: Extent, turns: Iterable[tuple[int, str]]) -> "list[Fault]":
    """Of `every`, what makes a difference again and again: a process loses its power after each event in which it has
    done something, a connection ends inside each packet, a line inside each frame. `turns`: as Run.turns.
    """
    found = [Fault("power off", "event", at, who) for at, who in turns if after.events < at <= extent.events]
    found += [
        Fault("cut", "packet", number, where="inside", how="reset")
        for number in range(after.packets + 1, extent.packets + 1)
    ]
    found += [
        Fault("part", "frame", number, where="inside", how="long")
        for number in range(after.frames + 1, extent.frames + 1)
    ]
    return found


def every(extent: Extent, after: Extent | None = None) -> "list[Fault]":
    """All single faults of a run, or only those at steps that come after `after`."""
    first = after or Extent(0, 0, {})
    found = []
    linked = [who for who in extent.disks if who not in ("broker", "device")]  # with a connection to the broker
    for number in range(first.events + 1, extent.events + 1):
        for who in extent.disks:
            found += [Fault("kill", "event", number, who), Fault("power off", "event", number, who)]
        for who in linked:
            found += [Fault("cut", "event", number, who, how=how) for how in HOWS]
            found += [Fault("stall", "event", number, who, how=how) for how in STALLED_S]
        if extent.lose:
            found += [Fault("lose", "event", number, who) for who in extent.disks if who != "gateway"]
    for who, operations in extent.disks.items():
        for number in range(first.disks.get(who, 0) + 1, operations + 1):
            found += [
                Fault(what, "disk", number, who, where) for what in ("kill", "power off") for where in WHERES[::2]
            ]
            found += [Fault("fail", "disk", number, who), Fault("full", "disk", number, who)]
    for number in range(first.packets + 1, extent.packets + 1):
        found += [Fault("cut", "packet", number, where=where, how=how) for where in WHERES for how in HOWS]
    for number in range(first.frames + 1, extent.frames + 1):
        for where in WHERES:
            found += [Fault("unplug", "frame", number, who, where) for who in ("device", "gateway")]
            found += [Fault("part", "frame", number, where=where, how=how) for how in chain.PARTED_S]
        found += [Fault(what, "frame", number) for what in chain.AT_ONCE]
    return found
