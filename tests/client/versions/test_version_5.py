"""The client in MQTT 5.0, with Mosquitto: messages both ways, user properties, keys, and what our broker says to it."""

import asyncio

import pytest

from mqttlite.broker import Broker
from mqttlite.client import Client
from mqttlite.core.errors import MQTTError
from mqttlite.store.base import StoreError
from tests.client.test_store import Disk
from tests.peers import Mosquitto
from tests.statements import statement


def url(mosquitto: Mosquitto) -> str:
    return f"mqtt://127.0.0.1:{mosquitto.port}"


@statement("5.0", "MQTT-4.2-1")
async def test_messages_travel_at_every_qos(mosquitto: Mosquitto) -> None:
    """Over TCP."""
    async with Client(url(mosquitto), version=5, client_id="five") as client:
        assert await client.subscribe("a/#", 2) == 2
        for qos in (0, 1, 2):
            await client.publish(f"a/{qos}", b"x" * 300, qos)
        got = [await anext(client) for _ in range(3)]
        assert [(m.topic, len(m.payload), m.qos) for m in got] == [("a/0", 300, 0), ("a/1", 300, 1), ("a/2", 300, 2)]
        await client.unsubscribe("a/#")


async def test_a_key_travels_as_a_user_property_and_a_repeat_is_not_delivered(mosquitto: Mosquitto) -> None:
    async with (
        Client(url(mosquitto), version=5, keys=True) as consumer,
        Client(url(mosquitto), version=5, keys=True, client_id="pump-7", store=Disk()) as producer,
    ):
        await consumer.subscribe("t", 2)
        await producer.publish("t", "generated", 2)
        for number in (1, 1, 2):
            await producer.publish("t", f"{number}", 2, key=("orders", number))
            producer._outgoing.load_keys().state.origins.clear()  # as if it had lost its store
        got = [await anext(consumer) for _ in range(3)]
        assert [message.payload for message in got] == [b"generated", b"1", b"2"]
        assert got[0].key is not None and got[0].key[0] == "pump-7"
        assert got[1].key == ("orders", 0, 1)
        assert got[1].user_properties == [("mqttlite-key", "orders/0/1")]


async def test_a_store_with_messages_of_one_version_is_not_opened_in_the_other() -> None:
    disk = Disk()
    async with Broker(listen=["mqtt://127.0.0.1:0"]) as broker:
        client = Client(broker.addresses[0], client_id="c", store=disk)
        await client.start()
        client._life.protocol.is_connected = False  # nothing is sent any more
        client._life.session.out = None
        await client.publish("t", b"x", 1)
        await client.close()
        with pytest.raises(StoreError, match="other MQTT version"):
            await Client(broker.addresses[0], client_id="c", store=disk, version=5).start()


async def test_a_broker_that_only_speaks_3_1_1_is_told_apart() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"\x20\x02\x00\x01")  # as brokers of 3.1.1 answer [MQTT-3.1.2-2]
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(MQTTError, match=r"does not speak MQTT 5\.0; use MQTT 3\.1\.1"):
            await Client(f"mqtt://127.0.0.1:{port}", version=5).start()
