"""A client that starts again without its state, in a session that the broker has kept."""

import asyncio

import pytest

from mqttlite.broker import Broker
from mqttlite.client import Client

CONNECT = b"\x10\x0d\x00\x04MQTT\x04\x00\x00\x00\x00\x01r"
PUBLISH = b"\x34\x07\x00\x01t\x00\x01hi"  # QoS 2, packet identifier 1
PUBREC = b"\x50\x02\x00\x01"


async def test_identifiers_from_an_earlier_life_do_not_swallow_new_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker still waits for PUBREL of identifier 1; a new message under it would be taken for a repeat."""
    monkeypatch.setattr("mqttlite.client.face.os.urandom", lambda size: b"\x07" * size)
    async with Broker(listen=["mqtt://127.0.0.1:0"]) as broker:
        url = broker.addresses[0]
        host, port = url.removeprefix("mqtt://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(CONNECT + PUBLISH)
        await reader.readexactly(4)
        assert await reader.readexactly(4) == PUBREC
        writer.close()
        async with Client(url) as subscriber:
            await subscriber.subscribe("t")
            async with Client(url, client_id="r") as restarted:
                assert restarted.session_present
                for number in range(20):
                    await restarted.publish("t", str(number), qos=2)
                await restarted.drain()
            got: list[bytes] = []
            async for message in subscriber:
                got.append(message.payload)
                if len(got) == 20:
                    break
    assert got == [b"%d" % number for number in range(20)]
