"""MQTT packets seen on the simulated network, and faults placed before, inside or after any of them.

packets = Packets(world.network)
packets.on_packet = lambda packet: Cut("after") if packet.kind == "PUBREC" else None
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from ...core.errors import ProtocolError
from ...core.parser import Parser
from .network import Network
from .streams import Way

NAMES = (
    "?", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK", "UNSUBSCRIBE",
    "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
)  # fmt: skip
SIZE_MAX = 268_435_455  # the largest Remaining Length there is


class Packet(NamedTuple):
    """A packet that a program has written. It is on `way` from byte `start` to before byte `end`, both of them counted
    from the connection's beginning. `serial`: its number in the world, `number`: on this way, both from 1.
    """

    kind: str
    serial: int
    number: int
    way: Way
    start: int
    end: int
    data: bytes

    @property
    def is_up(self) -> bool:
        """From the one who connected to the one who listened."""
        return self.way is self.way.connection.up

    @property
    def body(self) -> bytes:
        """What follows the fixed header."""
        return body(self.data)


def body(packet: bytes) -> bytes:
    """What follows the fixed header of a packet (2.2)."""
    at = 1
    while packet[at] & 0x80:
        at += 1
    return packet[at + 1 :]


class Cut(NamedTuple):
    """A fault at a packet. `where`: before, inside or after it. `how`: as Connection.cut, or "none".

    `then`: called when it happens, in the sender's place; it may kill a process or cut its power.
    """

    where: str
    how: str = "reset"
    then: Callable[[], object] | None = None

    def offset(self, packet: Packet, chance: Random) -> int:
        """The byte before which the way is cut."""
        if self.where == "inside":
            return chance.randrange(packet.start + 1, packet.end)
        if self.where not in ("before", "after"):
            raise ValueError(f"a cut {self.where!r} a packet: it is before, inside or after")
        return packet.start if self.where == "before" else packet.end


class Packets:
    """Watches all connections of a network. `count`: packets until now. `on_packet`: called with each Packet when a
    program has written all of it, before any of what was written leaves; says whether and where to cut.

    Each packet is an entry in the world's trace and adds to its `reached`: "PUBREC client to broker".
    """

    def __init__(self, network: Network, on_packet: Callable[[Packet], Cut | None] | None = None) -> None:
        self.on_packet = on_packet
        self.count = 0
        self._world = network.world
        self._ways: dict[Way, PacketReader] = {}
        network.observer = self

    def written(self, way: Way, data: bytes) -> None:
        """As network.Observer."""
        reader = self._ways.get(way)
        if reader is None:
            if len(self._ways) > 1000:
                self._ways = {way: reader for way, reader in self._ways.items() if not way.source.is_over}
            reader = self._ways[way] = PacketReader()
        world = self._world
        for kind, start, end, packet_bytes in reader.read(data):
            self.count += 1
            reader.count += 1
            world.note(way.name, kind)
            world.reach(f"{kind} {way.source.process.name} to {way.sink.process.name}")
            if self.on_packet:
                packet = Packet(kind, self.count, reader.count, way, start, end, packet_bytes)
                if world.ask(self._decide, packet):
                    return

    def _decide(self, packet: Packet) -> bool:
        cut = self.on_packet(packet) if self.on_packet else None
        if cut:
            packet.way.cut_at(cut.offset(packet, self._world.random), cut.how, cut.then)
        return cut is not None


class PacketReader:
    """The packets of one way. `fed`: bytes until now. `is_mqtt`: whether all of them were."""

    def __init__(self) -> None:
        self.fed = 0
        self.is_mqtt = True
        self.count = 0  # of the packets that somebody has looked at
        self._parser = Parser(SIZE_MAX)
        self._at = 0  # where the next packet starts

    def read(self, data: bytes) -> list[tuple[str, int, int, bytes]]:
        """(kind, start, end, bytes) of all packets that `data` completes."""
        self.fed += len(data)
        found: list[tuple[str, int, int, bytes]] = []
        parser = self._parser
        try:
            if self.is_mqtt:
                parser.feed(data)
            while self.is_mqtt and (first := parser.next()):
                end = self.fed - len(parser.buf) + parser.end
                whole = bytes(parser.buf[parser.end - (end - self._at) : parser.end])
                found.append((NAMES[first >> 4], self._at, end, whole))
                self._at = end
        except ProtocolError:
            self.is_mqtt = False
        return found
