"""What a client says about itself."""

import dataclasses

import pytest

from mqttlite import Client
from mqttlite.client.subscriptions import distribution


async def test_statistics_tell_what_was_published_and_what_waits(url: str) -> None:
    async with Client(url) as client:
        before = client.statistics()
        for qos, count in ((0, 1), (1, 2), (2, 3)):
            for _ in range(count):
                await client.publish("abc", "x" * 7, qos)
        now = client.statistics()
        assert dataclasses.astuple(now.published) == (1, 2, 3)
        assert dataclasses.astuple(now.published_bytes) == (10, 20, 30)
        assert (now.published.total, before.published.total) == (6, 0)
        assert now.queue == 5
        assert now.queue_bytes > 5 * 7
        await client.drain()
        assert client.statistics().queue == client.statistics().queue_bytes == 0
        assert (now.connections, now.reconnections, now.set_aside) == (1, 0, 0)
        assert now.dropped == {}
        with pytest.raises(dataclasses.FrozenInstanceError):
            now.queue = 7  # type: ignore[misc]
        with pytest.raises(TypeError):
            now.dropped["x"] = 1  # type: ignore[index]


async def test_what_arrives_is_counted_and_high_water_marks_stay(url: str) -> None:
    async with Client(url) as client:
        await client.subscribe("t/#")
        async with client.subscription("t/1") as messages:
            receipts = await client.publish_many([(f"t/{number % 2}", bytes(100), number % 3) for number in range(12)])
            for receipt in receipts:
                await receipt
            full = client.statistics()
            assert (full.inbox, full.inbox_bytes, full.queue) == (12, 1200, 0)
            assert full.queue_high == 8
            for _ in range(6):
                await anext(client)
                await anext(messages)
            now = client.statistics()
        assert dataclasses.astuple(now.received) == (4, 4, 4)
        assert (now.inbox, now.inbox_bytes) == (0, 0)
        assert (now.inbox_high, now.queue_high) == (12, 8)
        assert 12 * 105 < now.bytes_in < 12 * 105 + 400
        assert 12 * 105 < now.bytes_out < 12 * 105 + 400


async def test_every_drop_is_counted_by_its_cause(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, "UNCLAIMED_S", 0)
    client = Client(url, size_max=100)
    await client.start()
    async with Client(url) as other, client.subscription("t", queue_max=1, when_full="drop-oldest") as messages:
        await client.subscribe("u")

        @client.on("v")
        async def broken(message: object) -> None:
            raise ZeroDivisionError

        while b"v" not in client._life.protocol.subscriptions:
            await client._life.progress.wait()
        for topic, payload in (("t", "1"), ("t", "2"), ("u", "x"), ("t", bytes(200)), ("v", ""), ("t", "3")):
            await other.publish(topic, payload, 2)
        await other.drain()
        await client.heard()
        assert (await anext(messages)).payload == b"3"
        while len(client.statistics().dropped) < 4:
            await client._life.progress.wait()
        assert client.statistics().dropped == {
            "oversized": 1,
            "iterator_full": 2,
            "unclaimed": 1,
            "handler_failed": 1,
        }
    await client.close()
    client = Client(url, retry_first=True)
    await client.start(wait=False)
    await client.publish("t", "x", 0)
    await client.publish("t", "x", 1)
    await client.close()
    assert client.statistics().dropped == {"not_connected": 1, "given_up": 1}
