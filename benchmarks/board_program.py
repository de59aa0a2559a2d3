"""Heap of what is shipped: starter, program, bundle `all` and the least application, on MicroPython with 32 bits.

The least heap (`-X heapsize`, all of it) in which the whole program sends readings and obeys commands at QoS 2, both,
60 and 20 of them, through Mosquitto, and over a serial line through the gateway. What is alive, and what is free in a
heap of 110 KiB, is measured at the end, collected.

    python -m benchmarks.board_program                 the table
    python -m benchmarks.board_program long --count 100000     what is alive, over so many readings

As .mpy, the files are those of a fresh board (mqttlite/boards/supplies.py); frozen, those of firmware/manifest.py.
"""

import argparse
import asyncio
import contextlib
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mqttlite.boards import supplies
from mqttlite.cli.demo.pty_line import NoisyLine
from mqttlite.client import Client
from mqttlite_board.settings import encode
from tests.gateway.world import COMMAND, Program
from tests.peers import Mosquitto, end
from tests.runtimes import built, micropython_env, mpy_cross

APP = Path(__file__).parent / "board" / "minimal_app.py"
BAUD = 921600
READINGS, COMMANDS = 60, 20
QUEUE = 4
TIMEOUT_S = 15.0
RUNS = 2  # a heap is enough when so many runs, one after the other, get by with it
ROOMY = 200 * 1024
BOARD = 110 * 1024
LOW, HIGH = 20, 140  # KiB, between which the least heap is searched
TOPIC = "boards/b"
TROUBLE = ("Memory", "Traceback", "internal", "disconnected", "E50")
PROBE = """
import gc, app
def read():
    gc.collect()
    print("alive", gc.mem_alloc())
    return 21.5
app.read = read
"""


@dataclass
class Outcome:
    """Of one run: what has come, and what the board has printed."""

    readings: int = 0
    answers: list[dict[str, object]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def is_fine(self, readings: int, commands: int) -> bool:
        is_quiet = not any(word in line for line in self.said for word in TROUBLE)
        return self.readings >= readings and len(self.answers) >= commands and is_quiet

    def alive(self) -> list[int]:
        return [int(line.split()[1]) for line in self.said if line.startswith("alive ")]


class Bench:
    """A broker, a gateway and the folder of a board."""

    def __init__(self, folder: Path, broker: Mosquitto, line: str) -> None:
        self.broker = broker
        self.urls = {"serial": line, "TCP": broker.url}
        self._folders = {"plain": folder / "p", "frozen": folder / "f"}
        for kind, place in self._folders.items():
            place.mkdir()
            if kind == "plain":
                for name, data in supplies.file_system("all").items():
                    (place / name).parent.mkdir(parents=True, exist_ok=True)
                    (place / name).write_bytes(data)
            app = place / ("a/app.mpy" if kind == "plain" else "app.mpy")
            subprocess.run([str(mpy_cross()), "-O3", "-s", "app.py", "-o", app, APP], check=True)

    async def run(
        self,
        kind: str,
        link: str,
        store: str,
        heap: int,
        *,
        readings: int = READINGS,
        commands: int = COMMANDS,
        every_ms: int = 20,
        probe: bool = False,
        timeout_s: float = TIMEOUT_S,
    ) -> Outcome:
        """One life of the board, without what an earlier one has stored."""
        folder = self._folders[kind]
        for old in (*folder.glob("journal*"), folder / "boots.txt"):
            old.unlink(missing_ok=True)
        app = {"every_ms": every_ms, "queue": QUEUE}
        settings = {"name": "b", "url": self.urls[link], "store": store, "app": app}
        (folder / "settings.json").write_bytes(encode(settings))
        use = "start.use('a')\n" if kind == "plain" else ""
        prepare = f"import start\n{use}{PROBE}" if probe else ""
        script = f"import gc\ngc.threshold(4096)\n{prepare}import start\nstart.run()"
        process = await asyncio.create_subprocess_exec(
            *(str(built(32, kind)), "-X", f"heapsize={heap}", "-c", script),
            cwd=folder,
            env=micropython_env([folder]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        found = Outcome()
        listening = asyncio.create_task(self._hear(process, found))
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s), Client(self.broker.url) as client:
                    await client.subscribe(TOPIC + "/#", 2)
                    talking = asyncio.create_task(self._talk(client, found, readings, commands))
                    try:
                        await asyncio.wait([talking, listening], return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        talking.cancel()
        finally:
            await end(process)
            await listening
        return found

    async def _hear(self, process: asyncio.subprocess.Process, found: Outcome) -> None:
        assert process.stdout
        async for line in process.stdout:
            found.said.append(line.decode(errors="replace").rstrip())

    async def _talk(self, client: Client, found: Outcome, readings: int, commands: int) -> None:
        sent = 0
        async for message in client:
            found.readings += message.topic == TOPIC + "/t"
            if message.topic == TOPIC + "/answer":
                found.answers.append(json.loads(message.payload))
            if found.readings and sent < commands and sent <= len(found.answers):
                await client.publish(TOPIC + "/command", json.dumps({"do": "ping", "id": sent}), qos=2)
                sent += 1
            if found.readings >= readings and len(found.answers) >= commands:
                return

    async def least(self, kind: str, link: str, store: str) -> int:
        """KiB."""
        low, high = LOW, HIGH
        while high - low > 1:
            middle = (low + high) // 2
            for _ in range(RUNS):
                outcome = await self.run(kind, link, store, middle * 1024)
                if not outcome.is_fine(READINGS, COMMANDS):
                    low = middle
                    break
            else:
                high = middle
        return high


@contextlib.asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """A bench in a folder that is gone afterwards. Its path is short: MicroPython keeps that of each module."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="") as temporary:
        folder = Path(temporary)
        (folder / "m").mkdir()
        quiet = {"log_type": "error", "max_queued_messages": 100_000}
        with Mosquitto(folder / "m", persistence=False, settings=quiet) as broker:
            async with NoisyLine(BAUD) as wire:
                port = f"{wire.a_path}?baud={BAUD}"
                async with Program(*COMMAND, "gateway", "--upstream", broker.url, "--serial", port):
                    yield Bench(folder, broker, f"serial://{wire.b_path}?baud={BAUD}")


async def table(out: "io.TextIOBase", kinds: Sequence[str]) -> None:
    """Print it."""
    async with bench() as ready:
        shipped = supplies.file_system("all")
        size = sum(len(data) for name, data in shipped.items() if name.endswith(".mpy"))
        print(f"{'':<24}{'.mpy alive':>12}{'least':>8}{'free of 110':>13}{'frozen alive':>14}{'least':>8}", file=out)
        for link in ("TCP", "serial"):
            for store in ("", "journal"):
                row = f"{link + (', journal' if store else ''):<24}"
                for kind in ("plain", "frozen"):
                    if kind not in kinds:
                        continue
                    alive = (await ready.run(kind, link, store, ROOMY, probe=True)).alive()[-1]
                    least = await ready.least(kind, link, store)
                    row += f"{alive:>{12 if kind == 'plain' else 14},}{least:>4} KiB"
                    row += f"{BOARD - alive:>13,}" if kind == "plain" else ""
                print(row, file=out, flush=True)
        print(f"{size:,} bytes of .mpy, of which about half is loaded by any one board", file=out)


async def long(out: "io.TextIOBase", kind: str, count: int) -> bool:
    """Print what is alive after every tenth of `count` readings; whether it stays as after the second tenth."""
    async with bench() as ready:
        found = await ready.run(
            *(kind, "TCP", "journal", ROOMY),
            readings=count,
            commands=count // 100,
            every_ms=10,
            probe=True,
            timeout_s=count * 0.1 + 60,
        )
        alive = found.alive()
        if found.readings < count or not alive:
            print("\n".join(["it has ended early:", *found.said[-20:]]), file=out)
            return False
        step = max(len(alive) // 10, 1)
        levels = [min(alive[at : at + step]) for at in range(0, step * 10, step) if alive[at : at + step]]
        for number, level in enumerate(levels, 1):
            print(f"{number * step:>9,} readings {level:>9,} bytes {level - levels[min(1, number - 1)]:>+6,}", file=out)
        return max(levels[2:]) - levels[1] < 512  # while the first tenth runs, modules are loaded


def main(args: Sequence[str]) -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.board_program",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="?", default="table", choices=("table", "long"))
    parser.add_argument("--count", type=int, default=100_000, help="readings, for `long` (default: %(default)s)")
    parser.add_argument("--kinds", nargs="+", choices=("plain", "frozen"), default=["plain", "frozen"])
    options = parser.parse_args(args)
    for kind in options.kinds:
        if not built(32, kind).exists():
            print(f"board_program: MicroPython ({kind}, 32 bits) is not built: python -m tools.build_micropython")
            return 1
    out = sys.stdout
    with contextlib.redirect_stdout(io.StringIO()):  # what broker and gateway say
        if options.what == "table":
            asyncio.run(table(out, options.kinds))  # type: ignore[arg-type]
            return 0
        return 0 if asyncio.run(long(out, options.kinds[0], options.count)) else 1  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
