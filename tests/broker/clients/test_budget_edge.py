"""The last bytes of a queue's budget: what is acknowledged under `hold` and `refuse` is in the queue."""

import asyncio
from typing import Any

import pytest

from mqttlite import Client
from mqttlite.broker import Broker
from mqttlite.broker.limits import Limits, QueueRule
from mqttlite.core.errors import PublishError

COST = (
    7 + 9 + 64
)  # of a message of 9 bytes to "a/b": the head of its packet, payload, and what a place in a queue costs


@pytest.mark.parametrize("options", [{}, {"subscription_identifier": 200}], ids=["plain", "with an identifier"])
@pytest.mark.parametrize("missing", [0, 1, 4, 5, 7])  # bytes that a third message lacks
async def test_what_is_acknowledged_is_in_the_queue_however_little_room_there_is(
    missing: int, options: dict[str, Any]
) -> None:
    limits = Limits(queues=(QueueRule("reader", "refuse", 3 * COST - missing),))
    async with Broker(["mqtt://127.0.0.1:0"], limits) as broker, asyncio.timeout(20):
        async with Client(broker.addresses[0], client_id="reader", version="5.0") as reader:
            await reader.subscribe("a/b", 1, **options)
        taken = []
        async with Client(broker.addresses[0], version="5.0") as writer:
            for number in range(4):
                receipt = await writer.publish("a/b", f"message {number}", 1)
                try:
                    await receipt.completed()
                    taken.append(f"message {number}".encode())
                except PublishError:
                    break
        assert broker.stats.dropped_queue_full == 0
        async with Client(broker.addresses[0], client_id="reader", version="5.0") as reader:
            assert [(await anext(reader)).payload for _ in taken] == taken
    assert len(taken) == (2 if missing or options else 3)


@pytest.mark.parametrize("missing", [0, 1, 60])
async def test_nor_however_little_room_all_queues_have_together(missing: int) -> None:
    limits = Limits(queues=(QueueRule("*", "refuse"),), queues_bytes=4 * COST - missing)
    readers = ("first", "second")
    async with Broker(["mqtt://127.0.0.1:0"], limits) as broker, asyncio.timeout(20):
        for name in readers:
            async with Client(broker.addresses[0], client_id=name) as reader:
                await reader.subscribe("a/b", 1)
        async with Client(broker.addresses[0], version="5.0") as writer:
            receipts = [await writer.publish("a/b", f"message {number}", 1) for number in range(2)]
            await receipts[0].completed()
            if missing:
                with pytest.raises(PublishError):
                    await receipts[1].completed()
            else:
                await receipts[1].completed()
        assert broker.stats.dropped_queue_full == 0
        for name in readers:
            async with Client(broker.addresses[0], client_id=name) as reader:
                await anext(reader)
