"""A broker's engine with clients made of bytes: no sockets, and a clock that the test sets.

world = World()
a = world.connect("a")
a.subscribe("t", 1)
world.connect("b").publish("t", b"x", qos=1)
assert a.messages() == [("t", b"x", 1, False)]
"""

import itertools
from typing import Any

from mqttlite.broker.access.authentication import Authenticate
from mqttlite.broker.engine import Engine
from mqttlite.broker.limits import Limits
from tests.core.packets import Packet, decode, encode


class Wire:
    """One network connection, seen from the client's end."""

    def __init__(self, world: "World", address: str) -> None:
        self.world = world
        self.closed = False  # by the broker
        self.unwritten = 0  # bytes that the broker's write buffer is said to hold
        self._bytes = bytearray()
        self._ids = itertools.count(1)
        self.peer = world.engine.open(address, world.now)
        self.peer.handle = self
        self.peer.unwritten = lambda: self.unwritten
        world.flush()

    @property
    def read(self) -> bool:
        """Whether the broker reads this connection."""
        return not self.peer.is_full

    @property
    def held(self) -> bool:
        """Whether what this client publishes has to wait."""
        return bool(self.peer.waits_for)

    def take(self, data: bytes) -> None:
        """The broker writes."""
        self._bytes += data

    def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.world.engine.receive(self.peer, data, self.world.now)
        self.world.flush()

    def send(self, kind: str, **fields: Any) -> None:
        """Send one packet."""
        self.raw(encode(Packet(kind, fields)))

    def packets(self) -> list[Packet]:
        """Everything that arrived since the last call."""
        data, self._bytes = bytes(self._bytes), bytearray()
        return decode(data)

    def kinds(self) -> list[str]:
        return [packet.kind for packet in self.packets()]

    def messages(self) -> list[tuple[str, bytes, int, bool]]:
        """(topic, payload, QoS, RETAIN) of each PUBLISH that arrived since the last call; others are passed over."""
        found = [fields for kind, fields in self.packets() if kind == "publish"]
        return [(f["topic"], f["payload"], f["qos"], f["retain"]) for f in found]

    def payloads(self) -> list[bytes]:
        return [payload for _, payload, _, _ in self.messages()]

    def finish(self) -> list[bytes]:
        """Read and acknowledge until nothing more comes; the payloads, in order."""
        payloads = []
        while packets := self.packets():
            for kind, fields in packets:
                if kind == "publish":
                    payloads.append(fields["payload"])
                    if fields["qos"]:
                        self.send("puback" if fields["qos"] == 1 else "pubrec", packet_id=fields["packet_id"])
                elif kind == "pubrec":
                    self.send("pubrel", packet_id=fields["packet_id"])
                elif kind == "pubrel":
                    self.send("pubcomp", packet_id=fields["packet_id"])
        return payloads

    def subscribe(self, *topic_filters: str, qos: int = 0) -> list[int]:
        """The return codes. What else arrived stays to be read."""
        packet_id = next(self._ids)
        before = len(self._bytes)
        self.send("subscribe", packet_id=packet_id, subscriptions=[(f, qos) for f in topic_filters])
        suback = decode(bytes(self._bytes[before:]))[0]
        assert suback.kind == "suback"
        assert suback.fields["packet_id"] == packet_id
        del self._bytes[before : before + 4 + len(topic_filters)]
        codes: list[int] = suback.fields["codes"]
        return codes

    def unsubscribe(self, *topic_filters: str) -> None:
        self.send("unsubscribe", packet_id=next(self._ids), topic_filters=list(topic_filters))

    def publish(
        self,
        topic: str,
        payload: bytes = b"",
        *,
        qos: int = 0,
        retain: bool = False,
        dup: bool = False,
        packet_id: int = 0,
    ) -> int:
        """Send a message; its packet identifier."""
        packet_id = packet_id or (next(self._ids) if qos else 0)
        fields = {"topic": topic, "payload": payload, "qos": qos, "retain": retain, "dup": dup, "packet_id": packet_id}
        self.send("publish", **fields)
        return packet_id

    def disconnect(self) -> None:
        self.send("disconnect")

    def cut(self) -> None:
        """The network connection is lost."""
        self.world.engine.lost(self.peer, "cut by the test", self.world.now)
        self.peer.handle = None
        self.world.flush()

    def writable(self, writable: bool) -> None:
        """The broker's write buffer for this connection is full, or has room again."""
        self.world.engine.set_writable(self.peer, writable, self.world.now)
        self.world.flush()


class World:
    """The engine and its clock (`now`, ms). Its clients are as silent as they say, if no limit says otherwise."""

    def __init__(self, *, authenticate: Authenticate | None = None, **limits: Any) -> None:
        self.engine = Engine(Limits(**{"keep_alive_ms": 0} | limits), authenticate=authenticate)
        self.now = 1000
        self.stats = self.engine.stats

    def open(self, address: str = "somewhere") -> Wire:
        """A network connection without CONNECT."""
        return Wire(self, address)

    def connect(
        self, client_id: str = "", clean: bool = True, *, code: int = 0, present: bool = False, **more: Any
    ) -> Wire:
        """A client, after CONNACK with `code` and session present as `present` says."""
        wire = self.open(f"address of {client_id}")
        fields = {"keep_alive_s": 0, "username": None, "password": None, "will": None} | more
        wire.send("connect", client_id=client_id, clean_session=clean, **fields)
        kind, connack = decode(bytes(wire._bytes))[0]
        del wire._bytes[:4]
        assert (kind, connack["code"], connack["session_present"]) == ("connack", code, present)
        return wire

    def wait(self, ms: int) -> None:
        """Time passes, and the broker looks at its deadlines."""
        self.now += ms
        self.engine.tick(self.now)
        self.engine.end_holds(self.now)
        self.flush()

    def flush(self, turns: int = 1000) -> None:
        """What the shell does: write, close, and go on in the next turn of the loop, at most `turns` times."""
        engine = self.engine
        while engine.dirty or (engine.busy and turns):
            peers = list(engine.dirty)
            engine.dirty.clear()
            for peer in peers:
                wire = peer.handle
                if wire is None:
                    continue
                data = b"".join(peer.out)
                peer.written += len(data)
                engine.stats.bytes_sent += len(data)
                wire.take(data)
                peer.out.clear()
                peer.paused = peer.is_full
                if peer.closed_because:
                    wire.closed = True
                    peer.handle = None
                    engine.lost(peer, "", self.now)
            if engine.busy and turns:
                turns -= 1
                engine.go_on(self.now)
