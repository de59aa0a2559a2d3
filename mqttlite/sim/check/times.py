"""What 5.0 promises of time and properties, for whoever sees the packets: message expiry, the time that is left, will
delay, session expiry, and that properties arrive as they were sent.

Nothing is early, whatever happens. How late it may be is `late_ns`: what the broker's clock has lost with its power,
where it stands still then.
"""

from collections.abc import Callable
from typing import NamedTuple

from ...core.greeting import MQTT_5_0
from ...core.properties import SUBSCRIPTION_IDENTIFIER, TOPIC_ALIAS, WILL_DELAY, parted, varint, without, without_user
from ...core.versions import read_connect
from ..net.packets import Packet
from ..net.streams import Way
from ..timeline import SECOND
from .conduct import LEVELS
from .ledger import FOREVER, name_in
from .links import Link, Links

SLACK = SECOND // 10  # under way, and until the broker's loop has come to it
MILLI = SECOND // 1000  # the broker counts in them
BROKERS_OWN = (b"queue-tries", b"stream-offset", b"stream-timestamp", b"stream-id")  # user properties, besides
TICK = SECOND + SLACK  # the broker looks at sessions that end each second


class Published(NamedTuple):
    """A PUBLISH as it is written. `left_s`: its message expiry interval, -1: none. `block`: its other properties, but
    for what belongs to one connection or subscription.
    """

    topic: str
    payload: bytes
    qos: int
    is_repeat: bool
    is_retained: bool
    left_s: int
    block: bytes


def published(packet: Packet, level: int) -> Published:
    """Reads a PUBLISH of a client that speaks protocol `level`."""
    first, body = packet.data[0], packet.body
    at = 2 + int.from_bytes(body[:2], "big")
    topic = str(body[2:at], "utf-8")
    qos = first >> 1 & 3
    at += 2 if qos else 0
    left_s, block = -1, b""
    if level == MQTT_5_0:
        size, begin = varint(body, at, len(body))
        at = begin + size
        left_s, block = parted(body[begin:at])
        block = without(block, TOPIC_ALIAS)
        while block != (rest := without(block, SUBSCRIPTION_IDENTIFIER)):
            block = rest
    return Published(topic, body[at:], qos, first & 8 != 0, first & 1 != 0, left_s, block)


class Sent:
    """A message, as publishers have sent it: for the first time, and when it was at the broker for the last time (ns):
    a connection that stalls in between holds it up, and how long, nobody can know [MQTT-3.3.2-6]. `went_on_at`: when a
    subscriber was sent it for the first time; `to`: who was.
    """

    def __init__(self, first_at: int, message: Published) -> None:
        self.first_at = self.last_at = first_at
        self.way: Way | None = None  # which it is on, up to the byte `end`
        self.end = 0
        self.went_on_at = FOREVER
        self.to: set[str] = set()
        self.message = message

    def is_over(self, now: int) -> bool:
        """Whether it may have expired."""
        return 0 <= self.message.left_s * SECOND <= now - self.first_at


class Times:
    """`late_ns`: by how much the broker may be late; `client`: whose connection a packet is on. What is wrong goes
    into `noticed`.
    """

    def __init__(self, links: Links, noticed: list[str], client: Callable[[Packet], str]) -> None:
        self.links = links
        self.sent: dict[str, Sent] = {}
        self.late_ns: Callable[[], int] = lambda: 0
        self.wills: dict[str, tuple[str, int]] = {}  # by name: whose it is, delay (ns)
        self.expiry_ns: dict[str, int] = {}  # of a client's session; not there: it does not expire
        self._noticed = noticed
        self._client = client
        self._levels: dict[Way, int] = {}
        self._under_way: set[Sent] = set()

    def look(self, now: int) -> None:
        """After each event: what has arrived."""
        for sent in [each for each in self._under_way if each.way and each.way.arrived >= each.end]:
            self._under_way.discard(sent)
            sent.last_at = now

    def see(self, packet: Packet, now: int) -> None:
        """A packet was written."""
        ways = packet.way.connection
        if packet.kind == "CONNECT":
            connect = read_connect(packet.body, 0, len(packet.body), LEVELS)
            self._levels[ways.up] = self._levels[ways.down] = connect.level
            client = str(connect.client_id, "utf-8")
            if connect.level == MQTT_5_0 and connect.session_expiry_s < 0xFFFFFFFF:
                self.expiry_ns[client] = connect.session_expiry_s * SECOND
            else:
                self.expiry_ns.pop(client, None)
            if connect.will:
                topic, payload, qos, retain = connect.will
                name = name_in(str(topic, "utf-8"), payload)
                self.wills[name] = client, connect.will_delay_s * SECOND
                left_s, block = parted(without(connect.will_properties, WILL_DELAY))
                will = Published(str(topic, "utf-8"), payload, qos, False, retain, left_s, block)
                self.sent.setdefault(name, Sent(now, will))
            return
        if packet.kind == "CONNACK":
            self._connack(packet, now)
        elif packet.kind == "PUBLISH":
            message = published(packet, self._levels[packet.way])
            name = name_in(message.topic, message.payload)
            if packet.is_up:
                sent = self.sent.setdefault(name, Sent(now, message))
                sent.last_at = now
                sent.way, sent.end = packet.way, packet.end
                self._under_way.add(sent)
            elif name in self.sent:
                self.sent[name].to.add(self._client(packet))
                self._goes_on(self.sent[name], message, name, self._levels[packet.way], now)
                if name in self.wills and not message.is_repeat:
                    self._will(name, now)

    def _goes_on(self, sent: Sent, message: Published, name: str, level: int, now: int) -> None:
        """The broker sends a message to a subscriber."""
        sent.went_on_at = min(sent.went_on_at, now)
        whole_s = sent.message.left_s
        block = message.block
        for word in BROKERS_OWN:
            block = without_user(block, word)
        if level == MQTT_5_0 and block != sent.message.block:
            self._noticed.append(f"properties of {name}: {message.block!r} instead of {sent.message.block!r}")
        if whole_s < 0 or name in self.wills:  # a will's time begins when it is published
            return
        latest = sent.last_at + SLACK + whole_s * SECOND + self.late_ns()
        if now > latest and not message.is_repeat:
            self._noticed.append(f"expired: {name} was sent {(now - latest) / SECOND:.3f} s after its time was over")
        if level != MQTT_5_0:
            return
        least, most = sent.first_at + whole_s * SECOND - now, max(latest - now, 0)
        if not least - SLACK <= message.left_s * SECOND <= min(most + SECOND, whole_s * SECOND):
            left = f"{least / SECOND:.3f} to {most / SECOND:.3f}"
            self._noticed.append(f"time left: {name} has {message.left_s} s, and should have {left}")

    def _will(self, name: str, now: int) -> None:
        """A will is published [MQTT-3.1.2-8] [MQTT-3.1.3-9]."""
        client, delay = self.wills[name]
        delay = min(delay, self.expiry_ns.get(client, FOREVER))  # the end of the session releases it
        links = self.links.of.get(client, [])
        for number, link in enumerate(links):
            back = links[number + 1].begun if number + 1 < len(links) else FOREVER
            if f"{client} {link.life}" == name and now + MILLI >= link.broken + delay <= back:
                return
        self._noticed.append(f"early will: {name} was published although {_said(links, now)}")

    def may_have_ended(self, client: str, now: int) -> bool:
        """Whether the session of a client that comes back may be over."""
        link = self.links.last(client)
        expiry = self.expiry_ns.get(client, FOREVER)
        return link is None or now - link.broken >= expiry

    def _connack(self, packet: Packet, now: int) -> None:
        client = self._client(packet)
        link = self.links.last(client)
        expiry = self.expiry_ns.get(client, FOREVER)
        if packet.data[2] & 1 and link and now - link.noticed > expiry + TICK + self.late_ns():
            late = (now - link.noticed - expiry) / SECOND
            self._noticed.append(f"session expiry: {client} was told of a session that was over for {late:.3f} s")


def _said(links: list[Link], now: int) -> str:
    if not links:
        return "its client never had a connection"
    last = links[-1]
    if last.broken == FOREVER:
        return f"its client has been connected for {(now - last.begun) / SECOND:.3f} s"
    return f"the connection ended {(now - last.broken) / SECOND:.3f} s before"
