"""Goodput of the whole way over a serial line: payload bytes per byte that the line can carry, through the code that is
shipped: client and link on the board, gateway, broker.

64-byte payloads, 10-character topics; from the first message to the last, confirmed (up) or received (down). In virtual
time: a line of the simulator, without noise. What a board's processor adds is an argument.

    python -m benchmarks.line_goodput                             115200 baud, a board that takes no time
    python -m benchmarks.line_goodput --frame-ms 3 --pause-ms 20 --pause-every 20
    python -m benchmarks.line_goodput --interpreter               MicroPython, 32 bits, on a paced pseudo-terminal
"""

import argparse
import asyncio
import contextlib
import io
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mqttlite.cli.demo.pty_line import NoisyLine
from mqttlite.client import Client
from mqttlite.sim import programs
from mqttlite.sim.lines.serial import SerialLine
from mqttlite.sim.process import Process
from mqttlite.sim.timeline import SECOND
from mqttlite.sim.world import World
from tests.gateway.world import COMMAND, Program
from tests.peers import Mosquitto
from tests.runtimes import built, micropython_env
from tests.variants.variants import library

PAYLOAD = 64
UP, DOWN = "boards/b-1", "boards/b-2"
PORT, GATEWAY_PORT = "/dev/ttyUSB0", "/dev/ttyACM0"
BITS = 10  # of the line for each byte
LIMIT_S = 3600.0
MS = 1_000_000  # ns

WAYS = ("up", "down", "both")
# What is to be reached at 115,200 baud without noise, by QoS, by a board that takes no time.
REQUIRED = {"up": (0.70, 0.70, 0.65), "down": (0.70, 0.70, 0.65)}


class Line(NamedTuple):
    """`latency_ms`: each way. `frame_ms`: what the board takes for each frame that it reads or writes; `pause_ms`: how
    long it pauses, as for a garbage collection, after every `pause_every` of them.
    """

    baud: int = 115200
    window: int = 8
    latency_ms: float = 4.0
    frame_ms: float = 0.0
    pause_ms: float = 0.0
    pause_every: int = 20


class SlowPort:
    """A port of a processor that needs time."""

    def __init__(self, port: Any, world: World, line: Line) -> None:
        self._port = port
        self._world = world
        self._line = line
        self._frames = 0
        self.close = port.close

    async def read(self) -> bytes:
        data: bytes = await self._port.read()
        self._take_time()
        return data

    async def write(self, data: bytes) -> None:
        self._take_time()
        await self._port.write(data)

    def _take_time(self) -> None:
        self._frames += 1
        ms = self._line.frame_ms + (0 if self._frames % self._line.pause_every else self._line.pause_ms)
        self._world.ahead += round(ms * MS)


class Run:
    """One board, its line, gateway, broker and the client at the broker that it speaks with."""

    def __init__(self, line: Line, way: str, qos: int, count: int) -> None:
        self.world = World(1, keep_trace=False)
        self.count = count
        self.begun: dict[str, int] = {}
        self.ended: dict[str, int] = {}
        self._line = line
        self._ways = WAYS[:2] if way == "both" else (way,)
        self._qos = qos
        wire = SerialLine(self.world, "board", PORT, "gateway", GATEWAY_PORT, boot=b"")
        wire.latency = (round(line.latency_ms * MS),) * 2
        wire.split = 0.0
        self.wire = wire
        options = f"?baud={line.baud}&window={line.window}"
        self.world.process("broker", programs.broker())
        self.world.process("gateway", programs.gateway(GATEWAY_PORT + options))
        self._ready = 0
        self.world.process("server", self._end("mqtt://broker", DOWN, UP, "up"))
        self.world.process("board", self._end(f"serial://{PORT}{options}", UP, DOWN, "down"))

    def _end(self, url: str, outward: str, inward: str, arriving: str) -> Callable[[Process], Any]:
        """A client that publishes on `outward` and receives from `inward`, which is the way `arriving`."""
        leaving = "down" if arriving == "up" else "up"

        async def main(_process: Process) -> None:
            client = Client(url, client_id=outward[-3:], retry_first=True)
            if arriving == "down":
                self._slow_down(client)
            async with client:
                if arriving in self._ways:
                    await client.subscribe(inward, self._qos)
                self._ready += 1
                while self._ready < 2:  # noqa: ASYNC110 (nobody has an event that two processes share)
                    await asyncio.sleep(0.01)
                tasks = []
                if leaving in self._ways:
                    tasks.append(self._publish(client, outward, leaving))
                if arriving in self._ways:
                    tasks.append(self._receive(client, arriving))
                await asyncio.gather(*tasks)
                await asyncio.sleep(LIMIT_S)

        return main

    def _slow_down(self, client: Client) -> None:
        """The client is a board's."""
        connector: Any = client._connector
        opened = connector.open_port
        connector.open_port = lambda baud: SlowPort(opened(baud), self.world, self._line)

    async def _publish(self, client: Client, topic: str, way: str) -> None:
        self.begun[way] = self.world.now
        for number in range(self.count):
            await client.publish(topic, b"%064d" % number, self._qos)
        await client.drain(LIMIT_S)
        if self._qos and way == "up":
            self.ended[way] = self.world.now

    async def _receive(self, client: Client, way: str) -> None:
        number = 0
        async for message in client:
            if int(message.payload) != number:
                raise AssertionError(f"{way}: message {message.payload!r} in the place of {number}")
            number += 1
            if number == self.count:
                break
        self.ended.setdefault(way, self.world.now)

    def goodput(self) -> list[float]:
        """Of each way."""
        if not self.world.run_until(lambda: len(self.ended) == len(self._ways), LIMIT_S):
            raise AssertionError(f"{self.ended} after {LIMIT_S:g} s")
        rate = self._line.baud / BITS
        return [self.count * PAYLOAD / ((self.ended[way] - self.begun[way]) / SECOND * rate) for way in self._ways]


def goodput(line: Line, way: str, qos: int, count: int) -> list[float]:
    """Payload per byte time of the line: of the way, or up and down."""
    run = Run(line, way, qos, count)
    try:
        return run.goodput()
    finally:
        run.world.close()


async def on_interpreter(way: str, qos: int, count: int) -> float:
    """The same with MicroPython as the board and Mosquitto as the broker, in real time: the pseudo-terminals are paced
    to the line's rate, and this machine's processor is far quicker than a board's.
    """
    line = Line()
    quiet = {"log_type": "error", "max_queued_messages": 100_000}
    options = f"?baud={line.baud}&window={line.window}"
    argv = ["-X", "heapsize=110k", "-m", "line_app"]
    library_path = library("all")
    apps = Path(__file__).parent / "board"
    rate = line.baud / BITS / 1000
    with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder), persistence=False, settings=quiet) as broker:
        async with NoisyLine(line.baud) as wire, Client(broker.url, client_id="server") as server:
            url = f"serial://{wire.b_path}{options}"
            board = Program(
                str(built(32)), *argv, url, way, str(qos), str(count), env=micropython_env([apps, library_path])
            )
            port = wire.a_path + options
            await server.subscribe(UP, qos)
            async with Program(*COMMAND, "gateway", "--upstream", broker.url, "--serial", port), board:
                await board.says("ready")
                if way == "up":
                    return count * PAYLOAD / (int((await board.says("sent")).split()[1]) * rate)
                for number in range(count):
                    await server.publish(DOWN, b"%064d" % number, qos)
                first, last = [int((await board.says(word)).split()[1]) for word in ("first", "last")]
                return (count - 1) * PAYLOAD / ((last - first) * rate)


def main(args: Sequence[str]) -> int:
    """Command line; exit status 1 where a board that takes no time reaches less than is required."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.line_goodput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--count", type=int, default=1000, help="messages (default: %(default)s)")
    parser.add_argument("--interpreter", action="store_true", help="MicroPython, in real time, at 115200 baud")
    for name, default in Line._field_defaults.items():
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=type(default), default=default, help="(default: %(default)s)")
    options = parser.parse_args(args)
    line = Line(*(getattr(options, name) for name in Line._fields))
    print(f"{'goodput, share of the line':<28}{'QoS 0':>16}{'QoS 1':>16}{'QoS 2':>16}")
    short = False
    for way in WAYS[:2] if options.interpreter else WAYS:
        cells = ""
        for qos in range(3):
            if options.interpreter:
                with contextlib.redirect_stdout(io.StringIO()):  # what the programs say
                    found = [asyncio.run(on_interpreter(way, qos, options.count))]
            else:
                found = goodput(line, way, qos, options.count)
                short |= line == Line() and way in REQUIRED and found[0] < REQUIRED[way][qos]
            cells += f"{' and '.join(f'{share:.3f}' for share in found):>16}"
        print(f"{way if way != 'both' else 'both at once, up and down':<28}{cells}", flush=True)
    return int(short)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
