"""Faults as data: what goes wrong in a small world, and at which of its steps. A fault has a text, and comes from it.

    kill broker @ event 57            power off producer @ event 12
    cut producer reset @ event 40     (the connections between producer and broker; reset, unread, close, silence)
    kill consumer before disk 14      power off broker after disk 9      (an operation of that process's disk)
    fail broker disk 9                full producer disk 3               (the operation fails; the disk is full for it)
    cut inside packet 8 reset         (before, inside, after the packet that was written as the 8th)
    stall producer long @ event 40    (between it and the broker: longer than keep alive, or briefly)
    lose broker disk @ event 40       (with its power)

and at frames of a serial line, if there is one; a frame is what one end has written at once:

    unplug gateway inside frame 7     (the adapter at that end; it is plugged in again)
    part line long before frame 7     (the wires: for long, or briefly)
    damage line frame 7               (a burst: some bytes of it arrive as others; "shorten": one is lost;
                                      "swallow": all are)

Steps are counted from the beginning of the world, so a fault means the same only in the same world with the same seed
and the same faults before it.
"""

import re
from typing import NamedTuple

STALLED_S = {"briefly": 2.0, "long": 12.0}  # keep alive is 5 s
PARTED_S = {"briefly": 0.01, "long": 6.0}  # within one frame; longer than keep alive and every time-out
AT_ONCE = ("damage", "shorten", "swallow")  # what is done to a frame itself
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


class Extent(NamedTuple):
    """How many steps of each unit a run had that are worth a fault: up to the end of what it was for. `disks`: by
    process, all that there are. `lose`: a disk may be lost, too.
    """

    events: int
    packets: int
    disks: dict[str, int]
    frames: int = 0
    lose: bool = False
