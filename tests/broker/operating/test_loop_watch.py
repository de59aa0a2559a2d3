"""How long the turns of the loop are, by which `status` tells the broker's work from the machine's."""

import asyncio
import select
import time
from collections.abc import Awaitable, Callable

import pytest

from mqttlite.broker.connections.broker_loop import BrokerLoop
from mqttlite.broker.operating import loop_watch
from mqttlite.broker.operating.loop_watch import LoopWatch

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="epoll is Linux's")

TURN_S = 0.02


async def measured_s(loop: BrokerLoop) -> float:
    """What is found of a turn that takes TURN_S."""
    loop.poll.longest_turn_s = 0.0
    await asyncio.sleep(0)
    time.sleep(TURN_S)  # noqa: ASYNC251 - that is the turn
    await asyncio.sleep(0)
    return loop.poll.longest_turn_s


def run(test: Callable[[BrokerLoop], Awaitable[None]]) -> None:
    loop = BrokerLoop()
    try:
        loop.run_until_complete(test(loop))
    finally:
        loop.close()


def test_turns_are_measured_while_somebody_watches() -> None:
    async def test(loop: BrokerLoop) -> None:
        assert await measured_s(loop) == 0.0
        async with LoopWatch():
            assert await measured_s(loop) >= TURN_S
        assert await measured_s(loop) == 0.0

    run(test)


def test_a_watch_that_ends_leaves_turns_measured_for_the_other() -> None:
    """The control socket and the page of metrics have one each."""

    async def test(loop: BrokerLoop) -> None:
        async with LoopWatch():
            async with LoopWatch():
                pass
            assert await measured_s(loop) >= TURN_S

    run(test)


def test_a_watch_that_has_seen_enough_leaves_turns_measured_for_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(loop: BrokerLoop) -> None:
        async with LoopWatch():
            monkeypatch.setattr(loop_watch, "MEASURED", 0)
            async with LoopWatch():
                assert await measured_s(loop) >= TURN_S

    run(test)
