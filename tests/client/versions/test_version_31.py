"""The client in MQTT 3.1, with Mosquitto and our broker."""

import pytest

from mqttlite.broker import Broker
from mqttlite.client import Client
from mqttlite.client.suspects import wait_longer
from tests.peers import Mosquitto


async def test_it_speaks_3_1_with_mosquitto_and_goes_on_when_the_broker_comes_back(mosquitto: Mosquitto) -> None:
    async with Client(mosquitto.url, version="3.1", client_id="old") as client:
        await mosquitto.logged(" as old (p1, c0, k60)")  # protocol level 3, a kept session
        await client.subscribe("a", 2)
        for qos in (0, 1, 2):
            await client.publish("a", str(qos), qos)
            assert (await anext(client)).payload == str(qos).encode()
        mosquitto.restart()
        await client.publish("a", "again", 2)
        assert (await anext(client)).payload == b"again"


async def test_it_speaks_3_1_with_our_broker() -> None:
    async with Broker(["mqtt://127.0.0.1:0"]) as broker, Client(broker.addresses[0], version=3) as client:
        await client.subscribe("a")
        await client.publish("a", "x", 2)
        assert (await anext(client)).payload == b"x"


def test_its_connect_is_that_of_3_1() -> None:
    """Section 3.1 of MQTT 3.1: MQIsdp, level 3, and then as in 3.1.1."""
    client = Client("mqtt://h", version="3.1", client_id="c", keep_alive_s=16, username="u", password="p")
    connect = client._life.protocol.connect_packet
    assert connect == b"\x10\x15\0\6MQIsdp\3\xc0\0\x10\0\1c\0\1u\0\1p"
    wait_longer(client._life.protocol)
    assert client._life.protocol.connect_packet == connect.replace(b"\0\x10", b"\0\x40")


def test_what_3_1_has_not_is_refused() -> None:
    with pytest.raises(ValueError, match="client_id has 23 characters at most, not 24"):
        Client("mqtt://h", version="3.1", client_id="c" * 24)
    with pytest.raises(ValueError, match="version is"):
        Client("mqtt://h", version="3.0")
