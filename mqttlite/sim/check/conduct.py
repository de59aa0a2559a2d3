"""Whether both ends keep the rules of the standard that an observer of their packets can see.

Looks at what is written, in the order of writing; what is still under way, or lost, counts as written. So it finds
fault only with what no loss explains. Sessions are told apart by client identifier, over all connections.
"""

from typing import TYPE_CHECKING

from ...core.versions import read_connect

if TYPE_CHECKING:
    from ..net.packets import Packet
    from ..net.streams import Way
    from ..world import World
    from .facts import Facts

WINDOW = 20  # messages that may be sent and not finished, in 3.1.1
CONNECTS_MAX = 20  # attempts of one process in a second: more than with the shortest pause between two of them


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

    `may_forget`: a broker has lost its disk. `may_repeat`: what was published before may be published again, as a new
    message.
    """

    def __init__(self, facts: "Facts") -> None:
        self._facts = facts
        self._clients: dict[Way, str] = {}  # of both ways of a connection
        self._connected: set[Way] = set()  # ways up on whose connection CONNACK has been written
        self._this: dict[Way, set[int]] = {}  # identifiers published on this connection
        self._sessions: dict[tuple[str, bool], _Sender] = {}
        self._announced: set[str] = set()  # clients that were told of something that their session at the broker holds
        self.connects = 0
        self._forgetful: set[str] = set()  # who has lost its store, and not connected since
        self.may_forget = self.may_repeat = False

    def see(self, packet: "Packet") -> None:
        """A packet has been written."""
        kind, way, data = packet.kind, packet.way, packet.data
        up = packet.is_up
        connection = way.connection
        if kind == "CONNECT":
            self.connects += 1
            connect = read_connect(packet.body, 0, len(packet.body))
            self._clients[connection.up] = self._clients[connection.down] = str(connect.client_id, "utf-8")
            client = self._clients[way]
            if connect.clean_session:
                self._forget(way)
                self._announced.discard(client)
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
                self._announced.add(client)
            elif not data[3]:
                if client in self._announced:
                    self._find(packet, client, "the broker has forgotten the session")
                    self._announced.discard(client)
                self._forget(way)
        elif kind == "PUBLISH" and data[0] & 6:
            self._publish(packet, client, up)
        elif kind == "SUBACK":
            self._announced.add(client)
        elif kind in ("PUBACK", "PUBREC", "PUBCOMP"):
            if not up:
                self._announced.add(client)
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

    def client(self, packet: "Packet") -> str:
        """Whose connection it is, by client identifier."""
        return self._clients.get(packet.way, "")

    def lost(self, client: str) -> None:
        """A client has lost its store: identifiers that it does not know any more say nothing about its next life."""
        self._sender(client, True).clear()
        self._forgetful.add(client)

    def _publish(self, packet: "Packet", client: str, up: bool) -> None:
        sender = self._sender(client, up)
        data, content = packet.data, packet.body
        length = int.from_bytes(content[:2], "big")
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

    def _forget(self, way: "Way") -> None:
        """The session is a new one."""
        client = self._clients.get(way, "")
        for up in (True, False):
            self._sender(client, up).clear()

    def _find(self, packet: "Packet", client: str, what: str) -> None:
        if what.startswith("sent again") and self.may_repeat and not packet.is_up:
            return
        if "forgotten the session" in what and self.may_forget:
            return
        self._facts.noticed.append(f"{what} ({packet.way.name}, client '{client}', packet {packet.serial})")


def in_trace(world: "World") -> list[str]:
    """What the trace of a world tells, all of which has to be there: processes that tried to connect more often than
    CONNECTS_MAX times in one second, and clients that say that they have a fault.
    """
    found = []
    times: dict[str, list[int]] = {}
    for at, lane, kind, text in world.trace:
        if kind == "connect":
            times.setdefault(lane, []).append(at)
        elif kind == "warning" and "internal error" in str(text):
            found.append(f"{lane}: {text!s}")
    for lane, attempts in times.items():
        if any(late - early < 1_000_000_000 for early, late in zip(attempts, attempts[CONNECTS_MAX:], strict=False)):
            found.append(f"{lane} connects more than {CONNECTS_MAX} times in a second")
    return found
