"""`mqttlite broker --store` is killed, and goes on: clients of both versions over real sockets, one of them now in
this version and now in that.
"""

import asyncio
import time
from pathlib import Path
from typing import Any, Self

from paho.mqtt.packettypes import PacketTypes

from tests.broker.five import (
    CONNACK,
    CONNECT,
    DISCONNECT,
    PUBACK,
    PUBLISH,
    SUBACK,
    SUBSCRIBE,
    Got,
    packet,
    prefixed,
    unpacked,
)
from tests.broker.five import properties as encoded
from tests.broker.raw import TIMEOUT_S
from tests.broker.test_command import started
from tests.peers import end
from tests.statements import statement

KEPT = {"SessionExpiryInterval": 600}


class Client:
    """`async with Client(port, 5, "c") as client`: connected; `present` says whether its session was there."""

    def __init__(self, port: int, level: int, name: str, *, clean: bool = True, will: str = "", **values: Any) -> None:
        self._port = port
        self._level = level
        self.delay = values.pop("WillDelayInterval", 0)
        flags = (2 if clean else 0) | (0x0C if will else 0)
        fields = prefixed(name.encode())
        if will:
            if level == 5:
                fields += encoded(PacketTypes.WILLMESSAGE, {"WillDelayInterval": self.delay})
            fields += prefixed(b"w") + prefixed(will.encode())
        block = encoded(CONNECT, values) if level == 5 else b""
        self._connect = packet(0x10, b"\0\4MQTT" + bytes((level, flags, 0, 0)) + block + fields)
        self.present = False

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(self._connect)
        got = await self.packet()
        assert (got.kind, got.body[1]) == (CONNACK, 0)
        self.present = got.body[0] == 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()

    async def packet(self) -> Got:
        async with asyncio.timeout(TIMEOUT_S):
            first, size = await self._reader.readexactly(2)
            assert size < 128
            return Got(first >> 4, first & 15, await self._reader.readexactly(size))

    async def subscribe(self, topic_filter: str) -> None:
        block = b"\0" if self._level == 5 else b""
        self._writer.write(packet(SUBSCRIBE << 4 | 2, b"\0\1" + block + prefixed(topic_filter.encode()) + b"\1"))
        assert (await self.packet()).kind == SUBACK

    async def publish(self, topic: str, payload: bytes, **values: Any) -> None:
        """At QoS 1, and acknowledged."""
        block = encoded(PUBLISH, values) if self._level == 5 else b""
        self._writer.write(packet(0x32, prefixed(topic.encode()) + b"\0\1" + block + payload))
        assert (await self.packet()).kind == PUBACK

    async def message(self) -> tuple[bytes, bool, dict[str, Any]]:
        """Payload, DUP and properties of the next packet, a message at QoS 1 that is not acknowledged."""
        got = await self.packet()
        assert (got.kind, got.flags & 6) == (PUBLISH, 2)
        at = 4 + int.from_bytes(got.body[:2], "big")
        values, size = unpacked(PUBLISH, got.body[at:]) if self._level == 5 else ({}, 0)
        return got.body[at + size :], got.flags & 8 != 0, values


@statement("5.0", "MQTT-3.1.2-8", "MQTT-3.1.3-9", "MQTT-3.3.2-5", "MQTT-3.3.2-6", "MQTT-3.1.4-3")
async def test_queues_wills_and_deadlines_survive_a_kill_and_a_session_changes_its_version(tmp_path: Path) -> None:
    store = ("--store", str(tmp_path / "broker.db"))
    process, port = await started("--listen", "mqtt://127.0.0.1:0", *store)
    try:
        async with Client(port, 5, "watcher", **KEPT) as watcher, Client(port, 5, "c", **KEPT) as client:
            await watcher.subscribe("w")
            await client.subscribe("t")
        late = Client(port, 5, "late", will="late", WillDelayInterval=1, **KEPT)
        async with late, Client(port, 4, "at once", will="at once"), Client(port, 5, "p5") as new:
            async with Client(port, 4, "p4") as old:
                await late.subscribe("x")
                await new.publish("t", b"short", MessageExpiryInterval=1)
                await new.publish("t", b"long", MessageExpiryInterval=600, ContentType="a")
                await old.publish("t", b"from 3.1.1")
            await end(process)
        process, port = await started("--listen", "mqtt://127.0.0.1:0", *store)
        began = time.monotonic()
        async with Client(port, 5, "watcher", clean=False, **KEPT) as watcher:
            assert watcher.present
            assert (await watcher.message())[0] == b"at once"
            assert (await watcher.message())[0] == b"late"
            assert time.monotonic() - began > 0.5  # its delay began when the broker did, a moment before
        async with Client(port, 4, "c", clean=False) as old:
            assert old.present
            assert [(await old.message())[0] for _ in range(2)] == [b"long", b"from 3.1.1"]
            async with Client(port, 5, "c", clean=False, **KEPT) as new:
                assert new.present
                assert await old._reader.read() == b""  # taken over, and 3.1.1 has no word for it
                (first, is_first, values), (second, is_second, none) = [await new.message() for _ in range(2)]
                assert (first, second) == (b"long", b"from 3.1.1")
                assert (is_first, is_second, none) == (True, True, {})
                assert 590 < values.pop("MessageExpiryInterval") < 600
                assert values == {"ContentType": "a"}
                async with Client(port, 4, "c", clean=False) as again:
                    assert again.present
                    assert (await new.packet()).plain == Got(DISCONNECT, 0, b"\x8e")
                    assert (await again.message())[:2] == (b"long", True)
    finally:
        await end(process)
