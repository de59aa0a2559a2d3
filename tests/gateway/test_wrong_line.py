"""The commonest first mistakes at a line: the gateway says what is there, in its log and in its status."""

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mqttlite.cli.demo.pty_line import NoisyLine
from mqttlite.client import Client
from mqttlite.link import Link
from mqttlite.serial.diagnosis import KINDS
from mqttlite.serial.ports import open_port
from mqttlite_gateway.lines.saying import Saying
from mqttlite_gateway.lines.watch import LOOK_S, PAUSE_MAX_S, Watch
from tests.gateway.world import Program, Watcher, beside, watching
from tests.peers import RUN_TIMEOUT_S, MicroPython, Mosquitto
from tests.runtimes import ROOT
from tests.serial.test_diagnosis import BOOT, FAILED, PROMPT

BAUD = 115200
# The command, in a hurry.
GATEWAY = """
import sys
import mqttlite_gateway.lines.watch
from mqttlite.cli import main
mqttlite_gateway.lines.watch.LOOK_S = 0.4
sys.exit(main())
"""


@contextlib.asynccontextmanager
async def line_and_gateway(url: str) -> AsyncIterator[tuple[NoisyLine, Program, Watcher]]:
    """A line, the gateway at its end a, and somebody who watches its status."""
    async with NoisyLine(BAUD) as line, watching(url, "gw/#") as watcher:
        serial = ["--serial", line.a_path, "--status-topic", "gw", "--status-every", "0.2"]
        async with Program(sys.executable, "-c", GATEWAY, "gateway", "--upstream", url, *serial) as box:
            yield line, box, watcher


async def status(watcher: Watcher, line: NoisyLine, looks_like: str) -> dict[str, Any]:
    """The first state of a line that looks like this."""
    topic = f"gw/line{line.a_path}"
    count = 1
    while True:
        state: dict[str, Any] = json.loads((await watcher.count(topic, count))[-1])
        if state["looks_like"] == looks_like:
            return state
        count = len(set(watcher.got[topic])) + 1


def client(line: NoisyLine, name: str = "device") -> Client:
    return Client(f"serial://{line.b_path}?baud={BAUD}", client_id=name, retry_first=True)


@contextlib.asynccontextmanager
async def trying(line: NoisyLine) -> AsyncIterator[Client]:
    """Our own client at end b."""
    device = client(line)
    try:
        async with beside(device.start()):
            yield device
    finally:
        await device.close()


async def test_our_own_client_at_another_baud_rate_gets_the_hint_and_then_connects(mosquitto: Mosquitto) -> None:
    async with line_and_gateway(mosquitto.url) as (line, box, watcher):
        line.baud_b = 9600
        async with trying(line) as device:
            said = await box.says("no device yet: ")
            while "baud rate" not in said:  # silence, if the client was slow
                said = await box.says("no device yet: ", 2)
            assert "115200" in said
            while not (await watcher.count(f"gw/line{line.a_path}", 1))[-1].count(b"baud rate"):
                await watcher.count(f"gw/line{line.a_path}", len(set(watcher.got[f"gw/line{line.a_path}"])) + 1)
            line.baud_b = BAUD
            await box.says("device 'device' is there")
            await (await device.publish("t/up", "1", qos=1)).completed()
            state = await status(watcher, line, "")
            while not state["link"]:
                state = await status(watcher, line, "")
            assert (state["advice"], state["broker_problem"]) == ("", "")


async def test_a_missing_wire_is_named_by_its_direction(mosquitto: Mosquitto) -> None:
    async with line_and_gateway(mosquitto.url) as (line, box, watcher):
        line.broken = {"ab", "ba"}
        async with trying(line):
            await box.says("no device yet: nothing arrives")
            line.broken = {"ab"}
            assert "TX here go to RX of the board" in await box.says("device 'device' is heard, but does not hear us")
            assert "device 'device' is heard" in (await status(watcher, line, "one way"))["advice"]
            line.broken = set()
            await box.says("device 'device' is there")


async def test_rx_and_tx_joined_and_text_with_escapes(mosquitto: Mosquitto) -> None:
    async with line_and_gateway(mosquitto.url) as (line, box, watcher):
        port = open_port(line.b_path)

        async def echo() -> None:
            while True:
                await port.write(await port.read())

        async with beside(echo()):
            await box.says("our own frames come back")
            await status(watcher, line, "loopback")
        async with asyncio.timeout(RUN_TIMEOUT_S):
            while not any("of text" in said for said in box.lines):
                await port.write(b"\x1b[2Jhello\x1b]0;evil\x07\r\n2026-01-01 WARNING forged\x1b[0m\r\n")
                await asyncio.sleep(0.1)
        assert "2026-01-01 WARNING forged\\x1b[0m" in await box.says("of text")
        assert not [said for said in box.lines if "\x1b" in said or said.startswith("2026-01-01 W")]
        port.close()


async def test_a_real_micropython_prompt_is_recognised_though_our_frames_are_typed_into_it(
    mosquitto: Mosquitto,
) -> None:
    program = str(MicroPython().program)
    async with line_and_gateway(mosquitto.url) as (line, box, watcher):
        terminal = os.open(line.b_path, os.O_RDWR | os.O_NOCTTY)
        process = await asyncio.create_subprocess_exec(program, stdin=terminal, stdout=terminal, stderr=terminal)
        os.close(terminal)
        try:
            await box.says("it looks like a MicroPython prompt")
            await status(watcher, line, "micropython prompt")
        finally:
            process.kill()
            await process.wait()


async def test_a_port_that_is_not_there_has_a_status_too(mosquitto: Mosquitto) -> None:
    async with line_and_gateway(mosquitto.url) as (line, _, watcher):
        line.unplug("a")
        assert "does not exist" in (await status(watcher, line, "no port"))["advice"]
        line.replug("a")
        await status(watcher, line, "silence")


# -- when something is said


class Watched:
    """A watch, with a log to look at and a clock of its own."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "mqttlite.gateway")
        self.caplog = caplog
        self.watch = Watch(Link(5), BAUD, Saying(logging.getLogger("mqttlite.gateway"), "/dev/x", burst=10**6))
        self.now = 0.0

    def look(self, data: bytes) -> str:
        """What is said after LOOK_S in which `data` has come; "" for nothing."""
        self.caplog.clear()
        self.watch._hear(data)
        self.now += LOOK_S
        self.watch._look(self.now)
        return "".join(record.getMessage() for record in self.caplog.records)


async def test_a_finding_is_said_once_and_again_when_it_is_another_one(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(caplog)
    assert "nothing arrives" in watched.look(b"")
    assert not watched.look(b"")
    assert "boot messages" in watched.look(BOOT)
    assert not watched.look(BOOT)
    assert not watched.look(b"")
    watched.now += PAUSE_MAX_S
    assert "ImportError" in watched.look(FAILED + PROMPT)
    assert watched.watch.finding
    assert watched.watch.finding.kind == "traceback"


async def test_a_line_that_changes_all_the_time_is_said_in_ever_longer_steps(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(caplog)
    day = 24 * 3600 / LOOK_S
    said = [at for at in range(int(day)) if watched.look(PROMPT if at % 2 else bytes(9))]
    assert said[0] == 0
    assert 24 * 3600 / PAUSE_MAX_S - 5 < len(said) <= 24 * 3600 / PAUSE_MAX_S + 10
    assert watched.watch.finding
    assert watched.watch.finding.kind == "micropython prompt"  # the status has the latest


async def test_that_a_device_that_has_gone_is_silent_is_no_news_but_its_prompt_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched = Watched(caplog)
    watched.look(b"")
    watched.watch.device_came()
    assert watched.watch.finding is None
    watched.watch.device_went()
    assert not watched.look(b"")
    assert "no device any more: " in watched.look(FAILED + PROMPT)


def test_the_table_in_the_docs_has_each_finding() -> None:
    text = (ROOT / "docs/pi.md").read_text(encoding="utf-8").split("## No device comes")[1].split("## Wiring")[0]
    for kind in (*KINDS, "no port"):
        if kind != "two devices":  # which only a device can find
            assert f"`{kind}`" in text, kind
