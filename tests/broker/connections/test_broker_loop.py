"""The loop of `mqttlite broker` waits in its selector until it is wanted: nothing may have to wait for that."""

import asyncio
import contextlib
import select
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest

from mqttlite.broker.connections.broker_loop import BrokerLoop

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="epoll is Linux's")

SOON_S = 10.0  # what takes longer has waited for something else

Fired = Callable[[asyncio.Future[None], BrokerLoop], None]


def done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def at_once(future: asyncio.Future[None], loop: BrokerLoop) -> None:
    done(future)


def later(future: asyncio.Future[None], loop: BrokerLoop) -> None:
    loop.call_later(0.01, done, future)


def from_a_thread(future: asyncio.Future[None], loop: BrokerLoop) -> None:
    threading.Thread(target=loop.call_soon_threadsafe, args=(done, future)).start()


@contextlib.contextmanager
def watched(loop: BrokerLoop, callback: Callable[[socket.socket], None]) -> Iterator[socket.socket]:
    """A socket; what is sent to it is read, and then `callback` is called, while the loop selects."""
    ours, theirs = socket.socketpair()

    def ready(_: int) -> None:
        ours.recv(100)
        callback(ours)

    with ours, theirs:
        loop.poll.watch(ours.fileno(), select.EPOLLIN, ready)
        yield theirs
        loop.poll.watch(ours.fileno(), 0, ready)


def run(test: Callable[[BrokerLoop], Awaitable[None]]) -> None:
    async def timed() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, BrokerLoop)
        await asyncio.wait_for(test(loop), SOON_S)

    with asyncio.Runner(loop_factory=BrokerLoop) as runner:
        runner.run(timed())


@pytest.mark.parametrize("fire", [at_once, later, from_a_thread])
def test_what_a_connection_wants_of_the_loop_is_done_although_nothing_else_happens(fire: Fired) -> None:
    async def test(loop: BrokerLoop) -> None:
        future: asyncio.Future[None] = loop.create_future()
        with watched(loop, lambda _: fire(future, loop)) as theirs:
            theirs.send(b"1")
            await future

    run(test)


def test_connections_that_always_have_something_do_not_keep_timers_waiting() -> None:
    async def test(loop: BrokerLoop) -> None:
        turns = 0

        def again(_: socket.socket) -> None:
            nonlocal turns
            turns += 1
            theirs.send(b"1")

        with watched(loop, again) as theirs:
            theirs.send(b"1")
            await asyncio.sleep(0.02)
        assert turns > 1

    run(test)


def test_the_loop_stops_from_within_a_connection() -> None:
    loop = BrokerLoop()
    with watched(loop, lambda _: loop.stop()) as theirs:
        timer = loop.call_later(SOON_S, loop.stop)
        theirs.send(b"1")
        loop.run_forever()
        assert loop.time() < timer.when()
    loop.close()
