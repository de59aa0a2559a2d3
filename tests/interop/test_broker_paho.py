"""The broker and paho-mqtt: every QoS in both directions, sessions, and connections that are cut at random places."""

import random
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from mqttlite.broker import Broker
from tests.broker.raw import Cutter, RawClient, port_of
from tests.interop.paho_client import PahoClient
from tests.statements import statement


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with Broker(["mqtt://127.0.0.1:0"]) as running:
        yield running


@pytest.fixture
def port(broker: Broker) -> int:
    return port_of(broker.addresses[0])


@statement("3.1.1", "MQTT-7.0.0-2")
@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("published", [0, 1, 2])
async def test_messages_arrive_once_in_order_with_the_lower_qos(port: int, published: int, granted: int) -> None:
    async with PahoClient(port, subscribe="a/+", qos=granted) as subscriber, PahoClient(port) as publisher:
        for number in range(100):
            publisher.paho.publish("a/b", b"%d" % number, published)
        got = await subscriber.messages(100)
        await publisher.publish("a/end", b"", 2)
        assert (await subscriber.message()).topic == "a/end"
    assert [int(message.payload) for message in got] == list(range(100))
    assert {(m.topic, m.qos, m.retain, m.dup) for m in got} == {("a/b", min(published, granted), False, False)}


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 200_000])
async def test_payloads_of_every_length_of_the_length_field_arrive_whole(port: int, size: int) -> None:
    payload = random.Random(size).randbytes(size)
    async with PahoClient(port, subscribe="t", qos=2) as client:
        await client.publish("t", payload, 2)
        assert (await client.message()).payload == payload


@statement("3.1.1", "MQTT-3.1.2-5", "MQTT-3.2.2-2")
async def test_a_persistent_session_gets_what_was_published_while_it_was_away(port: int) -> None:
    async with PahoClient(port, "away", clean=False, subscribe="t", qos=2) as client:
        assert not client.session_present
    async with PahoClient(port) as publisher:
        for number in range(300):
            await publisher.publish("t", b"%d" % number, 1 + number % 2)
    async with PahoClient(port, "away", clean=False) as client:
        assert client.session_present
        got = await client.messages(300)
    for qos in (1, 2):  # paho hands a QoS 2 message over only at PUBREL, so the two kinds mix as they like
        numbers = [int(message.payload) for message in got if message.qos == qos]
        assert numbers == list(range(qos - 1, 300, 2))


@statement("3.1.1", "MQTT-3.3.1-6", "MQTT-3.3.1-8", "MQTT-3.3.1-10")
async def test_retained_messages_come_with_the_subscription_and_go_with_an_empty_payload(port: int) -> None:
    async with PahoClient(port) as publisher, PahoClient(port) as subscriber:
        await publisher.publish("a/1", b"one", 1, retain=True)
        await publisher.publish("a/2", b"two", 2, retain=True)
        await publisher.publish("a/1", b"", 1, retain=True)
        await subscriber.subscribe("a/#", 2)
        message = await subscriber.message()
        assert (message.topic, message.payload, message.qos, message.retain) == ("a/2", b"two", 2, True)
        await publisher.publish("a/3", b"live", 0, retain=True)
        assert not (await subscriber.message()).retain


@statement("3.1.1", "MQTT-3.1.4-2")
async def test_the_second_client_with_an_identifier_takes_over_from_the_first(port: int) -> None:
    async with PahoClient(port, "same", subscribe="t") as first:
        first.paho.on_disconnect = None
        async with RawClient(port) as second:
            reconnected = first.connects
            await second.connect("same")
            # paho comes back by itself and takes over in turn
            await second.closed()
            assert await first.event("connected") == (0, False)
            assert first.connects == reconnected + 1


@statement("3.1.1", "MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-2.3.1-4", "MQTT-4.6.0-1")
@pytest.mark.parametrize("qos", [1, 2])
async def test_after_a_cut_messages_are_repeated_with_dup_and_their_identifiers(port: int, qos: int) -> None:
    async with RawClient(port) as client:
        await client.connect("c", clean=False)
        await client.subscribe("t", qos)
        async with PahoClient(port) as publisher:
            for number in range(30):
                await publisher.publish("t", b"%d" % number, qos)
        first = [(await client.packet()).fields for _ in range(20)]
        client.cut()
    for _ in range(2):  # the second cut comes in the middle of the repeats
        async with RawClient(port) as client:
            await client.connect("c", clean=False, present=True)
            again = [(await client.packet()).fields for _ in range(10)]
            assert again == [fields | {"dup": True} for fields in first[:10]]
    async with RawClient(port) as client:
        await client.connect("c", clean=False, present=True)
        assert await client.messages(30) == [b"%d" % number for number in range(30)]


@pytest.mark.parametrize("cut", ["publisher", "subscriber"])
@pytest.mark.parametrize("qos", [1, 2])
async def test_with_connections_cut_at_random_bytes_nothing_is_lost_and_qos_2_arrives_once(
    port: int, qos: int, cut: str
) -> None:
    count = 600
    rng = random.Random(f"{qos} {cut}")
    # Not within the first bytes: cut between CONNECT and CONNACK, paho forgets that it has sent PUBREL and publishes
    # the message once more as new.
    budgets = [rng.randrange(200, 1500) for _ in range(10)]
    async with Cutter(port, budgets) as proxy:
        ports = {"publisher": port, "subscriber": port} | {cut: proxy.port}
        async with (
            PahoClient(ports["subscriber"], "s", clean=False, subscribe="t", qos=qos) as subscriber,
            PahoClient(ports["publisher"], "p", clean=False) as publisher,
        ):
            sent = [b"%d" % number for number in range(count)]
            for payload in sent:
                publisher.paho.publish("t", payload, qos)
            got: Counter[bytes] = Counter()
            order = []
            while len(got) < count:
                payload = (await subscriber.message()).payload
                if payload not in got:
                    order.append(payload)
                got[payload] += 1
            await publisher.publish("t", b"end", qos)
            while (payload := (await subscriber.message()).payload) != b"end":
                got[payload] += 1
            assert not proxy.to_come
            assert order == sent
            if qos == 2:
                assert set(got.values()) == {1}
