"""Messages that differ from the one before in their payload alone take a shorter way: they get what others get."""

import asyncio
import dataclasses

import pytest

from mqttlite import Client, ClosedError, PublishError
from mqttlite.broker import Broker

TOPIC = "room/1/state"


@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_each_arrives_once_and_in_order(url: str, qos: int, retain: bool, version: str) -> None:
    async with Client(url, version=version) as receiver, Client(url, version=version, queue_max=5) as client:
        await receiver.subscribe("#")
        for number in range(60):
            receipt = await client.publish(TOPIC, b"%d" % number, qos, retain)
            assert (receipt.seq == -1) == (qos == 0)
            assert client.unconfirmed() <= 5
        got = [await anext(receiver) for _ in range(60)]
        assert [message.payload for message in got] == [b"%d" % number for number in range(60)]
        assert {(message.topic, message.qos) for message in got} == {(TOPIC, qos)}
        assert await client.drain()
        now = client.statistics()
        assert dataclasses.astuple(now.published)[qos] == 60
        assert dataclasses.astuple(now.published_bytes)[qos] == 60 * len(TOPIC) + 10 + 2 * 50


async def test_what_is_not_alike_between_them_does_not_change_them(url: str) -> None:
    async with Client(url) as receiver, Client(url) as client:
        await receiver.subscribe("#")
        for topic, qos, retain in ((TOPIC, 1, True), (TOPIC, 2, True), ("other", 2, True), (TOPIC, 1, False)) * 2:
            for payload in (b"1", "2", bytearray(b"3")):
                await client.publish(topic, payload, qos, retain)  # type: ignore[arg-type]
        for topic, qos in ((TOPIC, 1), (TOPIC, 2), ("other", 2), (TOPIC, 1)) * 2:
            for payload in (b"1", b"2", b"3"):
                message = await anext(receiver)
                assert (message.topic, message.qos, message.payload) == (topic, qos, payload)


async def test_they_wait_where_the_queue_has_no_room_for_their_bytes(url: str) -> None:
    async with Client(url, queue_bytes=1000, window=4) as client:
        for _ in range(40):
            await client.publish(TOPIC, bytes(200))
            assert client.statistics().queue_bytes <= 1000


async def test_they_are_dropped_and_counted_without_a_connection_and_refused_at_the_end() -> None:
    async with Broker(["mqtt://127.0.0.1:0"]) as broker:
        client = Client(broker.addresses[0])
        await client.start()
        for _ in range(3):
            await client.publish(TOPIC, b"x", 0)
        await client.heard()
    while client.is_connected:
        await client._life.progress.wait()
    for _ in range(3):
        await client.publish(TOPIC, b"x", 0)
    assert client.qos0_dropped == 3
    assert dataclasses.astuple(client.statistics().published) == (3, 0, 0)
    await client.close()
    with pytest.raises(ClosedError):
        await client.publish(TOPIC, b"x", 0)


async def test_one_that_is_too_large_is_refused(url: str) -> None:
    async with Client(url, size_max=100) as client:
        await client.publish(TOPIC, b"x")
        with pytest.raises(PublishError, match="size_max=100"):
            await client.publish(TOPIC, bytes(200))
        await client.publish(TOPIC, b"x")
        assert await client.drain()


def test_another_event_loop_is_not_theirs() -> None:
    async def publish(client: Client) -> None:
        await client.publish(TOPIC, b"x", 0)

    async def first(client: Client) -> None:
        await client.start()
        await publish(client)
        await publish(client)

    async def whole() -> None:
        async with Broker(["mqtt://127.0.0.1:0"]) as broker:
            client = Client(broker.addresses[0])
            await first(client)
            with pytest.raises(RuntimeError, match="another event loop"):
                await asyncio.to_thread(asyncio.run, publish(client))
            await client.close()

    asyncio.run(whole())
