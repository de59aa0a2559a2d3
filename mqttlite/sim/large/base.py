"""What the programs, faults and pictures of a large world know of it; large.py builds and runs it."""

from zlib import crc32

from ..check.alarms import KINDS, Alarms
from ..check.ledger import Publisher, ToPublish
from ..lines.serial import SerialLine
from ..net.packets import Packet
from ..process import Process
from ..scene import Scene
from ..world import World
from .parts import Device, Parts, draw
from .selection import Selection


class LargeWorld(World):
    """A world whose trace is forgotten, but for the lines of the log that nobody should see."""

    def __init__(self, seed: int, *, keep_trace: bool, alarms: Alarms) -> None:
        super().__init__(seed, keep_trace=keep_trace)
        self.alarms = alarms

    def note(self, lane: str, kind: str, text: str | bytes = "") -> None:
        """As World.note."""
        if kind in KINDS:
            self.alarms.see((self.now + self.ahead, lane, kind, text))
        super().note(lane, kind, text)


class LargeScene(Scene):
    """`seed`: decides everything; `size`: how many devices, 0: drawn. `selection`: which parts and faults of it are
    wanted. `whole`: what all of it is made of, `parts`: what is wanted of that. `bad_until`: ns.

    ValueError: the selection names parts that are not there.
    """

    def __init__(self, seed: int, size: int, selection: Selection, keep_trace: bool, whole: Parts | None) -> None:
        self.seed = seed
        self.selection = selection
        self.whole = whole or draw(seed, size)
        self.parts = parts = selection.of(self.whole)
        alarms = Alarms()
        super().__init__(LargeWorld(seed, keep_trace=keep_trace, alarms=alarms), alarms)
        alarms.busy.update(parts.gateways, [bridge.name for bridge in parts.bridges])
        alarms.busy.update(device.name for device in parts.devices if device.sleeps)
        self.conduct.may_repeat = any(device.clean for device in parts.devices)  # a clean session is lost each time
        for reader in parts.readers:
            self.ledger.add(reader.name, reader.broker, reader.topic_filter, reader.qos, reader.inbox)
        for bridge in parts.bridges:
            self.ledger.add(bridge.name, bridge.source, "#", 2, target=bridge.target)
        self.bad_until = 0
        self.calm_begun = False
        self.lines: dict[str, SerialLine] = {}  # by device
        self.publishers = {one.name: Publisher(one.name, one.broker, one.keys, one.clean) for one in parts.devices}

    def message(self, device: Device, number: int) -> ToPublish:
        """A device's message: the same whenever it is asked for, since another life must publish the same."""
        mixed = crc32(f"{self.seed} {device.name} {number}".encode())
        low, high = device.size
        size = low + (mixed >> 8) % (high - low + 1)
        if low == 0 and mixed % 5 == 0:
            size = 0
        qos = device.qos[mixed % 7 % len(device.qos)]
        name = f"{device.name} {number}"
        topic = f"{'p' if device.keys == 'none' or not qos else 'k'}/{device.name}/{qos}" + f"/e/{number}" * (not size)
        key = (f"{device.name}-app", number) if device.keys == "app" and qos else None
        return ToPublish(name, number, topic, f"{name} ".ljust(size, ".") if size else "", qos, key)

    def is_done(self, process: Process) -> bool:
        """Whether a process has ended because there is nothing more to do."""
        return process.name in self.publishers and (not process.life or process.result == "done")

    def wipe(self, process: Process) -> None:
        """The disk of a process is lost, with its power."""
        process.lose_disk()
        if process.name in self.parts.brokers:
            self.broker_lost(process.name)
            # What it had taken, and had not confirmed: without a key it is the application that decides.
            self.audit.doubtful |= {
                one.name for one in self.publishers.values() if one.broker == process.name and one.keys == "none"
            }
        elif process.name in self.publishers:
            self.publisher_lost(self.publishers[process.name])

    def is_excused(self, packet: Packet, client: str, what: str) -> bool:
        """As Scene.is_excused."""
        # Conduct tells messages apart by their payloads, and these have none of their own, or a will's.
        start = self.conduct.content[:40]
        is_same = what.startswith("sent again") and any(kind in start for kind in (b"/e/", b"r/device", b"w/device"))
        # A new store has the broker release all identifiers, also those that QoS 1 has used before.
        is_clearing = what.startswith("PUBREL") and packet.is_up and self.conduct.has_ended(client)
        return is_same or is_clearing
