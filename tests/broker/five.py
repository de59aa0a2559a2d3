"""Clients of MQTT 5.0 in the world of test_*: packets put together here, properties by paho-mqtt's own code, so that
what the broker reads and writes is not checked by itself.

a = Five(world, "a", session_expiry=60)
a.subscribe("t", 1, no_local=True)
a.publish("t", b"x", qos=1, UserProperty=[("k", "v")])
"""

import itertools
from typing import Any, NamedTuple

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqttlite.core.properties import varint
from tests.broker.world import World

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = range(1, 12)
DISCONNECT = 14
AUTH = 15


def properties(packet: int, values: dict[str, Any]) -> bytes:
    """A block behind its length. Names as paho has them: UserProperty, MessageExpiryInterval …"""
    block = Properties(packet)
    for name, value in values.items():
        setattr(block, name, value)
    return bytes(block.pack())


def prefixed(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def packet(first: int, body: bytes) -> bytes:
    size = len(body)
    length = b""
    while size > 127:
        length += bytes((size & 127 | 128,))
        size >>= 7
    return bytes((first,)) + length + bytes((size,)) + body


class Message(NamedTuple):
    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: dict[str, Any]
    packet_id: int = 0


class Got(NamedTuple):
    kind: int
    flags: int
    body: bytes

    @property
    def reason(self) -> int:
        """Of an acknowledgement or DISCONNECT."""
        at = 0 if self.kind == DISCONNECT else 2
        return self.body[at] if len(self.body) > at else 0

    @property
    def _block(self) -> tuple[int, dict[str, Any], int]:
        """Where the properties stand, what they are, and how long."""
        at = {DISCONNECT: 1, CONNACK: 2, SUBACK: 2}.get(self.kind, 3)
        return (at, *unpacked(self.kind, self.body[at:])) if len(self.body) > at else (at, {}, 0)

    @property
    def said(self) -> str:
        """Its Reason String."""
        found: str = self._block[1].get("ReasonString", "")
        return found

    @property
    def plain(self) -> "Got":
        """The same without a Reason String."""
        at, values, size = self._block
        if not values.pop("ReasonString", ""):
            return self
        block = properties(self.kind, values) if values or self.kind in (CONNACK, SUBACK) else b""
        return self._replace(body=self.body[:at] + block + self.body[at + size :])


def unpacked(kind: int, body: bytes) -> tuple[dict[str, Any], int]:
    """Properties at the beginning of `body`, and how long they are."""
    block = Properties(kind)
    _, size = block.unpack(body)
    values = {name: value for name, value in vars(block).items() if name[0].isupper()}
    return values, size


class Five:
    """A client that speaks 5.0, connected unless `code` is another than 0."""

    def __init__(
        self,
        world: World,
        client_id: str = "",
        *,
        clean: bool = True,
        code: int = 0,
        present: bool = False,
        keep_alive_s: int = 0,
        will: tuple[str, bytes, int, bool] | None = None,
        will_properties: dict[str, Any] | None = None,
        user: str | None = None,
        password: bytes = b"",
        **values: Any,
    ) -> None:
        self.wire = world.open(f"address of {client_id}")
        self._ids = itertools.count(1)
        flags = 2 if clean else 0
        fields = prefixed(client_id.encode())
        if will:
            flags |= 4 | will[2] << 3 | will[3] << 5
            fields += properties(PacketTypes.WILLMESSAGE, will_properties or {})
            fields += prefixed(will[0].encode()) + prefixed(will[1])
        if user is not None:
            flags |= 0xC0
            fields += prefixed(user.encode()) + prefixed(password)
        start = b"\0\4MQTT\5" + bytes((flags,)) + keep_alive_s.to_bytes(2, "big")
        self.wire.raw(packet(0x10, start + properties(CONNECT, values) + fields))
        got = self.take()
        assert got[0].kind == CONNACK
        assert (got[0].body[1], got[0].body[0]) == (code, present)
        self.announced, _ = unpacked(CONNACK, got[0].body[2:])
        self.after = got[1:]

    @property
    def closed(self) -> bool:
        return self.wire.closed

    def take(self) -> list[Got]:
        """Packets that have arrived."""
        data, self.wire._bytes = bytes(self.wire._bytes), bytearray()
        found = []
        while data:
            size, at = varint(data, 1, len(data))
            found.append(Got(data[0] >> 4, data[0] & 15, data[at : at + size]))
            data = data[at + size :]
        return found

    def take_all(self) -> list[Got]:
        """With what came behind CONNACK or SUBACK."""
        got, self.after = self.after, []
        return got + self.take()

    def messages(self) -> list[Message]:
        """PUBLISH packets that have arrived; others are passed over."""
        found = []
        got, self.after = self.after + self.take(), []
        for kind, flags, body in got:
            if kind != PUBLISH:
                continue
            at = 2 + int.from_bytes(body[:2], "big")
            topic = body[2:at].decode()
            packet_id = 0
            if flags & 6:
                packet_id = int.from_bytes(body[at : at + 2], "big")
                at += 2
            values, size = unpacked(PUBLISH, body[at:])
            found.append(Message(topic, body[at + size :], flags >> 1 & 3, bool(flags & 1), values, packet_id))
        return found

    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages()]

    def subscribe(self, topic_filter: str, qos: int = 0, *, options: int = 0, **values: Any) -> int:
        """The reason code. What else arrived stays to be read."""
        packet_id = next(self._ids).to_bytes(2, "big")
        body = packet_id + properties(SUBSCRIBE, values) + prefixed(topic_filter.encode()) + bytes((options | qos,))
        self.wire.raw(packet(0x82, body))
        code = -1
        for got in self.take():
            if got.kind == SUBACK and got.body[:2] == packet_id:
                code = got.body[-1]
            else:
                self.after.append(got)
        return code

    def unsubscribe(self, topic_filter: str) -> int:
        packet_id = next(self._ids).to_bytes(2, "big")
        self.wire.raw(packet(0xA2, packet_id + b"\0" + prefixed(topic_filter.encode())))
        return self.take()[-1].body[-1]

    def publish(
        self, topic: str, payload: bytes = b"", *, qos: int = 0, retain: bool = False, dup: bool = False, **values: Any
    ) -> None:
        number = next(self._ids).to_bytes(2, "big") if qos else b""
        body = prefixed(topic.encode()) + number + properties(PUBLISH, values) + payload
        self.wire.raw(packet(0x30 | qos << 1 | retain | dup << 3, body))

    def ack(self, kind: int, packet_id: int, reason: int = 0) -> None:
        first = kind << 4 | (2 if kind == PUBREL else 0)
        self.wire.raw(packet(first, packet_id.to_bytes(2, "big") + (bytes((reason,)) if reason else b"")))

    def disconnect(self, reason: int = 0, **values: Any) -> None:
        self.wire.raw(packet(0xE0, bytes((reason,)) + properties(DISCONNECT, values)))

    def cut(self) -> None:
        self.wire.cut()
