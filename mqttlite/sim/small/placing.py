"""Has faults (faults.py) happen in a small world, at their steps."""

import errno
from collections.abc import Callable, Iterable
from functools import partial

from ..disks.disk import Operation
from ..lines import serial
from ..net.packets import Cut, Packet
from ..process import Process
from .circumstances import Consequences, now
from .faults import AT_ONCE, PARTED_S, STALLED_S, Fault
from .steps import Steps

UNPLUGGED_S = 1.5
BURST = 4  # bytes


def place(run: Steps, faults: Iterable[Fault]) -> None:
    """Have these faults happen. Of several at one packet, frame or operation, only the first does."""
    placing = _Placing(run)
    for fault in faults:
        if fault.unit == "event":
            run.moments.setdefault(fault.number, []).append(partial(placing.at_event, fault))
        else:
            placing.steps.setdefault((fault.unit, fault.who if fault.unit == "disk" else "", fault.number), fault)
    units = {unit for unit, _, _ in placing.steps}
    if "packet" in units:
        run.on_packet = placing.at_packet
    if "frame" in units and run.line:
        run.line.on_frame = placing.at_frame
    for who in {who for unit, who, _ in placing.steps if unit == "disk"}:
        process = run.world.processes[who]
        process.disk.on_operation = partial(placing.at_operation, process)
    consequences = Consequences(run)
    run.on_written, run.on_publishing = consequences.see, consequences.publishing


class _Placing:
    """`steps`: by unit, process (of an operation of a disk) and number."""

    def __init__(self, run: Steps) -> None:
        self.run = run
        self.steps: dict[tuple[str, str, int], Fault] = {}

    def _note(self, fault: Fault, point: str) -> None:
        run = self.run
        run.happened.append((str(fault), point + now(run)))
        run.last = run.now()
        run.world.note("fault", fault.what, str(fault))

    def at_event(self, fault: Fault) -> None:
        """What happens between two events of the world."""
        world = self.run.world
        who = fault.who
        process = world.processes[who]
        is_link = fault.what in ("cut", "stall")
        if not (is_link or process.alive):
            return
        last = next((f"{kind} {text!s}" for _, lane, kind, text in reversed(world.trace) if who in lane), "nothing")
        self._note(fault, f"between {who} and broker, after {last}" if is_link else f"{who}, after {last}")
        if fault.what == "cut":
            world.network.cut(who, "broker", fault.how)
        elif fault.what == "stall":
            world.network.partition(who, "broker")
            world.after(STALLED_S[fault.how], world.network.heal, who, "broker")
        elif fault.what == "lose":
            self.run.lose(process)
        else:
            (process.kill if fault.what == "kill" else process.cut_power)()

    def at_packet(self, packet: Packet) -> Cut | None:
        """As Packets.on_packet."""
        fault = self.steps.get(("packet", "", packet.serial))
        if fault is None:
            return None
        way = packet.way
        self._note(fault, f"{fault.where} {packet.kind} {way.source.process.name} to {way.sink.process.name}")
        return Cut(fault.where, fault.how)

    def at_operation(self, process: Process, operation: Operation) -> Callable[[], object] | None:
        """As Disk.on_operation."""
        fault = self.steps.get(("disk", process.name, operation.number)) if process.alive else None
        if fault is None:
            return None
        self._note(fault, f"{process.name} disk {operation.what} {operation.name}")
        if fault.what in ("fail", "full"):
            self.run.audit.disk_faults += 1
            if fault.what == "fail":
                raise OSError(errno.EIO, "Input/output error")
            raise OSError(errno.ENOSPC, "No space left on device")
        end = process.kill if fault.what == "kill" else process.cut_power
        if fault.where == "after":
            return end
        end()
        return None

    def at_frame(self, frame: serial.Frame) -> serial.Fault | bytes | None:
        """As SerialLine.on_frame."""
        fault = self.steps.get(("frame", "", frame.number))
        if fault is None:
            return None
        where = f"{frame.kind} {frame.way.source.host} to {frame.way.sink.host}"
        if fault.what in AT_ONCE:
            self._note(fault, where)
            return _spoilt(fault.what, frame.data)
        return serial.Fault(fault.where, partial(self._part, fault, frame.way.line, where))

    def _part(self, fault: Fault, line: serial.SerialLine, where: str) -> None:
        self._note(fault, f"{fault.where} {where}")
        if fault.what == "part":
            line.part()
            line.world.after(PARTED_S[fault.how], line.join)
        else:
            port = line.a if fault.who == line.a.host else line.b
            port.unplug()
            line.world.after(UNPLUGGED_S, port.plug)


def _spoilt(what: str, data: bytes) -> bytes:
    """What arrives of a frame."""
    middle = len(data) // 2
    if what == "damage":
        burst = bytes(byte ^ 0x5A for byte in data[middle : middle + BURST])
        return data[:middle] + burst + data[middle + BURST :]
    return data[:middle] + data[middle + 1 :] if what == "shorten" else b""
