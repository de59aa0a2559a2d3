"""A sink that raises, or is cancelled, holds nothing back, and gets in the next call what it has not returned from."""

import asyncio
import contextlib
from typing import Any

import pytest

from mqttlite import Client, Reconnect
from mqttlite.broker import Broker
from tests.client.pieces.test_both_ways import Gallery
from tests.client.pieces.test_keyed import all_acknowledged
from tests.peers import RUN_TIMEOUT_S

QUICK = Reconnect(least_s=0.001, greatest_s=0.05)


class Failing(Gallery):
    """Does not return from the first one; `half`: fails with its first piece."""

    def __init__(self, raises: bool, half: bool) -> None:
        super().__init__()
        self._raises = raises
        self._half = half
        self.has_begun = asyncio.Event()

    async def take(self, message: Any) -> None:
        if self.has_begun.is_set():
            await super().take(message)
            return
        async for _ in message:
            if self._half:
                break
        self.has_begun.set()
        if self._raises:
            raise LookupError("the disk is full")
        await asyncio.sleep(3600)


@pytest.mark.parametrize("raises", [True, False], ids=["raises", "is cancelled"])
@pytest.mark.parametrize("size", [20, 10_000, 300_000])
@pytest.mark.parametrize("beside", ["nothing", "a subscription", "keys"])
async def test_what_a_sink_has_not_returned_from_is_taken_by_the_next_call_and_holds_nothing_back(
    beside: str, size: int, raises: bool
) -> None:
    gallery = Failing(raises, half=size > 20)
    options: dict[str, Any] = {"size_max": 2000, "stream_max": 1 << 20, "reconnect": QUICK, "keys": beside == "keys"}
    async with (
        asyncio.timeout(RUN_TIMEOUT_S),
        Broker(["mqtt://127.0.0.1:0"]) as broker,
        Client(broker.addresses[0], client_id="giver") as giver,
        Client(broker.addresses[0], client_id="taker", **options) as taker,
        contextlib.AsyncExitStack() as stack,
    ):
        messages: Any = taker
        if beside == "a subscription":
            messages = await stack.enter_async_context(taker.subscription("room/+"))
        await taker.subscribe("room/+", 2)
        await taker.subscribe("camera/+", 2)
        taking = asyncio.create_task(taker.receive_stream("camera/+", gallery.take))
        await asyncio.sleep(0)
        for number in range(3):
            key = ("camera", number) if beside == "keys" else None
            await giver.publish_stream(f"camera/{number}", bytes(size), qos=1 + number % 2, key=key)
            if not number:
                await gallery.has_begun.wait()
                if not raises:
                    taking.cancel()
                with pytest.raises(LookupError if raises else asyncio.CancelledError):
                    await taking
        taking = asyncio.create_task(taker.receive_stream("camera/+", gallery.take))
        await gallery.wait(3)
        await giver.publish("room/1", b"", 2)
        assert (await anext(messages)).topic == "room/1"
        (taker._incoming if messages is taker else messages).handled()
        await all_acknowledged(taker)
        taking.cancel()
    assert sorted(gallery.whole) == [(f"camera/{number}", 1 + number % 2, bytes(size)) for number in range(3)]
