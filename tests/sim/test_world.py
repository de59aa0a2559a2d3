"""The world: one seed, one trace; and real programs in it."""

import asyncio
import logging
import os
import secrets
import time

import pytest

from mqttlite.sim.clock import Clock
from mqttlite.sim.handles import Livelock
from mqttlite.sim.net.packets import Cut, Packet, Packets
from mqttlite.sim.process import Process
from mqttlite.sim.programs import broker
from mqttlite.sim.timeline import ProcessFailed
from mqttlite.sim.world import World

from . import programs


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("store", [False, True])
def test_a_client_a_broker_and_another_client_talk(qos: int, store: bool) -> None:
    world, got = programs.messages(7, qos, store=store)
    assert got == ["message 0", "message 1", "message 2"]
    assert world.reached["PUBLISH broker to consumer"] == 3
    assert bool(world.reached["producer disk sync state.db-wal"]) == (store and qos > 0) or store
    world.close()


def test_the_same_seed_gives_the_same_trace_in_one_interpreter() -> None:
    first, _ = programs.messages(3, 2, store=True)
    second, _ = programs.messages(3, 2, store=True)
    other, _ = programs.messages(4, 2, store=True)
    assert first.trace == second.trace
    assert first.digest() == second.digest() != other.digest()
    for world in (first, second, other):
        world.close()


def test_the_digest_is_the_same_when_the_trace_is_not_kept() -> None:
    digests = []
    for keep in (True, False):
        world = World(1, keep_trace=keep)
        for number in range(50_001):
            world.note("here", "number", str(number))
        digests.append(world.digest())
        assert (len(world.trace) == 50_001) == keep
    assert digests[0] == digests[1]


def test_time_and_randomness_are_the_worlds_while_it_runs() -> None:
    async def main(process: Process) -> tuple[object, ...]:
        before = time.monotonic()
        await asyncio.sleep(86400)
        return (
            time.monotonic() - before,
            time.localtime()[:3],
            time.strftime("%Y-%m-%d"),
            os.urandom(8),
            secrets.token_hex(4),
            secrets.randbelow(1000),
        )

    results = []
    for seed in (5, 5, 6):
        process = (world := World(seed)).process("a", main)
        assert world.run_until(lambda process=process: not process.alive, 100_000)  # type: ignore[misc]
        results.append(process.result)
    assert results[0] == results[1] != results[2]
    passed, date, text, *_ = results[0]
    assert passed == pytest.approx(86400)
    assert (date, text) == ((2026, 1, 2), "2026-01-02")
    assert time.time() > 1_700_000_000 and time.time.__name__ == "time"  # the real one is back


def test_clocks_run_apart(world: World) -> None:
    ended: dict[str, int] = {}

    async def main(process: Process) -> None:
        await asyncio.sleep(100)
        ended[process.name] = world.now

    world.process("slow", main, clock=Clock(ppm=-100_000, offset=10**15))
    world.process("right", main)
    world.process("fast", main, clock=Clock(ppm=100_000))
    world.run(200)
    assert ended["right"] == 100 * 10**9
    assert ended["slow"] == pytest.approx(100e9 / 0.9, abs=1000)
    assert ended["fast"] == pytest.approx(100e9 / 1.1, abs=1000)


def test_a_loop_that_runs_in_circles_is_an_error_that_says_where(world: World) -> None:
    async def main(process: Process) -> None:
        while process.alive:  # noqa: ASYNC110
            await asyncio.sleep(0)

    world.process("dizzy", main)
    with pytest.raises(Livelock, match=r"dizzy runs in circles at 0 ns.*a step of Process\._run"):
        world.run(1)


def test_events_without_any_time_are_an_error_that_says_where(world: World) -> None:
    def again() -> None:
        world.at(world.now, again)

    world.after(2, again)
    with pytest.raises(Livelock, match=r"events at 2000000000 ns; the last one is .*again"):
        world.run(3)


def test_a_program_that_fails_ends_the_run_unless_it_may(world: World) -> None:
    async def main(process: Process) -> None:
        await asyncio.sleep(1)
        raise ValueError("no")

    process = world.process("a", main)
    with pytest.raises(ProcessFailed, match="a failed: ValueError: no"):
        world.run(2)
    process.may_fail = True
    process.restart()
    world.run(2)
    assert isinstance(process.error, ValueError)
    assert not process.alive


def test_a_condition_that_never_comes_true_is_told(world: World) -> None:
    assert not world.run_until(lambda: False, 5)
    assert world.now == 5 * 10**9


def test_an_executors_job_takes_virtual_time(world: World) -> None:
    async def main(process: Process) -> tuple[int, float]:
        before = time.monotonic()
        result = await asyncio.get_running_loop().run_in_executor(None, slow, 20)
        with pytest.raises(ZeroDivisionError):
            await asyncio.get_running_loop().run_in_executor(None, slow, 0)
        return result, time.monotonic() - before

    def slow(number: int) -> int:
        time.sleep(3)
        return 100 // number

    process = world.process("a", main)
    world.run(10)
    result, passed = process.result
    assert result == 5
    assert 6 < passed < 6.001


def test_a_stalled_process_does_nothing_for_a_while(world: World) -> None:
    async def main(process: Process) -> float:
        await asyncio.sleep(1)
        return time.monotonic()

    process = world.process("a", main)
    world.after(0.5, process.stall, 10)
    world.run(20)
    assert process.result == 10.5


def test_a_fault_of_the_scenario_is_not_swallowed_by_the_program(world: World) -> None:
    def wrong(packet: Packet) -> Cut | None:
        raise AssertionError("the checker has found something")

    Packets(world.network, wrong)
    world.process("broker", broker())
    world.process("producer", programs.publisher(["x"], 1))
    with pytest.raises(ProcessFailed, match=r"the scenario failed: AssertionError: the checker"):
        world.run(10)


@pytest.mark.parametrize("cut", [Cut("beside"), Cut("after", "softly")])
def test_a_cut_that_does_not_exist_is_refused(world: World, cut: Cut) -> None:
    Packets(world.network, lambda packet: cut)
    world.process("broker", broker())
    world.process("producer", programs.publisher(["x"], 1))
    with pytest.raises(ProcessFailed, match="ValueError: a cut "):
        world.run(10)


async def test_a_world_runs_inside_a_coroutine_of_another_loop(world: World) -> None:
    async def main(process: Process) -> asyncio.AbstractEventLoop:
        await asyncio.sleep(1)
        return asyncio.get_running_loop()

    process = world.process("a", main)
    before = asyncio.get_running_loop()
    world.run(2)
    assert process.result is process.loop
    assert asyncio.get_running_loop() is before
    await asyncio.sleep(0)


def test_the_tasks_of_a_group_are_cancelled_in_the_same_order_in_each_run() -> None:
    def order() -> list[int]:
        found: list[int] = []

        async def wait(number: int) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                found.append(number)

        async def main(process: Process) -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(40):
                    group.create_task(wait(number))
                await asyncio.sleep(1)
                raise asyncio.CancelledError

        world = World(1)
        world.process("a", main)
        world.run(2)
        return found

    first = order()
    occupied = [order() for _ in range(5)]
    assert len(first) == 40
    assert all(later == first for later in occupied)


def test_a_broker_that_was_killed_leaves_no_filter_on_the_log_of_others() -> None:
    before = list(logging.getLogger("mqttlite.broker").filters)
    world = World(1)
    running = world.process("broker", broker())
    world.run(1)
    running.cut_power()
    world.close()
    assert logging.getLogger("mqttlite.broker").filters == before
