"""`mqttlite console` beside a gateway: who may, what it lists, and what it does without one. The board is a client of
this process; in tests/firmware/test_usb.py it is a real one.
"""

import asyncio
import os
import stat
from pathlib import Path

from mqttlite.cli.demo.pty_line import NoisyLine
from mqttlite.client import Client
from mqttlite_gateway.lines.console_socket import attached, folders, listed
from tests.gateway.world import COMMAND, Program, gateway
from tests.peers import Mosquitto

SOCKETS = Path(os.environ["XDG_RUNTIME_DIR"], "mqttlite")


def device(line: NoisyLine) -> Client:
    """A client on the line."""
    return Client(f"serial://{line.b_path}?baud=921600&window=16", client_id="pump")


async def test_the_socket_is_its_owners_alone_lists_the_lines_and_goes_with_the_gateway(mosquitto: Mosquitto) -> None:
    assert folders()[0] == SOCKETS
    async with NoisyLine(921600) as line, gateway(mosquitto.url, line.a_path) as box:
        async with device(line):
            await box.says("device 'pump' is there")
            assert box.process
            path = SOCKETS / f"console-{box.process.pid}"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            assert await listed(path) == [{"port": line.a_path, "device": "pump", "state": "program"}]
            async with Program(*COMMAND, "console", "--list") as command:
                await command.says(f"{line.a_path}  device 'pump'  program: the program runs")
        assert await box.stop() == 0
        assert not path.exists()
        assert await listed(path) == []


async def test_a_console_that_does_not_read_holds_neither_gateway_nor_others_up(mosquitto: Mosquitto) -> None:
    async with (
        NoisyLine(921600) as line,
        gateway(mosquitto.url, line.a_path) as box,
        device(line) as pump,
    ):
        await box.says("device 'pump' is there")
        assert box.process
        path = SOCKETS / f"console-{box.process.pid}"
        idle = await attached(path, line.a_path)
        reading = await attached(path, line.a_path)
        heard = bytearray()
        task = asyncio.create_task(reading.serve(heard.extend, lambda _: None))
        dialer = pump._connector.serial
        assert dialer
        while heard.count(b"\n") < 2000:  # more than a socket and the gateway keep for the idle one
            dialer.log(b"x" * 70 + b"\n")
            await asyncio.sleep(0.0005)
        await (await pump.publish("t", "still there", qos=2)).completed()
        task.cancel()
        idle.close()
        reading.close()


async def test_a_port_that_no_gateway_has_and_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    async with Program(*COMMAND, "console", str(tmp_path / "ttyUSB7")) as console:
        await console.says("does not exist")
        assert await console.ended() == 1
        assert not any("Ctrl-] leaves" in line or "left" in line for line in console.lines), "it has never begun"


async def test_a_socket_without_a_gateway_is_an_error(tmp_path: Path) -> None:
    async with Program(*COMMAND, "console", "--socket", str(tmp_path / "none"), "/dev/ttyUSB7") as console:
        await console.says("no gateway at")
        assert await console.ended() == 1
