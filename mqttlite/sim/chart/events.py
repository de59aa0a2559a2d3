"""A world's trace, read for people: packets with their arrivals, lives and deaths, commits, and what was in doubt.

Reads nothing but the trace (world.py): bytes that were written are taken apart into MQTT packets here, and a packet has
arrived when as many bytes have. What the trace does not say, a chart does not show.
"""

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from ...core.errors import ProtocolError
from ...core.keys import unwrap
from ...core.properties import split
from ...core.versions import read_connect
from ..net.packets import PacketReader, body
from .doubt import Doubts

GROUPS = {  # of events, as they can be filtered
    "message": "PUBLISH",
    "ack": "acknowledgements",
    "connection": "connecting, pings",
    "line": "serial frames",
    "fault": "faults, restarts",
    "app": "application",
    "disk": "disks",
    "network": "network",
    "log": "log",
}
SHOWN = 24  # characters of a payload
STARTS = 60  # bytes of a payload that tell messages apart
_WAY = re.compile(r"(.+):(\d+)-(.+):([^:]+?)(?: (up|down))?")
_LINE = re.compile(r"([^:]+):(/[^ ]+)(?: to (.+))?")
_FRAME_NS = 12_000_000  # a frame that comes so much later than its bytes take is lost
_BITS = 10  # of a byte on a serial line
_LOG = ("debug", "info", "warning", "error", "critical")
_SOCKETS = ("connect", "connected", "listen", "lost")
_DEATHS = ("kill", "power cut", "end")
_DISK = ("write", "truncate", "sync", "create", "delete", "rename", "sync directory")


@dataclass
class Event:
    """Something that happened, at `at` ns on a lane. `label`: short, for the chart; `detail`: for the list.

    `is_drawn`: whether it is in the chart; the list has all. `order`: its place in the trace.
    """

    at: int
    order: int
    lane: str
    group: str
    kind: str
    label: str
    detail: str = ""
    is_drawn: bool = True
    to: str = ""  # the other lane, of what concerns two
    number: int = 0  # from the first of the trace


@dataclass
class Arrow(Event):
    """A packet, from `lane` to `to`. `arrived`: -1 when it did not. `why`: what ended its connection then.

    `topic`, `start` (of the payload, as text): of PUBLISH. `client`: its identifier, of CONNECT.
    """

    connection: str = ""
    client: str = ""
    packet_id: int = 0
    topic: str = ""
    start: str = ""
    payload: str = ""
    is_repeat: bool = False
    arrived: int = -1
    arrival_order: int = 0
    why: str = ""  # "": it may still arrive
    stays: bool = False  # its sender was gone before any of it had left


@dataclass
class Life:
    """A process lives from `begin` to `end` ns (-1: still). `how` it ended."""

    lane: str
    begin: int
    order: int
    end: int = -1
    end_order: int = 0
    how: str = ""


@dataclass
class _Way:
    """One direction of a connection."""

    source: str
    sink: str
    packets: PacketReader = field(default_factory=PacketReader)
    arrived: int = 0
    under_way: deque[tuple[int, int, Arrow]] = field(default_factory=deque)  # first byte, last byte + 1


class Story:
    """What a trace tells: `events` in order, `bands`, `lives`, and `lanes` as messages flow."""

    def __init__(self, trace: Iterable[tuple[int, str, str, str | bytes]]) -> None:
        self.events: list[Event] = []
        self.lives: list[Life] = []
        self._seen: dict[str, None] = {}  # lanes, as they appear
        self._flows: dict[tuple[str, str], None] = {}
        self._ways: dict[str, _Way] = {}
        self._over: dict[str, str] = {}  # connections, and what has ended them
        self._versions: dict[str, int] = {}  # of MQTT, by connection
        self._doubts = Doubts()
        # Under way on a serial line: size, when its last byte has left, the frame.
        self._frames: dict[str, deque[tuple[int, int, Arrow]]] = {}
        self._baud: dict[str, int] = {}  # of serial ports
        self._frame_bytes: dict[str, int] = {}  # that have arrived of the first of them
        self._alive: dict[str, Life] = {}
        self._unsynced: dict[str, list[str]] = {}  # by disk: what was done since the last sync
        entries = sorted(trace, key=lambda entry: entry[0])  # what waits for a disk is noted ahead of its time
        self.end = entries[-1][0] if entries else 0
        for order, (at, lane, kind, text) in enumerate(entries):
            self._read(at, order, lane, kind, text)
        for frames in self._frames.values():
            for _, due, arrow in frames:
                if self.end - due > _FRAME_NS:
                    arrow.why = "noise, or nobody listened"
        self.events.sort(key=lambda event: (event.at, event.order))
        for number, event in enumerate(self.events):
            event.number = number
        self.bands = self._doubts.bands
        self.lanes = self._in_order()

    @property
    def disks(self) -> set[str]:
        """Names of the processes whose disks are written to in the chart."""
        return {event.lane for event in self.events if event.group == "disk" and event.is_drawn}

    def since(self, begin: int) -> None:
        """Forget what was before `begin` (ns), but for the lives that go on."""
        self.events = [event for event in self.events if event.at >= begin]
        self.bands = [band for band in self.bands if band.end < 0 or band.end >= begin]
        self.lives = [life for life in self.lives if life.end < 0 or life.end >= begin]

    # -- entries

    def _read(self, at: int, order: int, lane: str, kind: str, text: str | bytes) -> None:
        words = text if isinstance(text, str) else ""
        match = _WAY.fullmatch(lane)
        if match and match[5]:
            if isinstance(text, bytes):
                self._written(at, order, lane, match, text)
            elif kind == "arrive":
                self._arrived(at, order, lane, int(words))
            elif kind in ("fin", "reset"):
                sink = match[3] if match[5] == "up" else match[1]
                said = f"connection {match[2]}: " + ("reset" if kind == "reset" else "the other end has closed it")
                self._add(Event(at, order, sink, "network", kind, said, is_drawn=False))
                self._end(lane.rpartition(" ")[0], "the connection is over")
        elif match:
            self._end(lane, f"the connection was cut ({words})")
            said = f"connection {match[2]}"
            self._add(Event(at, order, match[1], "fault", "cut", f"cut: {words}", said, to=match[3]))
        elif lane == "network":
            first, _, second = words.partition(" ")
            self._add(Event(at, order, first, "fault", kind, kind, f"between {first} and {second}", to=second))
        elif serial := _LINE.fullmatch(lane):
            self._line(at, order, lane, serial, kind, words)
        elif lane == "fault":  # what a scenario has ordered; what comes of it follows
            self._add(Event(at, order, lane, "fault", kind, words, is_drawn=False))
        elif lane.endswith(" disk") and kind in _DISK:
            self._disk(at, order, lane.removesuffix(" disk"), kind, words)
        else:
            self._process(at, order, lane, kind, words)

    def _end(self, connection: str, why: str) -> None:
        """What is under way on a connection, and what follows, may not arrive any more."""
        self._over.setdefault(connection, why)
        for direction in (" up", " down"):
            if way := self._ways.get(connection + direction):
                _lose(way, why)

    def _add(self, event: Event) -> None:
        self.events.append(event)
        self._seen.setdefault(event.lane)

    def _process(self, at: int, order: int, lane: str, kind: str, text: str) -> None:
        if kind == "start":
            self._alive[lane] = life = Life(lane, at, order)
            self.lives.append(life)
            again = text not in ("", "1")
            label = f"starts again (life {text})" if again else "starts"
            self._add(Event(at, order, lane, "fault", kind, label, is_drawn=again))
        elif kind in _DEATHS or kind.startswith("failed: "):
            self._died(at, order, lane, kind)
        elif kind == "stall":
            self._add(Event(at, order, lane, "fault", kind, f"stalls {text}", f"does nothing for {text}"))
        elif kind in _LOG:
            self._add(Event(at, order, lane, "log", kind, f"{kind}: {text}", is_drawn=False))
        elif kind in _SOCKETS:
            self._add(Event(at, order, lane, "network", kind, _socket(kind, text), is_drawn=False))
        else:
            if kind == "settled":
                self._doubts.settled((at, order), lane, _quoted(text))
            self._add(Event(at, order, lane, "app", kind, f"{kind} {_quoted(text)}" if text else kind, text))

    def _died(self, at: int, order: int, lane: str, how: str) -> None:
        life = self._alive.pop(lane, None)
        if life:
            life.end, life.end_order, life.how = at, order, how
        detail = ""
        lost = self._unsynced.pop(lane, [])
        if how == "power cut" and lost:
            detail = f"on its disk, {len(lost)} operations were not synced: each sector of them is kept or lost"
        label = {"kill": "killed", "power cut": "power cut", "end": "ends"}.get(how, how)
        self._add(Event(at, order, lane, "fault", how, label, detail, is_drawn=how != "end"))
        for name, way in self._ways.items():
            if lane in (way.source, way.sink):
                self._over.setdefault(name.rpartition(" ")[0], f"{lane}: {label}")
                _lose(way, f"{lane}: {label}", at if way.source == lane else -1)

    # -- disks

    def _disk(self, at: int, order: int, lane: str, kind: str, text: str) -> None:
        if kind != "sync":
            self._unsynced.setdefault(lane, []).append(text)
            self._add(Event(at, order, lane, "disk", kind, kind, text, is_drawn=False))
            return
        operations = self._unsynced.pop(lane, [])
        size = sum(int(found[1]) for one in operations if (found := re.search(r"\+(\d+)$", one)))
        label = "commit" if text.endswith(("-wal", "-journal")) else "sync"
        self._add(Event(at, order, lane, "disk", "sync", label, f"{text}: {len(operations)} operations, {size} bytes"))

    # -- serial lines

    def _line(self, at: int, order: int, lane: str, match: "re.Match[str]", kind: str, text: str) -> None:
        """Of a serial line the trace has only how much: which frame has arrived is told by sizes and times."""
        host, path, to = match.groups()
        frames = self._frames.setdefault(lane, deque())
        if kind in ("part", "join", "unplug", "plug"):
            label = {"part": "line cut", "join": "line mended", "unplug": "unplugged", "plug": "plugged in"}[kind]
            self._add(Event(at, order, host, "fault", kind, label, path, to=to or ""))
        elif not to:
            if kind == "open":
                self._baud[lane] = int(text)
            self._add(Event(at, order, host, "network", kind, f"{path}: {kind} {text}".rstrip(), is_drawn=False))
        elif kind != "arrive":
            arrow = Arrow(at, order, host, "line", kind, f"{kind} {text} bytes", path, to=to)
            begin = max(at, frames[-1][1]) if frames else at
            baud = self._baud.get(f"{host}:{path}", 9600)
            frames.append((int(text), begin + int(text) * _BITS * 1_000_000_000 // baud, arrow))
            self._add(arrow)
            self._seen.setdefault(to)
            if kind == "DATA":
                self._flows.setdefault((host, to))
        else:
            while frames and at - frames[0][1] > _FRAME_NS:
                frames.popleft()[2].why = "noise, or nobody listened"
                self._frame_bytes[lane] = 0
            if frames and int(text) <= frames[0][0] * 3 // 2:
                came = self._frame_bytes.get(lane, 0) + int(text)
                if 10 * came >= 9 * frames[0][0]:
                    arrow = frames.popleft()[2]
                    arrow.arrived, arrow.arrival_order, came = at, order, 0
                self._frame_bytes[lane] = came

    # -- packets

    def _written(self, at: int, order: int, name: str, match: "re.Match[str]", data: bytes) -> None:
        way = self._ways.get(name)
        if way is None:
            ends = (match[1], match[3]) if match[5] == "up" else (match[3], match[1])
            way = self._ways[name] = _Way(*ends)
        before = way.packets.fed
        connection = name.rpartition(" ")[0]
        for kind, start, end, whole in way.packets.read(data):
            self._leaves(way, connection, start, end, self._packet(at, order, way, connection, kind, whole))
        if not way.packets.is_mqtt:
            arrow = Arrow(at, order, way.source, "message", "bytes", f"{len(data)} bytes", "not MQTT", to=way.sink)
            self._leaves(way, connection, before, way.packets.fed, arrow)

    def _leaves(self, way: _Way, connection: str, start: int, end: int, arrow: Arrow) -> None:
        way.under_way.append((start, end, arrow))
        arrow.why = self._over.get(connection, "")
        self._add(arrow)
        self._seen.setdefault(arrow.to)

    def _packet(self, at: int, order: int, way: _Way, connection: str, kind: str, whole: bytes) -> Arrow:
        rest = body(whole)
        version = self._versions.get(connection, 4)
        group = "ack" if kind in ("PUBACK", "PUBREC", "PUBREL", "PUBCOMP") else "connection"
        arrow = Arrow(at, order, way.source, group, kind, kind, to=way.sink, connection=connection)
        if kind == "PUBLISH":
            self._publish(arrow, whole[0], rest, version)
        elif group == "ack" or kind in ("SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK"):
            arrow.packet_id = int.from_bytes(rest[:2], "big")
            arrow.label = f"{kind} {arrow.packet_id}"
            if version == 5 and group == "ack" and len(rest) > 2 and rest[2]:
                arrow.label += f" reason {rest[2]:#04x}"
        elif kind == "CONNECT" and len(rest) > 7:
            self._versions[connection] = rest[6]
            arrow.client = _client_id(rest)
            arrow.detail = "clean session" if rest[7] & 2 else "resumes its session"
        elif kind == "CONNACK" and len(rest) > 1:
            present = "session present" if rest[0] & 1 else "no session"
            arrow.label = f"CONNACK {f'refused ({rest[1]})' if rest[1] else present}"
            if not rest[0] & 1 and not rest[1]:
                self._doubts.forgets((at, order), way.source, way.sink)
        return arrow

    def _publish(self, arrow: Arrow, first: int, body: bytes, version: int) -> None:
        arrow.group = "message"
        qos = first >> 1 & 3
        at = 2 + int.from_bytes(body[:2], "big")
        topic = body[2:at].decode(errors="backslashreplace")
        if qos:
            arrow.packet_id = int.from_bytes(body[at : at + 2], "big")
            at += 2
        payload = body[at:]
        key = ""
        if version == 5:
            payload = split(payload)[1]
        elif opened := unwrap(payload):
            (producer, epoch, number), payload = opened
            key = f"key {producer.decode(errors='replace')}/{epoch}/{number}"
        arrow.topic, arrow.start = topic, payload[:STARTS].decode(errors="backslashreplace")
        arrow.payload = _quoted(payload.decode(errors="backslashreplace"))
        arrow.is_repeat = bool(first & 8)
        words = [
            "PUBLISH",
            str(arrow.packet_id) if qos else "",
            f"QoS {qos}",
            "DUP" if first & 8 else "",
            "RETAIN" if first & 1 else "",
            "+key" if key else "",
            arrow.payload,
        ]
        arrow.label = " ".join(word for word in words if word)
        arrow.detail = f"topic {topic}, {len(payload)} bytes" + (f", {key}" if key else "")
        self._flows.setdefault((arrow.lane, arrow.to))
        if qos:
            content = f"{topic}\n{arrow.payload}"
            when = (arrow.at, arrow.order)
            self._doubts.sends(when, arrow.lane, arrow.to, arrow.packet_id, content, arrow.payload)

    def _arrived(self, at: int, order: int, name: str, size: int) -> None:
        way = self._ways.get(name)
        if way is None:
            return
        way.arrived += size
        while way.under_way and way.under_way[0][1] <= way.arrived:
            arrow = way.under_way.popleft()[2]
            arrow.arrived, arrow.arrival_order, arrow.stays, arrow.why = at, order, False, ""
            arrow.detail = arrow.detail.partition(" (of it")[0]
            if arrow.group == "ack":
                self._doubts.acknowledged((at, order), arrow.to, arrow.lane, arrow.packet_id, arrow.kind)
            elif arrow.kind == "CONNACK" and "no session" in arrow.label:
                self._doubts.session_lost((at, order), arrow.to, arrow.lane)
        if way.under_way and way.under_way[0][0] < way.arrived:
            _, end, arrow = way.under_way[0]
            arrow.stays = False
            arrow.detail = f"{arrow.detail.partition(' (of it')[0]} (of it, {end - way.arrived} bytes are missing)"

    # -- lanes

    def _in_order(self) -> list[str]:
        """Lanes from where messages come from to where they go; those that no message passes come last."""
        after: dict[str, list[str]] = {lane: [] for flow in self._flows for lane in flow}
        for source, sink in self._flows:
            after[sink].append(source)
            try:
                TopologicalSorter(after).prepare()
            except CycleError:  # messages go this way, too, but have come the other way before
                after[sink].pop()
        return [*TopologicalSorter(after).static_order(), *(lane for lane in self._seen if lane not in after)]


def _lose(way: _Way, why: str, died: int = -1) -> None:
    """What is under way may not arrive any more. `died`: when its sender did."""
    for _, _, arrow in way.under_way:
        arrow.why = arrow.why or why
        arrow.stays = arrow.at == died


def _socket(kind: str, text: str) -> str:
    """What a process does with a connection, in words."""
    if kind == "connect":
        number, _, where = text.partition(" ")
        return f"connects to {where} (connection {number})"
    if kind == "listen":
        return f"listens at {text}"
    name, _, error = text.partition(" ")
    match = _WAY.fullmatch(name)
    number = match[2] if match else name
    error = error.partition(" ")[2]
    return f"connection {number} is open" if kind == "connected" else f"connection {number} is over {error}".rstrip()


def _client_id(connect: bytes) -> str:
    """The client identifier in the body of CONNECT; "" when that is none."""
    try:
        return str(read_connect(connect, 0, len(connect)).client_id, "utf-8", "backslashreplace")
    except ProtocolError:
        return ""


def _quoted(text: str) -> str:
    text = text if text.isprintable() else ascii(text)[1:-1]
    return f"“{text[:SHOWN]}…”" if len(text) > SHOWN else f"“{text}”"
