"""When connections of clients have begun and ended, as both ends can know it: for what is counted from there."""

from ..net.network import Connection
from ..net.packets import Packet
from ..world import World
from .ledger import FOREVER


class Link:
    """A connection for which CONNACK was written at `begun` (ns). `broken`: when it ended for one of its ends, or on
    the way; `noticed`: when the broker knew, or died with it. FOREVER: not yet. `present`: it found its session.
    `ways`: the connection.
    """

    def __init__(self, ways: Connection, client: str, life: int, begun: int, present: bool) -> None:
        self.ways = ways
        self.client = client
        self.life = life
        self.begun = begun
        self.present = present
        self.broken = self.noticed = FOREVER
        self.has_left = False  # DISCONNECT was written

    def look(self, now: int) -> None:
        """Whether it has ended meanwhile."""
        ways = self.ways
        if self.broken == FOREVER and (
            ways.up.broken or ways.down.broken or ways.client.is_over or ways.server.is_over or self.has_left
        ):
            self.broken = now
        if self.noticed == FOREVER and ways.server.is_over:
            self.noticed = now


class Links:
    """Of a world, by client identifier, in order."""

    def __init__(self, world: World) -> None:
        self.of: dict[str, list[Link]] = {}
        self._world = world

    def look(self) -> None:
        """After each event."""
        now = self._world.now
        for links in self.of.values():
            for link in links[-2:]:
                if link.noticed == FOREVER:
                    link.look(now)

    def see(self, packet: Packet, client: str) -> None:
        """A packet was written."""
        if packet.kind == "CONNACK" and not packet.data[3]:
            ways = packet.way.connection
            assert isinstance(ways, Connection)
            now = self._world.now
            links = self.of.setdefault(client, [])
            for link in links:
                link.noticed = min(link.noticed, now)  # taken over
                link.broken = min(link.broken, now)
            life = ways.client.process.life
            links.append(Link(ways, client, life, now, bool(packet.data[2] & 1)))
        elif packet.kind == "DISCONNECT" and packet.is_up and self.of.get(client):
            self.of[client][-1].has_left = True
        elif packet.kind == "DISCONNECT":  # the broker has closed it [MQTT-4.13.1-1], though nobody may hear of that
            for link in self.of.get(client, []):
                if link.ways is packet.way.connection:
                    link.broken = min(link.broken, self._world.now)

    def last(self, client: str) -> Link | None:
        """The connection that a client had last."""
        links = self.of.get(client)
        return links[-1] if links else None
