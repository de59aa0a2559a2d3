"""From a device over a noisy line and the gateway to a broker and back: nothing lost, nothing twice, in order."""

import asyncio
import os
import re

import pytest

from mqttlite.cli.demo.pty_line import NoisyLine
from mqttlite.client import Client
from tests.gateway.world import (
    BAUD,
    BIT_ERRORS,
    COMMAND,
    DROPPED,
    OPTIONS,
    Program,
    device,
    gateway,
    numbers,
    watching,
)
from tests.peers import RUN_TIMEOUT_S, Mosquitto

COUNT = 1000
FEWER = 400  # where it is not the noise that matters
COMMANDS = 300
SEED = int(os.environ.get("SEED", "1"))  # of the noise


def noisy_line(seed: int = SEED) -> NoisyLine:
    return NoisyLine(BAUD, bit_errors=BIT_ERRORS, dropped=DROPPED, seed=seed)


@pytest.mark.parametrize("runtime", ["cpython", "micropython"])
async def test_a_thousand_messages_at_qos_2_arrive_once_and_in_order(quick_mosquitto: Mosquitto, runtime: str) -> None:
    async with noisy_line() as line, watching(quick_mosquitto.url, "t/up") as watcher:
        async with gateway(quick_mosquitto.url, line.a_path), device(line.b_path, runtime, count=COUNT) as board:
            await board.says("all confirmed")
            got = await watcher.count("t/up", COUNT)
            assert await board.ended() == 0
        assert numbers(got) == list(range(COUNT))
        assert min(line.noise_ab.flipped, line.noise_ba.flipped) > 0
        assert min(line.noise_ab.dropped, line.noise_ba.dropped) > 0


async def test_our_broker_does_as_well_as_mosquitto() -> None:
    async with Program(*COMMAND, "broker", "--listen", "mqtt://127.0.0.1:0") as broker:
        url = "mqtt://" + (await broker.says("listening on mqtt://")).split("mqtt://")[1].split()[0]
        async with noisy_line() as line, watching(url, "t/up") as watcher:
            async with gateway(url, line.a_path), device(line.b_path, count=FEWER) as board:
                await board.says("all confirmed")
                got = await watcher.count("t/up", FEWER)
            assert numbers(got) == list(range(FEWER))


async def test_at_qos_1_nothing_is_lost_and_first_deliveries_are_in_order(quick_mosquitto: Mosquitto) -> None:
    async with noisy_line() as line, watching(quick_mosquitto.url, "t/up") as watcher:
        async with gateway(quick_mosquitto.url, line.a_path), device(line.b_path, qos=1, count=FEWER) as board:
            await board.says("all confirmed")
            got = await watcher.count("t/up", FEWER)
        assert list(dict.fromkeys(numbers(got))) == list(range(FEWER))


@pytest.mark.parametrize("runtime", ["cpython", "micropython"])
async def test_commands_at_qos_2_reach_the_device_once_and_in_order(quick_mosquitto: Mosquitto, runtime: str) -> None:
    async with (
        noisy_line() as line,
        gateway(quick_mosquitto.url, line.a_path),
        device(line.b_path, runtime, commands=COMMANDS) as board,
    ):
        await board.says("subscribed")
        async with Client(quick_mosquitto.url) as commander:
            for number in range(COMMANDS):
                await commander.publish("t/down", str(number), qos=2)
        await board.says("all confirmed")
        got = [int(line.split()[1]) for line in board.lines if line.startswith("got ")]
        assert got == list(range(COMMANDS))


async def test_an_orderly_restart_of_mosquitto_in_full_flow_loses_nothing_and_repeats_nothing(
    mosquitto: Mosquitto,
) -> None:
    async with noisy_line() as line, watching(mosquitto.url, "t/up") as watcher:
        async with gateway(mosquitto.url, line.a_path), device(line.b_path, count=FEWER) as board:
            await watcher.count("t/up", FEWER // 2)
            await asyncio.to_thread(mosquitto.stop)
            await asyncio.to_thread(mosquitto.start)
            await board.says("all confirmed")
            got = await watcher.count("t/up", FEWER)
        assert numbers(got) == list(range(FEWER))


async def saved(mosquitto: Mosquitto) -> None:
    """Wait until Mosquitto has written its state: it does so after the round that answered the first of these."""
    async with Client(mosquitto.url) as client:
        for _ in range(2):
            await (await client.publish("t/other", qos=1)).completed()


async def test_mosquitto_killed_in_the_middle_loses_nothing_and_repeats_nothing(mosquitto: Mosquitto) -> None:
    """The device accepts messages all the time; the subscriber's session is persistent, and it is away."""
    async with watching(mosquitto.url, "t/up"):
        pass
    async with (
        noisy_line() as line,
        gateway(mosquitto.url, line.a_path),
        Client(f"serial://{line.b_path}{OPTIONS}", client_id="device", retry_first=True) as client,
    ):
        for number in range(FEWER // 2):
            await client.publish("t/up", str(number), qos=2)
        assert await client.drain(RUN_TIMEOUT_S)
        await saved(mosquitto)
        mosquitto.kill()
        for number in range(FEWER // 2, FEWER * 3 // 4):
            await client.publish("t/up", str(number), qos=2)
        await asyncio.to_thread(mosquitto.start)
        for number in range(FEWER * 3 // 4, FEWER):
            await client.publish("t/up", str(number), qos=2)
        assert await client.drain(RUN_TIMEOUT_S)
    async with watching(mosquitto.url, "t/up") as watcher:
        got = await watcher.count("t/up", FEWER)
    assert numbers(got) == list(range(FEWER))


async def test_of_a_mosquitto_killed_in_full_flow_only_what_it_acknowledged_can_be_lost(mosquitto: Mosquitto) -> None:
    """Mosquitto 2.0 sends PUBREC before it saves the message: it can lose what it has just taken. And it may count one
    message too many as unfinished afterwards, so that it acknowledges and drops the last of a full window (rc151 in its
    log). Nobody else may lose anything.
    """
    async with watching(mosquitto.url, "t/up"):
        pass
    async with (
        noisy_line() as line,
        gateway(mosquitto.url, line.a_path),
        device(line.b_path, count=FEWER) as board,
    ):
        await mosquitto.logged("Received PUBLISH from device", FEWER // 2)
        mosquitto.kill()
        before = mosquitto.log
        await asyncio.to_thread(mosquitto.start)
        await board.says("all confirmed")
    async with watching(mosquitto.url, "t/up") as watcher:
        async with Client(mosquitto.url) as last:  # comes after all that is queued
            await last.publish("t/up", str(FEWER), qos=2)
        await watcher.until("t/up", str(FEWER).encode())
        got = numbers(watcher.got["t/up"])[:-1]
    assert got == sorted(set(got))
    published = list(dict.fromkeys(re.findall(r"Received PUBLISH from device .*?m(\d+)", mosquitto.log)))
    acknowledged = set(re.findall(r"Sending PUBREC to device \(m(\d+)", before))
    dropped = set(re.findall(r"Sending PUBREC to device \(m(\d+), rc[1-9]", mosquitto.log))
    lost = [published[number] for number in set(range(FEWER)) - set(got)]
    assert set(lost) <= acknowledged | dropped
