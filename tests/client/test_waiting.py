"""A task goes on where what it has waited for has arrived, and not a turn of the event loop later."""

import asyncio
import contextvars
from asyncio.tasks import _PyTask  # type: ignore[attr-defined]
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mqttlite.client import Client
from mqttlite.client.connecting.sockets import SocketTransport
from mqttlite.client.traffic.waiting import Turn, Waiter
from tests.client.network import CONNACK, Peer, server
from tests.peers import RUN_TIMEOUT_S

name = contextvars.ContextVar("name", default="nobody")


class Told:
    """A task that waits for `waiter` and tells what happens to it."""

    def __init__(self) -> None:
        self.turn = Turn()
        self.waiter = Waiter(self.turn)
        self.told: list[object] = []

    async def wait(self) -> None:
        name.set("the task")
        while True:
            try:
                await self.waiter
            except asyncio.CancelledError as error:
                self.told.append(("cancelled", *error.args))
                raise
            self.told.append(name.get())

    async def begin(self) -> "asyncio.Task[None]":
        task = asyncio.create_task(self.wait())
        await until(lambda: self.waiter.is_waited_for)
        return task

    def bytes_arrive(self) -> None:
        self.turn.is_on = True
        self.waiter.wake()
        self.turn.is_on = False
        self.turn.go_on()
        self.told.append("processed")


async def until(holds: Callable[[], bool]) -> None:
    """Let the event loop turn until it does."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def in_callback(what: Callable[[], object], context: contextvars.Context | None = None) -> None:
    """Call `what` as the event loop calls a transport."""
    done = asyncio.Event()

    def call() -> None:
        what()
        done.set()

    asyncio.get_running_loop().call_soon(call, context=context)
    await done.wait()


def in_each_kind_of_task(test: Callable[[], Awaitable[None]]) -> Any:
    def run(kind: Any) -> None:
        async def main() -> None:
            if kind:
                asyncio.get_running_loop().set_task_factory(lambda loop, coro, **how: kind(coro, loop=loop, **how))
            await asyncio.create_task(test())  # type: ignore[arg-type]

        asyncio.run(asyncio.wait_for(main(), RUN_TIMEOUT_S))

    run.__name__ = test.__name__
    return pytest.mark.parametrize("kind", [None, _PyTask], ids=["C", "Python"])(run)


@in_each_kind_of_task
async def test_a_task_goes_on_in_its_own_context_before_what_woke_it_is_over() -> None:
    told = Told()
    task = await told.begin()
    for _ in range(2):
        await in_callback(told.bytes_arrive)
    assert told.told == ["the task", "processed", "the task", "processed"]
    assert name.get() == "nobody"
    task.cancel()


@in_each_kind_of_task
async def test_while_another_task_runs_it_goes_on_in_the_next_turn() -> None:
    told = Told()
    task = await told.begin()
    told.bytes_arrive()
    assert told.told == ["processed"]
    await asyncio.sleep(0)
    assert told.told == ["processed", "the task"]
    told.waiter.wake()
    told.waiter.wake()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert told.told == ["processed", "the task", "the task"], "once, however often it is woken"
    task.cancel()


@in_each_kind_of_task
async def test_who_runs_callbacks_in_the_context_of_the_task_lets_it_go_on_in_the_next_turn() -> None:
    told = Told()
    context = contextvars.copy_context()
    task = context.run(lambda: asyncio.get_running_loop().create_task(told.wait(), context=context))
    await until(lambda: told.waiter.is_waited_for)
    await in_callback(told.bytes_arrive, context)
    await asyncio.sleep(0)
    assert told.told == ["processed", "the task"]
    task.cancel()


@in_each_kind_of_task
async def test_a_task_that_is_cancelled_is_not_woken_whichever_comes_first() -> None:
    told = Told()
    task = await told.begin()
    assert task.cancel("enough")
    await in_callback(told.bytes_arrive)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told.told in (["processed", ("cancelled", "enough")], [("cancelled", "enough"), "processed"])

    told = Told()
    task = await told.begin()
    told.waiter.wake()
    assert task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told.told == [("cancelled",)]
    assert not told.waiter.is_waited_for


@in_each_kind_of_task
async def test_a_task_that_one_before_it_has_cancelled_in_the_same_turn_is_cancelled() -> None:
    turn = Turn()
    first, second = Waiter(turn), Waiter(turn)

    async def cancel() -> None:
        await first
        other.cancel()

    async def wait() -> None:
        await second

    canceller, other = asyncio.create_task(cancel()), asyncio.create_task(wait())
    await until(lambda: first.is_waited_for and second.is_waited_for)

    def arrive() -> None:
        turn.is_on = True
        first.wake()
        second.wake()
        turn.is_on = False
        turn.go_on()

    await in_callback(arrive)
    await canceller
    with pytest.raises(asyncio.CancelledError):
        await other


async def test_what_a_consumer_acknowledges_leaves_before_the_event_loop_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    send = SocketTransport.send
    updated = SocketTransport.buffer_updated

    def noted_send(self: SocketTransport, data: bytes) -> bool:
        happened.append("PUBACK" if data[0] == 0x40 else "other")
        return send(self, data)

    def noted_updated(self: SocketTransport, nbytes: int) -> None:
        happened.append("read")
        updated(self, nbytes)
        happened.append("done")

    async def serve(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK)
        await go.wait()
        await peer.say(b"\x32\7\0\1t\0\1xy\x32\7\0\1t\0\2xy")
        assert await peer.packet() == b"\x40\2\0\1"
        answered.set()
        while await peer.packet():
            pass

    go, answered = asyncio.Event(), asyncio.Event()
    async with server(serve) as url, Client(url) as client:
        monkeypatch.setattr(SocketTransport, "send", noted_send)
        monkeypatch.setattr(SocketTransport, "buffer_updated", noted_updated)

        async def consume() -> None:
            async for message in client:
                happened.append(str(message._packet_id))

        consumer = asyncio.create_task(consume())
        await until(lambda: client._incoming.has_waiter)
        go.set()
        await asyncio.wait_for(answered.wait(), RUN_TIMEOUT_S)
        assert happened[:5] == ["read", "1", "2", "PUBACK", "done"]
        consumer.cancel()


async def test_several_that_wait_for_room_get_it_and_one_that_is_cancelled_takes_none() -> None:
    confirm = asyncio.Event()

    async def serve(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK)
        first, second = [await peer.packet() for _ in range(2)]
        await confirm.wait()
        for packet in (first, second):
            await peer.say(b"\x40\2" + packet[5:7])
        while packet := await peer.packet():
            if packet[0] & 0xF0 == 0x30:
                await peer.say(b"\x40\2" + packet[5:7])

    async with server(serve) as url, Client(url, queue_max=2) as client:
        for _ in range(2):
            await client.publish("t", b"xy")
        waiting = [asyncio.create_task(client.publish("t", b"xy")) for _ in range(4)]
        await asyncio.sleep(0)
        assert len(client._outgoing._waiters) == 4
        waiting[1].cancel()
        await asyncio.sleep(0)
        assert len(client._outgoing._waiters) == 3
        confirm.set()
        receipts = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), RUN_TIMEOUT_S)
        assert [isinstance(each, asyncio.CancelledError) for each in receipts] == [False, True, False, False]
        assert await client.drain()
