"""What all small worlds have: their steps are counted, faults happen at them, and who has died is started again half a
second later.
"""

from collections.abc import Callable

from ...client import Client
from ..check.alarms import KINDS, Alarms
from ..lines.serial import SerialLine
from ..machine import Machine
from ..net.packets import Cut, Packet
from ..process import Process
from ..scene import Scene
from ..world import World
from .faults import Extent

REVIVE_S = 0.5


class Steps(Scene):
    """`on_packet`: asked of each packet whether to cut there. `on_written`: told of each. `on_publishing`: told when a
    producer is about to publish. `moments`: what to do after which event of the world. `happened`: faults that have
    happened, and where; `last`: where the last one has. `turns`: events in which a process has done something, and
    which one. `extent`: where all was done, at `done_at` (ns). `lost`: processes whose stores were lost.
    """

    broker: Process
    consumer: Process
    producer: Process
    may_lose = False  # disks may be lost, too

    def __init__(self, seed: int, *expected: str) -> None:
        super().__init__(World(seed), Alarms(*expected))
        self.world.network.conditions.latency = (100_000, 400_000)
        self.world.network.conditions.split = 0.0
        self.on_packet: Callable[[Packet], Cut | None] = lambda packet: None
        self.on_written: Callable[[Packet], object] = lambda packet: None
        self.on_publishing: Callable[[Client], object] = lambda client: None
        self.moments: dict[int, list[Callable[[], object]]] = {}
        self.happened: list[tuple[str, str]] = []
        self.turns: list[tuple[int, str]] = []
        self.lost: set[str] = set()
        self.line: SerialLine | None = None
        self.done_at = 0
        self.last = Extent(0, 0, {})
        self.extent = Extent(0, 0, {})

    def at_packet(self, packet: Packet) -> Cut | None:
        """As Scene.at_packet."""
        super().at_packet(packet)
        self.saw(packet)
        self.on_written(packet)
        return self.on_packet(packet)

    def saw(self, packet: Packet) -> None:
        """A packet was written, and has been looked at by what all worlds have."""

    def turned(self, process: Machine) -> None:
        """As Scene.turned."""
        super().turned(process)
        turn = (self.world.events, process.name)
        if self.turns and self.turns[-1][0] == turn[0]:
            self.turns[-1] = turn
        else:
            self.turns.append(turn)

    def tell(self, what: str) -> None:
        """Something has come of the last fault."""
        if self.happened:
            fault, point = self.happened[-1]
            if what not in point:
                self.happened[-1] = (fault, f"{point}; {what}")

    def lose(self, process: Process) -> None:
        """The disk of a process is lost, and with it its power."""
        raise NotImplementedError

    @property
    def opening(self) -> list[str]:
        """Processes that open their stores."""
        found = [self.broker.name] if self.broker.alive and self.broker.name not in self.brokers else []
        for process in (self.producer, self.consumer):
            client = self.clients.get(process.name)
            if process.alive and not (client and (client._life.has_store or client.error)):
                found.append(process.name)
        return found

    def errors(self) -> list[str]:
        """As Scene.errors."""
        for entry in self.world.trace:
            if entry[2] in KINDS:
                self.alarms.see(entry)
        return super().errors()

    def now(self) -> Extent:
        """How many steps there have been until now."""
        disks = {process.name: process.disk.operations for process in self.mortals}
        frames = self.line.frames if self.line else 0
        return Extent(self.world.events, self.packets.count, disks, frames, self.may_lose)

    def moment(self) -> bool:
        """What is to be done after this event. Never true: what a world is run until."""
        for call in self.moments.pop(self.world.events, ()):
            call()
        return False

    def is_revived(self, process: Process) -> bool:
        """Whether a process that is dead is to be started again."""
        return True

    def revive(self) -> None:
        """Start who is dead, from now on and again and again."""
        if self.over:
            return
        for process in self.mortals:
            if not process.alive and self.is_revived(process):
                self.died(process)
                process.start()
        self.world.after(REVIVE_S, self.revive)
