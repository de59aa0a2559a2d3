"""The gateway and its devices on one bus of pseudo-terminals: real programs, some of them on the MicroPython
interpreter.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from mqttlite.client import Client
from mqttlite_gateway.config import Config, ConfigError, load
from mqttlite_gateway.gateway import Gateway
from mqttlite_gateway.operating.health import reasons
from mqttlite_gateway.settings.bus_port import BusPort
from tests import runtimes
from tests.gateway.pty_bus import PtyBus
from tests.gateway.world import COMMAND, Program, numbers, watching
from tests.peers import MicroPython, Mosquitto
from tests.runtimes import ROOT

BAUD = 115200
DEVICE = Path(__file__).with_name("bus_device.py")


def gateway(upstream: str, bus: PtyBus, folder: Path, text: str) -> Program:
    """`mqttlite gateway` with a [[bus]]."""
    file = folder / "gateway.toml"
    file.write_text(
        f'upstream = "{upstream}"\nstatus_topic = "gw"\nstatus_every_s = 0.5\n[[bus]]\n{text}\n'
        f'path = "{bus.path("gateway")}"\nbaud = {bus.baud}\n'
    )
    return Program(*COMMAND, "gateway", "--config", str(file))


def device(bus: PtyBus, name: str, address: int, runtime: str, count: int, options: str = "") -> Program:
    """tests/gateway/bus_device.py at an address."""
    url = f"serial://{bus.path(name)}?baud={bus.baud}&address={address}{options}"
    args = [url, name, str(count)]
    if runtime == "micropython":
        argv = runtimes.micropython_argv(MicroPython().program, DEVICE, args, heap="512k")
        return Program(*argv, env=runtimes.micropython_env())
    return Program(sys.executable, str(DEVICE), *args, env={**os.environ, "PYTHONPATH": str(ROOT)})


async def test_devices_of_both_runtimes_share_a_noisy_bus_and_lose_nothing(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    names = ["a", "b", "c"]
    async with (
        PtyBus(["gateway", *names], BAUD, bit_errors=5e-5, seed=3) as bus,
        watching(mosquitto.url, "bus/#", "gw/#") as watcher,
        gateway(mosquitto.url, bus, tmp_path, 'addresses = "1-8"') as program,
        device(bus, "a", 1, "micropython", 30) as a,
        device(bus, "b", 2, "micropython", 30) as b,
        device(bus, "c", 7, "cpython", 30) as c,
    ):
        for each in (a, b, c):
            await each.says("subscribed")
        for name in names:
            await watcher.client.publish(f"to/{name}", b"hello " + name.encode(), qos=2)
        for each, name in zip((a, b, c), names, strict=True):
            await each.says(f"got hello {name}")
            await each.says("all confirmed")
            assert numbers(await watcher.count(f"bus/{name}", 30)) == list(range(30))
        state = json.loads((await watcher.count("gw/c", 1))[-1])
        await program.says("device 'c' is there")
    assert (state["address"], state["link"], state["bus"]) == (7, True, bus.path("gateway"))
    assert state["port"] == bus.path("gateway") + "/7"
    assert 0 < state["bus_share"] < 1
    assert not any("gw/line" in topic and topic.endswith("/5") for topic in watcher.got)  # nobody was heard there


async def test_a_device_that_is_killed_is_missed_and_comes_back_while_the_other_goes_on(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with (
        PtyBus(["gateway", "a", "b"], BAUD) as bus,
        watching(mosquitto.url, "bus/#") as watcher,
        gateway(mosquitto.url, bus, tmp_path, "addresses = [1, 2]\nsilent_ms = 500") as program,
        device(bus, "a", 1, "cpython", 5) as a,
    ):
        b = device(bus, "b", 2, "cpython", 5)
        async with b:
            await watcher.count("bus/b", 5)
        await program.says("device 'b' is gone: the peer is silent")
        async with device(bus, "b", 2, "cpython", 8):
            assert numbers(await watcher.count("bus/b", 8))[-8:] == list(range(8))
        assert numbers(await watcher.count("bus/a", 5)) == list(range(5))
        await a.says("all confirmed")


async def test_an_address_that_should_be_there_and_does_not_answer_is_a_line_with_advice(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with (
        PtyBus(["gateway"], BAUD) as bus,
        watching(mosquitto.url, "gw/#") as watcher,
        gateway(mosquitto.url, bus, tmp_path, 'addresses = "1-4, 9"'),
    ):
        topic = f"gw/line{bus.path('gateway')}/9"
        state: dict[str, Any] = {}
        seen = 0
        while not state or state["turns"]["missed"] < 3:
            seen += 1
            state = json.loads((await watcher.count(topic, seen))[-1])
    assert state["looks_like"] == "silence"
    assert "nothing answers at address 9" in state["advice"]
    assert not any(topic.endswith("/3") for topic in watcher.got)


async def test_a_gateway_without_the_adapter_of_its_bus_is_not_well_though_no_device_was_ever_heard() -> None:
    config = Config(buses=[BusPort("/dev/no-such-bus", "1-8"), BusPort("/dev/no-such-one", "1, 2")], console="")
    async with Gateway(config, asks=False) as gateway:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        found = reasons(gateway)
    assert len(found) == 2 and all("/dev/no-such-" in reason for reason in found)


async def test_a_device_whom_nobody_asks_says_so(mosquitto: Mosquitto, tmp_path: Path) -> None:
    from mqttlite.core.errors import ConnectError
    from mqttlite.serial import dialer

    async with PtyBus(["gateway", "a"], BAUD) as bus, gateway(mosquitto.url, bus, tmp_path, "addresses = [1]"):
        before, dialer.BUS_SILENT_S = dialer.BUS_SILENT_S, 1
        try:
            with pytest.raises(ConnectError, match="nobody asks for address 33"):
                async with Client(f"serial://{bus.path('a')}?address=33", client_id="a"):
                    pass
        finally:
            dialer.BUS_SILENT_S = before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('addresses = "0-3"', r"\[\[bus\]\] number 1: addresses 0-3: must be 1 to 127"),
        ('addresses = "9-3"', "the lower one first"),
        ("addresses = [1, true]", "or a list of numbers"),
        ('addresses = "a"', "must be a number, or two with a dash"),
        ("frames = 16", "frames 16: must be 1 to 15"),
        ('driver = "dtr"', "must be adapter or rts"),
        ("idle_ms = -1", "idle_ms -1: must be 0 to 60000"),
        ("baud = 1", "baud 1: must be 300 to 4000000"),
        ("baut = 1", "baut"),
    ],
)
def test_what_a_bus_cannot_be_is_said_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(f'[[bus]]\npath = "/dev/ttyUSB0"\n{text}\n')
    with pytest.raises(ConfigError, match=words):
        load(file)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/dev/ttyUSB0?adresses=1", "unknown option 'adresses'; there are addresses, baud"),
        ("/dev/ttyUSB0?frames=many", "frames is not a number"),
        ("/dev/ttyUSB0?addresses=0", "addresses 0: must be 1 to 127"),
        ("ttyUSB0", "must be a device such as /dev/ttyUSB0"),
    ],
)
def test_a_bus_on_the_command_line_is_checked(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        BusPort.parse(text)
    assert BusPort.parse("/dev/ttyS1?addresses=1-3,9&frames=8&driver=rts") == BusPort(
        "/dev/ttyS1", "1-3,9", frames=8, driver="rts"
    )


def test_addresses_are_ranges_and_numbers(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('[[bus]]\npath = "/dev/ttyUSB0"\naddresses = "1-3, 20"\n[[bus]]\npath = "/dev/ttyUSB1"\n')
    first, second = load(file).buses
    assert (first.asked, first.named) == ([1, 2, 3, 20], {20})
    assert (second.asked, second.named) == (list(range(1, 33)), set())
