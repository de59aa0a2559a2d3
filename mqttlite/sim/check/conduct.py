"""Whether both ends keep the rules of the standard that an observer of their packets can see.

Looks at what is written, in the order of writing; what is still under way, or lost, counts as written. So it finds
fault only with what no loss explains. Sessions are told apart by client identifier, over all connections.
"""

from collections import Counter
from collections.abc import Callable

from ...core.greeting import MQTT_3_1, MQTT_3_1_1, MQTT_5_0
from ...core.properties import TOPIC_ALIAS, check_properties, without, without_expiry
from ...core.session import WINDOW
from ...core.versions import read_connect
from ..net.packets import Packet
from ..net.streams import Way

ANY = bytes(range(0x2B))  # properties
BRIDGE_BIT = 0x80  # of the protocol level of 3.1.1: Mosquitto's, for bridges
LEVELS = bytes((MQTT_3_1, MQTT_3_1_1, MQTT_5_0))


def comparable(content: bytes, aliases: dict[int, bytes], up: bool) -> bytes:
    """What of the body of a PUBLISH at QoS 1 or 2 of 5.0 is the same whenever it is sent again: its topic has an alias
    or not, the time that it has left changes; and a broker sends the same message in either version, so that nothing of
    its properties counts there, while those of a client have its key. `aliases`: of the way. b"": it has an alias that
    was set behind a cut, where nothing is seen; nor does this one get through.
    """
    found: dict[int, int | bytes] = {}
    at = 4 + int.from_bytes(content[:2], "big")
    begin, end = check_properties(content, at, len(content), ANY, found)
    topic = content[: at - 2]
    alias = found.get(TOPIC_ALIAS, 0)
    if isinstance(alias, int) and alias:
        if len(topic) == 2 and alias not in aliases:
            return b""
        topic = aliases[alias] = topic if len(topic) > 2 else aliases[alias]
    kept = without(without_expiry(content[begin:end]), TOPIC_ALIAS) if up else b""
    return topic + content[at - 2 : at] + kept + content[end:]


class _Sender:
    """One direction of a session: what has been sent and is not finished, by packet identifier."""

    def __init__(self) -> None:
        self.open: dict[int, bytes] = {}  # what was published (topic, identifier, payload)
        self.owned: set[int] = set()  # PUBREC was written, so it may be released
        self.released: set[int] = set()  # PUBREL was written
        self.ended: dict[int, bytes] = {}  # the answer that ends it is written, and may be lost

    def clear(self) -> None:
        self.open.clear()
        self.owned.clear()
        self.released.clear()
        self.ended.clear()


class Conduct:
    """Use: `packets.on_packet = lambda packet: conduct.see(packet) or fault(packet)`.

    What it finds goes into `noticed`, unless it is `excused` (packet, client, what); `found` has when (ns) and of which
    client. `connections`: how often each client has connected. `may_repeat`: what was published before may be published
    again, as a new message.
    """

    def __init__(
        self, noticed: list[str], excused: Callable[[Packet, str, str], bool] = lambda packet, client, what: False
    ) -> None:
        self.found: dict[str, tuple[int, str]] = {}
        self.connections: Counter[str] = Counter()
        self.may_repeat = False
        self.content = b""  # of the PUBLISH that was looked at last, to be compared
        self._noticed = noticed
        self._excused = excused
        self._clients: dict[Way, str] = {}  # of both ways of a connection
        self._levels: dict[Way, int] = {}  # of the protocol, of both ways of a connection
        self._aliases: dict[Way, dict[int, bytes]] = {}  # topics by topic alias
        self._connected: set[Way] = set()  # ways up on whose connection CONNACK has been written
        self._this: dict[Way, set[int]] = {}  # identifiers published on this connection
        self._sessions: dict[tuple[str, bool], _Sender] = {}
        self._announced: dict[str, str] = {}  # clients that were told of what their session holds, and its broker
        self._forgetful: set[str] = set()  # who has lost its store, and not connected since

    def see(self, packet: Packet) -> None:
        """A packet has been written."""
        kind, way, data = packet.kind, packet.way, packet.data
        up = packet.is_up
        connection = way.connection
        if kind == "CONNECT":
            body = packet.body
            if body[6] & BRIDGE_BIT:  # who refuses that sees the same without it next
                body = body[:6] + bytes((body[6] & ~BRIDGE_BIT,)) + body[7:]
            connect = read_connect(body, 0, len(body), LEVELS)
            for each in (connection.up, connection.down):
                self._levels[each] = connect.level
            self._clients[connection.up] = self._clients[connection.down] = str(connect.client_id, "utf-8")
            client = self._clients[way]
            self.connections[client] += 1
            if connect.clean_session:
                self._forget(way)
                self._announced.pop(client, None)
            if client in self._forgetful:
                self._forgetful.discard(client)
                self._sender(client, True).clear()
            return
        client = self.client(packet)
        if up and connection.up not in self._connected:
            self._find(packet, client, f"{kind} before CONNACK")
        if kind == "CONNACK":
            self._connected.add(connection.up)
            if data[2] & 1:
                self._announced[client] = connection.hosts[1]
            elif not data[3]:
                if self._announced.pop(client, None):
                    self._find(packet, client, "the broker has forgotten the session")
                self._forget(way)
        elif kind == "PUBLISH" and data[0] & 6:
            self._publish(packet, client, up)
        elif kind == "PUBLISH" and self._levels.get(way) == MQTT_5_0:  # its alias may be that of others
            at = 2 + int.from_bytes(packet.body[:2], "big")
            comparable(packet.body[:at] + b"\0\0" + packet.body[at:], self._aliases.setdefault(way, {}), up)
        elif kind == "SUBACK":
            self._announced[client] = connection.hosts[1]
        elif kind in ("PUBACK", "PUBREC", "PUBCOMP"):
            if not up:
                self._announced[client] = connection.hosts[1]
            sender = self._sender(client, not up)
            number = int.from_bytes(data[2:4], "big")
            if kind == "PUBREC":
                sender.owned.add(number)
            elif number in sender.open:
                sender.ended[number] = sender.open[number]
        elif kind == "PUBREL":
            sender = self._sender(client, up)
            number = int.from_bytes(data[2:4], "big")
            if number in sender.open and number not in sender.owned:
                self._find(packet, client, f"PUBREL {number} before PUBREC")
            sender.released.add(number)

    def client(self, packet: Packet) -> str:
        """Whose connection it is, by client identifier."""
        return self._clients.get(packet.way, "")

    def published(self, client: str, number: int, up: bool = True) -> bytes:
        """What a client has published under an identifier, to be compared; what its broker has, if not `up`."""
        return self._sender(client, up).open.get(number, b"")

    def has_ended(self, client: str) -> bool:
        """Whether the answer to something that the client has published is under way, or lost."""
        return bool(self._sender(client, True).ended)

    def broker_lost(self, broker: str) -> None:
        """A broker has lost its disk: it may have forgotten all sessions."""
        self.may_repeat = True
        self._announced = {client: its for client, its in self._announced.items() if its != broker}

    def lost(self, client: str) -> None:
        """A client has lost its store: identifiers that it does not know any more say nothing about its next life."""
        self._sender(client, True).clear()
        self._forgetful.add(client)

    def _publish(self, packet: Packet, client: str, up: bool) -> None:
        sender = self._sender(client, up)
        data, content = packet.data, packet.body
        length = int.from_bytes(content[:2], "big")
        if self._levels.get(packet.way) == MQTT_5_0:
            content = comparable(content, self._aliases.setdefault(packet.way, {}), up)
            if not content:
                return
            length = int.from_bytes(content[:2], "big")
        self.content = content
        number = int.from_bytes(content[2 + length : 4 + length], "big")
        before = sender.open.get(number)
        here = self._this.setdefault(packet.way, set())
        if before is not None and before != content and number not in sender.ended:
            self._find(packet, client, f"packet identifier {number} is used again before its message is finished")
        elif before == content and number in sender.released and number not in sender.ended:
            self._find(packet, client, f"PUBLISH {number} after PUBREL")
        if before == content and not data[0] & 8 and number not in sender.ended:
            self._find(packet, client, f"PUBLISH {number} again without DUP")  # [MQTT-3.3.1-1]
        if before == content and number in here and number not in sender.ended:
            self._find(packet, client, f"PUBLISH {number} twice on one connection")
        for other, sent in sender.open.items() if up or data[0] & 4 else ():  # a broker cannot know QoS 1 again
            if other != number and other not in sender.ended and sent[4 + length :] == content[4 + length :]:
                self._find(packet, client, f"sent again with identifier {number} instead of {other}")
        if before != content:
            sender.owned.discard(number)
            sender.released.discard(number)
        sender.ended.pop(number, None)
        sender.open[number] = content
        here.add(number)
        unfinished = [n for n in here if n in sender.open and n not in sender.ended]
        if len(unfinished) > WINDOW:
            self._find(packet, client, f"{len(unfinished)} messages unfinished")

    def _sender(self, client: str, up: bool) -> _Sender:
        key = (client, up)
        sender = self._sessions.get(key)
        if sender is None:
            sender = self._sessions[key] = _Sender()
        return sender

    def _forget(self, way: Way) -> None:
        """The session is a new one."""
        client = self._clients.get(way, "")
        for up in (True, False):
            self._sender(client, up).clear()

    def _find(self, packet: Packet, client: str, what: str) -> None:
        if what.startswith("sent again") and self.may_repeat and not packet.is_up:
            return
        if not self._excused(packet, client, what):
            words = f"{what} ({packet.way.name}, client '{client}', packet {packet.serial})"
            self._noticed.append(words)
            self.found.setdefault(words, (packet.way.connection.world.now, client))
