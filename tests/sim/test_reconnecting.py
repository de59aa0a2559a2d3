"""How often a client connects again: quickly after a broker's restart, seldom where that leads nowhere."""

import asyncio

import pytest

from mqttlite.broker.limits import Limits
from mqttlite.client import Client, connector
from mqttlite.sim import programs
from mqttlite.sim.process import Process
from mqttlite.sim.world import World


def twin(log: list[float]) -> programs.Program:
    """A subscriber that shares its client identifier with others; `log`: when it was connected."""

    async def main(process: Process) -> None:
        def on_connection(connected: bool, reason: str) -> None:
            if connected:
                log.append(process.world.now / 1e9)

        async with Client(
            "mqtt://broker", client_id="same", retry_first=True, on_connection=on_connection, clean_session=False
        ) as client:
            subscribing = asyncio.create_task(client.subscribe("t", 1))
            async for _ in client:
                pass
            await subscribing

    return main


async def talker(process: Process) -> None:
    async with Client("mqtt://broker", retry_first=True) as client:
        while True:
            await client.publish("t", "x", 0)
            await asyncio.sleep(0.05)


def twins(seed: int, talks: bool) -> tuple[int, int, bool]:
    """Two clients with one identifier: connections in the first 12 seconds and in the second minute, and whether they
    are told.
    """
    world = World(seed)
    log: list[float] = []
    world.process("broker", programs.broker(limits=Limits(takeovers_a_minute=10_000)))  # no help from there
    for name in ("one", "two"):
        world.process(name, twin(log)).may_fail = True
    if talks:
        world.process("talker", talker)
    world.run(120)
    told = any("another client uses this client identifier ('same')" in str(text) for *_, text in world.trace)
    return len([at for at in log if at < 12]), len([at for at in log if at >= 60]), told


@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("talks", [True, False])
def test_two_clients_with_one_identifier_do_not_throw_each_other_out_all_the_time(seed: int, talks: bool) -> None:
    first, later, told = twins(seed, talks)
    assert first <= 20
    assert later <= 16
    assert told


def test_a_back_off_that_does_not_grow_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector.Connector, "greatest_ms", connector.DELAY_MS)
    assert twins(1, True)[0] > 60


@pytest.mark.parametrize("seed", range(1, 4))
def test_after_an_orderly_restart_of_the_broker_everybody_is_back_soon(seed: int) -> None:
    world = World(seed)
    logs: list[list[float]] = [[], []]
    broker = world.process("broker", programs.broker())
    for name, log in zip("ab", logs, strict=True):
        world.process(name, alone(log)).may_fail = True
    for _ in range(4):
        world.run(30)
        broker.stop()
        world.run(0.3)
        began = world.now / 1e9
        broker.start()
        world.run(1.5)
        for log in logs:
            assert log[-1] - began < 1
    for name in "ab":
        world.processes[name].kill()


def alone(log: list[float]) -> programs.Program:
    async def main(process: Process) -> None:
        def on_connection(connected: bool, reason: str) -> None:
            if connected:
                log.append(process.world.now / 1e9)

        client_id = process.name
        async with Client("mqtt://broker", client_id=client_id, retry_first=True, on_connection=on_connection):
            await asyncio.Event().wait()

    return main
