"""Processes that are killed, lose power, are started again and end."""

import asyncio
import gc
from collections.abc import Callable
from contextvars import ContextVar

import pytest

from mqttlite.client import Client
from mqttlite.sim.net.packets import Cut, Packet, Packets
from mqttlite.sim.process import Process
from mqttlite.sim.programs import broker
from mqttlite.sim.world import World

from . import programs


@pytest.mark.parametrize("how", ["kill", "cut_power"])
@pytest.mark.parametrize(
    "moment", [("PUBLISH", "before"), ("PUBLISH", "inside"), ("PUBLISH", "after"), ("PUBREL", "after")]
)
def test_a_publisher_with_a_store_goes_on_after_its_death(world: World, how: str, moment: tuple[str, str]) -> None:
    got: list[str] = []

    async def main(process: Process) -> None:
        async with Client("mqtt://broker", client_id="p", retry_first=True, store=process.sqlite_store()) as client:
            for number in range(3):  # one that is in the store already is not accepted again
                await client.publish("a", str(number), 2, key=("p", number))
            await client.drain(1000)

    def at_packet(packet: Packet) -> Cut | None:
        if packet.kind == moment[0] and packet.way.source.process is producer and producer.life == 1:
            return Cut(moment[1], "none", getattr(producer, how))
        return None

    world.process("broker", broker())
    consumer = world.process("consumer", programs.subscriber(got, 3))
    producer = world.process("producer", main, start=False)
    Packets(world.network, at_packet)
    assert world.run_until(lambda: world.reached["subscribed"] == 1, 10)
    producer.start()
    assert world.run_until(lambda: not producer.alive, 60)
    assert producer.error is None
    world.after(1, producer.restart)
    assert world.run_until(lambda: producer.life == 2 and not consumer.alive and not producer.alive, 60)
    assert got == ["0", "1", "2"]


def test_finally_blocks_of_the_dead_have_no_effect(world: World) -> None:
    reached: list[str] = []

    async def main(process: Process) -> None:
        try:
            async with Client("mqtt://broker", client_id="a", retry_first=True, store=process.sqlite_store()) as client:
                await client.publish("a", "1", 1)
                world.reach("up")
                await asyncio.Event().wait()
        finally:
            reached.append("first")
            process.mount.create("written by the dead")
            asyncio.get_running_loop().call_later(1, reached.append, "later")
            asyncio.create_task(asyncio.sleep(1)).add_done_callback(lambda _: reached.append("task"))
            await asyncio.sleep(1)
            reached.append("second")

    packets = Packets(world.network)
    world.process("broker", broker())
    process = world.process("a", main)
    assert world.run_until(lambda: world.reached["up"] == 1, 10)
    world.run(1)
    files, count = process.disk.files(), packets.count
    process.kill()
    gc.collect()
    world.run(10)
    assert reached == ["first"]
    assert process.disk.files() == files
    assert packets.count == count
    assert not process.unhandled


def test_the_peer_of_a_killed_process_is_told_and_that_of_one_without_power_is_not() -> None:
    def noticed(kill: Callable[[Process], None]) -> float:
        world = World(1)
        lost: list[float] = []

        async def main(process: Process) -> None:
            def on_connection(connected: bool, reason: str) -> None:
                if not connected:
                    lost.append(world.now / 1e9)

            async with Client("mqtt://broker", keep_alive_s=10, timeout_s=5, on_connection=on_connection):
                await asyncio.Event().wait()

        server = world.process("broker", broker())
        world.process("client", main)
        world.run(1)
        kill(server)
        world.run_until(lambda: bool(lost), 100)
        return lost[0]

    assert noticed(Process.kill) < 1.01
    assert 10 < noticed(Process.cut_power) <= 16.1


def test_a_machine_that_is_back_refuses_old_connections(world: World) -> None:
    lost: list[str] = []

    async def main(process: Process) -> None:
        def on_connection(connected: bool, reason: str) -> None:
            if not connected:
                lost.append(reason)

        async with Client("mqtt://broker", keep_alive_s=10, client_id="c", on_connection=on_connection) as client:
            await asyncio.sleep(2)
            await client.publish("a", "x", 1)
            await client.drain(100)

    server = world.process("broker", broker())
    client = world.process("client", main)
    world.run(1)
    server.cut_power()
    world.after(0.5, server.start)
    assert world.run_until(lambda: not client.alive, 10)
    assert len(lost) == 1 and "reset" in lost[0].lower()


def test_the_dead_are_closed_to_the_end_where_they_reset_a_context_variable(world: World) -> None:
    current = ContextVar("current", default=0)
    closed: list[str] = []

    async def inner() -> None:
        token = current.set(1)
        try:
            await asyncio.Event().wait()
        finally:
            current.reset(token)  # of another context than the one in which the dead are closed

    async def main(process: Process) -> None:
        try:
            await inner()
        finally:
            closed.append("main")

    process = world.process("a", main)
    world.run(1)
    process.kill()
    assert closed == ["main"]


def test_an_orderly_stop_lets_the_program_finish(world: World) -> None:
    order: list[str] = []

    async def helper() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            order.append("helper")

    async def main(process: Process) -> None:
        helping = asyncio.create_task(helper())
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)
            order.append("main")
        assert helping

    process = world.process("a", main)
    world.after(1, process.stop)
    world.run(10)
    assert order == ["main", "helper"]
    assert not process.alive and process.error is None
    assert [entry for entry in world.trace if entry[2] == "end"] == [(2 * 10**9, "a", "end", "1")]


def test_a_signal_handler_is_called_in_the_place_of_cancelling(world: World) -> None:
    async def main(process: Process) -> str:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(15, stop.set)
        await stop.wait()
        return "stopped"

    process = world.process("a", main)
    world.after(1, process.stop)
    world.run(2)
    assert process.result == "stopped"


def test_a_process_that_kills_itself_does_nothing_more(world: World) -> None:
    done: list[str] = []

    async def main(process: Process) -> None:
        asyncio.get_running_loop().call_soon(done.append, "ready")
        try:
            process.kill()
        except Exception:
            done.append("caught")
        done.append("after")

    process = world.process("a", main)
    world.run(1)
    assert done == []
    assert not process.alive


def test_a_reboot_starts_the_monotonic_clock_again_and_not_the_wall_clock(world: World) -> None:
    async def main(process: Process) -> None:
        await asyncio.Event().wait()

    process = world.process("a", main)
    world.run(100)
    process.cut_power()
    world.run(10)
    wall = process.clock.time(world.now)
    process.start()
    assert process.clock.monotonic(world.now) == 0
    assert process.clock.time(world.now) == wall
