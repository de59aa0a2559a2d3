"""Cancelling any call never corrupts a session: each public coroutine is cancelled at each point at which it waits, one
after the other, against our broker in this process. Afterwards nothing is lost, twice or stuck.
"""

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest

from mqttlite import AnswerError, Client, MQTTError
from mqttlite.client.messages import Message
from tests.peers import RUN_TIMEOUT_S

POINTS_MAX = 200  # a call that waits more often than that never ends


@types.coroutine
def cut(work: Coroutine[Any, Any, Any], at: int, was_cut: list[bool]) -> Generator[Any, Any, Any]:
    """As `await work`, and the task is cancelled when it waits for the time number `at`."""
    task = asyncio.current_task()
    assert task is not None
    count = 0
    step: Callable[[], Any] = lambda: work.send(None)  # noqa: E731
    while True:
        try:
            awaited = step()
        except StopIteration as end:
            return end.value
        if count == at:
            was_cut.append(True)
            asyncio.get_running_loop().call_soon(task.cancel)
        count += 1
        try:
            yield awaited
        except BaseException as error:
            step = lambda error=error: work.throw(error)  # type: ignore[misc] # noqa: E731
        else:
            step = lambda: work.send(None)  # noqa: E731


async def run_cut(work: Coroutine[Any, Any, Any], at: int) -> tuple[bool, BaseException | None]:
    """Whether it was cancelled, and how it has ended."""
    was_cut: list[bool] = []

    async def whole() -> None:
        await cut(work, at, was_cut)

    task = asyncio.create_task(whole())
    await asyncio.wait((task,), timeout=RUN_TIMEOUT_S)
    assert task.done(), f"cancelled where it waits for the time {at}, it never ends"
    if task.cancelled():
        return True, None
    error = task.exception()
    if error:
        assert isinstance(error, MQTTError | TimeoutError), error
    return bool(was_cut), error


class World:
    """`client`, which is cut, and two that look: `peer` publishes to it, `witness` gets what it publishes."""

    def __init__(self, url: str, store: Path | None) -> None:
        self.url = url
        self.store = store
        self.options: dict[str, Any] = {"client_id": "cut", "store": store} if store else {"client_id": "cut"}
        self.client = Client(url, **self.options)
        self.peer = Client(url)
        self.witness = Client(url)
        self.got: list[bytes] = []  # by the call
        self.receipts: list[bytes] = []  # payloads for which the call has a receipt

    async def publish(self, payload: bytes, how: Callable[..., Awaitable[object]] | None = None) -> None:
        await (how or self.client.publish)("out", payload, 2)
        self.receipts.append(payload)


Call = Callable[[World], Coroutine[Any, Any, None]]


async def publish(world: World) -> None:
    for payload in (b"1", b"2", b"3"):
        await world.publish(payload)


async def enqueue(world: World) -> None:
    for payload in (b"1", b"2"):
        await world.publish(payload, world.client.enqueue)
    await world.client.stored()


async def publish_many(world: World) -> None:
    await world.client.publish_many([("out", payload, 2) for payload in (b"1", b"2", b"3")])
    world.receipts += [b"1", b"2", b"3"]


async def publish_and_wait(world: World) -> None:
    receipt = await world.client.publish("out", b"1", 2)
    world.receipts.append(b"1")
    await receipt


async def drain(world: World) -> None:
    await world.publish(b"1")
    assert await world.client.drain()


async def heard(world: World) -> None:
    assert await world.client.heard()


async def subscribe_and_unsubscribe(world: World) -> None:
    await world.client.subscribe("other")
    await world.client.unsubscribe("other")


async def settle(world: World) -> None:
    session = world.client._life.session
    session.out, out = None, session.out  # as if nothing could leave
    try:
        receipt = await world.client.publish("lost", b"1", 1)
    finally:
        session.out = out
    await world.client.settle(receipt.seq)


async def take(world: World) -> None:
    for _ in range(2):
        world.got.append((await anext(world.client)).payload)


async def take_from_subscription(world: World) -> None:
    async with world.client.subscription("in", 2, unsubscribe=False) as messages:
        for _ in range(2):
            world.got.append((await anext(messages)).payload)


async def take_slowly(world: World) -> None:
    import time

    for _ in range(2):
        world.got.append((await anext(world.client)).payload)
        time.sleep(0.006)  # noqa: ASYNC251 - so that the acknowledgement is waited for


async def handle(world: World) -> None:
    async def note(message: Message) -> None:
        world.got.append(message.payload)
        if len(world.got) == 2:
            raise AnswerError("enough")

    await world.client.handle(note)


async def request(world: World) -> None:
    async def double(message: Message) -> bytes:
        return message.payload * 2

    serving = asyncio.create_task(world.peer.serve("double", double))
    try:
        while b"double" not in world.peer._life.protocol.subscriptions:
            await world.peer._life.progress.wait()
        assert await world.client.request("double", "x", into=str) == "xx"
    finally:
        serving.cancel()


async def serve(world: World) -> None:
    async def double(message: Message) -> bytes:
        return message.payload * 2

    asking = asyncio.create_task(world.peer.request("double", "x", into=str, key="k"))
    asking.add_done_callback(lambda _: serving.cancel())
    serving = asyncio.ensure_future(world.client.serve("double", double))
    try:
        await asyncio.wait((serving,), timeout=0.01)
    finally:
        asking.cancel()
        serving.cancel()
        await asyncio.wait((serving,))


PUBLISHING = (publish, enqueue, publish_many, publish_and_wait, drain)
RECEIVING = (take, take_slowly, take_from_subscription, handle)
OTHERS = (heard, subscribe_and_unsubscribe, settle, request, serve)


async def after(world: World, call: Call, cut_at: int) -> None:
    """Everything still works, and what has to be there is there once."""
    client = world.client
    where = f"{call.__name__}, cancelled where it waits for the time {cut_at}"
    async with asyncio.timeout(RUN_TIMEOUT_S):
        await client.publish("out", b"end", 2)
        seen = []
        async for message in world.witness:
            if message.payload == b"end":
                break
            seen.append(message.payload)
        assert seen == sorted(set(seen)), where  # in order, nothing twice
        assert set(world.receipts) <= set(seen), where  # nothing lost
        await world.peer.publish("in", b"end", 2)
        if call is take_from_subscription:
            async with client.subscription("in", unsubscribe=False) as messages:
                async for message in messages:
                    world.got.append(message.payload)
                    if message.payload == b"end":
                        break
        else:
            async for message in client:
                if message.topic == "in":
                    world.got.append(message.payload)
                    if message.payload == b"end":
                        break
        given = world.got if call in RECEIVING else world.got[-3:]
        repeats = 1 if call is take_from_subscription else 0  # what the block had not handled is given out again
        assert list(dict.fromkeys(given)) == [b"a", b"b", b"end"], where
        assert len(given) <= 3 + repeats, where
        assert await client.drain(), where
        client._life.session.check()
        assert not client._outgoing.receipts, where
        assert all(not wanted.request for wanted in client._life.protocol.subscriptions.values()), where
    if client._requests:
        assert not client._requests._waiting, where


@pytest.mark.parametrize("kept", [False, True], ids=["memory", "store"])
@pytest.mark.parametrize("call", PUBLISHING + RECEIVING + OTHERS, ids=lambda call: call.__name__)
async def test_a_call_that_is_cancelled_leaves_the_session_whole(
    url: str, tmp_path: Path, call: Call, kept: bool
) -> None:
    points = 0
    for at in range(POINTS_MAX):
        world = World(url, tmp_path / f"{at}.db" if kept else None)
        async with world.peer, world.witness:
            await world.client.start()
            await world.witness.subscribe("out")
            await world.client.subscribe("in")
            for payload in (b"a", b"b"):
                await (await world.peer.publish("in", payload, 2))
            was_cut, _ = await run_cut(call(world), at)
            await after(world, call, at)
            await world.client.close()
        async with Client(url, client_id="cut"):
            pass
        async with Client(url, client_id="cut", clean_session=True):
            pass
        points += was_cut
        if not was_cut:
            break
    assert points < POINTS_MAX
    assert points or (not kept and call in (publish, enqueue, publish_many, settle))  # which do not wait in memory


@pytest.mark.parametrize("kept", [False, True], ids=["memory", "store"])
async def test_a_start_that_is_cancelled_can_be_made_again_by_another_client(
    url: str, tmp_path: Path, kept: bool
) -> None:
    for at in range(POINTS_MAX):
        options: dict[str, Any] = {"client_id": "cut", "store": tmp_path / "state.db"} if kept else {}
        client = Client(url, **options)
        was_cut, _ = await run_cut(client.start(), at)
        if not was_cut:
            break
        async with Client(url, **options) as again:
            await again.publish("out", str(at), 2)
            assert await again.drain()
        assert client._connector.task is None or client._connector.task.done()
    await client.close()
    assert 0 < at < POINTS_MAX


@pytest.mark.parametrize("kept", [False, True], ids=["memory", "store"])
async def test_closing_that_is_cancelled_is_finished_by_closing_again(url: str, tmp_path: Path, kept: bool) -> None:
    for at in range(POINTS_MAX):
        options: dict[str, Any] = {"client_id": "cut", "store": tmp_path / "state.db"} if kept else {}
        client = Client(url, **options)
        await client.start()
        async with asyncio.timeout(RUN_TIMEOUT_S):
            async with client.subscription("in"):
                await client.enqueue("out", str(at), 2)
                was_cut, _ = await run_cut(client.close(), at)
                await client.close()
            assert client._connector.task is not None
            assert client._connector.task.done()
            async with Client(url, **options) as again:
                assert await again.drain()
        if not was_cut:
            break
    assert 0 < at < POINTS_MAX


async def test_publishing_that_is_cancelled_while_it_waits_for_room_takes_no_room(url: str) -> None:
    async with Client(url, queue_max=1) as client, Client(url) as witness:
        await witness.subscribe("out")
        for number in range(20):
            tasks = [asyncio.create_task(client.publish("out", f"{number} {each}", 2)) for each in range(3)]
            for _ in range(number % 7):
                await asyncio.sleep(0)
            tasks[1].cancel()
            await asyncio.wait(tasks)
        assert await client.drain()
        await client.publish("out", "end", 2)
        seen = []
        async for message in witness:
            if message.payload == b"end":
                break
            seen.append(message.payload.decode())
        assert len(seen) == len(set(seen))
        assert {f"{number} {each}" for number in range(20) for each in (0, 2)} <= set(seen)
