"""How much heap a board needs: to run at QoS 2 with a journal, and over 100,000 messages.

MicroPython's Unix port, built from source (tools/build_micropython): with 32 bits, a board's word size, and with 64;
with mqttlite frozen in, as in an image for a board, and as .mpy files, which are loaded into the heap. The client
speaks to a Mosquitto of its own. It publishes 64 bytes to a topic that it subscribes to, so every message goes both
ways, and checks that each comes once and in order. This program is itself an .mpy file in the heap, in every row.

    python -m benchmarks.board_heap                heap after import; least heap for 200 messages each way
    python -m benchmarks.board_heap long           what is allocated after every 10,000 of 100,000 messages each way
    python -m benchmarks.board_heap least --bits 32 --code frozen --count 1000

Where the state lies: `memory` (no store), `folder` (a journal in a file of the machine), `littlefs` (a journal in a
file on the interpreter's own VfsLfs2), `raw` (a journal on a bare block device). The block device of the latter two is
a file of the machine, so that its 256 KiB are not in the heap; the buffers of littlefs are, as on a board.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.peers import Mosquitto
from tests.runtimes import built, micropython_argv, micropython_env
from tests.variants.variants import library
from tools.build_micropython import mpy_cross
from tools.build_mpy import SET

STEP = 256  # bytes, to which the least heap is found
RUNS = 3  # a heap is enough when so many runs, one after the other, get by with it
FLOOR, CEILING = 12 * 1024, 256 * 1024  # between these it is searched
TIMEOUT_S = 30.0  # of 200 messages; a client without memory may also wait for what does not come
LONG_COUNT = 100_000
LONG_TIMEOUT_S = 3600.0
DEVICE_BYTES = 256 * 1024

# Runs on MicroPython: board_app URL STORE PLACE QOS COUNT EVERY PEAK NAME=VALUE... (arguments of Client). Prints
# "imported" with the heap before and after the imports of mqttlite, a line after every EVERY messages (what is
# allocated while nothing is under way), and at the end "done" with the most that was allocated at any message (0
# unless PEAK). Short, because it lies in the heap that is measured.
APP = """
import asyncio, gc, sys

asyncio.Event, asyncio.wait_for, asyncio.open_connection  # asyncio loads these parts of itself when they are wanted


def heap():
    gc.collect()
    return gc.mem_alloc()


gc.threshold(1024)  # collected often, the heap stays in one piece
before = heap()

from mqttlite import Client

_, url, store, place, qos, count, every, peak = sys.argv[:8]
if store != "memory":
    from mqttlite import Journal

print("imported", before, heap())


async def publish(client, first, end):
    try:
        for n in range(first, end):
            await client.enqueue(place, b"%064d" % n, qos)
    except Exception as error:
        sys.print_exception(error)
        await client.close()  # which ends the loop that waits for the messages


async def main(qos, every, peak):
    options = {}
    for word in sys.argv[8:]:
        name, value = word.split("=")
        options[name] = int(value)
    if store == "folder":
        options["store"] = Journal(place)
    elif store != "memory":
        import board_device

        options["store"] = Journal(board_device.place(store, place))
    async with Client(url, client_id=place, **options) as client:
        assert await client.subscribe(place, qos) == qos
        first = 0
        end = every
        publishing = asyncio.create_task(publish(client, 0, end))
        async for message in client:
            assert len(message.payload) == 64 and int(message.payload) == first, message.payload
            if peak:
                peak = max(peak, heap())
            first += 1
            if first == end:
                await publishing
                assert await client.drain()
                print(first, heap())
                if first == int(count):
                    break
                end += every
                publishing = asyncio.create_task(publish(client, first, end))
    print("done", peak)


qos = int(qos)
asyncio.run(main(qos, int(every), int(peak)))
"""

# For `littlefs` and `raw`, besides.
DEVICE = """
import os


class Device:
    def __init__(self, path):
        self.file = open(path, "r+b")

    def readblocks(self, block, buf, offset=0):
        self.file.seek(block * 4096 + offset)
        self.file.readinto(buf)

    def writeblocks(self, block, buf, offset=0):
        self.file.seek(block * 4096 + offset)
        self.file.write(buf)

    def ioctl(self, op, arg):
        if op == 4:
            return 64
        if op == 5:
            return 4096
        if op == 6:
            self.file.seek(arg * 4096)
            for _ in range(64):
                self.file.write(b"\\xff" * 64)
        return 0


def place(store, path):
    device = Device(path)
    if store == "raw":
        from mqttlite import RawArea

        return RawArea(device)
    os.VfsLfs2.mkfs(device)
    os.mount(os.VfsLfs2(device), "/flash")
    return "/flash/journal"
"""


class Case(NamedTuple):
    """What is run: where the state lies, at which QoS, with which queues."""

    store: str
    qos: int
    queues: str


# Window, messages accepted and not confirmed, messages received and not taken.
QUEUES: Mapping[str, Mapping[str, int]] = {
    "default": {},
    "8": {"window": 8, "queue_max": 8, "inbox_max": 8},
    "4": {"window": 4, "queue_max": 4, "inbox_max": 4},
    "1": {"window": 1, "queue_max": 1, "inbox_max": 1},
}
CASES = (
    Case("memory", 1, "1"),
    Case("memory", 1, "default"),
    Case("memory", 2, "default"),
    Case("folder", 2, "default"),
    Case("folder", 2, "8"),
    Case("folder", 2, "4"),
    Case("folder", 2, "1"),
    Case("littlefs", 2, "4"),
    Case("raw", 2, "4"),
)


class Build(NamedTuple):
    """An interpreter, and how it has the code of mqttlite."""

    bits: int
    code: str  # "frozen" or ".mpy"

    @property
    def program(self) -> Path:
        return built(self.bits, "frozen" if self.code == "frozen" else "plain")

    def __str__(self) -> str:
        return f"{self.bits} bits, {self.code}"


LONG_HEAP_KIB = {Build(32, "frozen"): 30, Build(32, ".mpy"): 66, Build(64, "frozen"): 56, Build(64, ".mpy"): 96}


class Failed(Exception):
    """A run came to another end than it should; the text is what it said last."""


def compiled(source: Path, target: Path, name: str) -> None:
    """`source` as .mpy at `target`; `name` stands in tracebacks."""
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([mpy_cross(), "-s", name, "-o", target, source], check=True)


class Bench:
    """Runs programs on the interpreters, in `folder`, against `broker`."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self._folder = folder
        self._broker = broker
        self._names = itertools.count()
        self._app = folder / "app"
        self._library = library(SET)
        for name, text in (("board_app", APP), ("board_device", DEVICE)):
            source = folder / f"{name}.py"
            source.write_text(text, encoding="utf-8")
            compiled(source, self._app / f"{name}.mpy", source.name)

    def _start(self, build: Build, heap: int, module: str, arguments: Sequence[str]) -> subprocess.Popen[str]:
        argv = micropython_argv(build.program, "", arguments, heap=str(heap))
        at = argv.index("-c")
        argv[at : at + 2] = ["-m", module]
        env = micropython_env([self._app] if build.code == "frozen" else [self._app, self._library])
        return subprocess.Popen(
            argv, env=env, cwd=self._folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def lines(
        self, build: Build, heap: int, module: str, arguments: Sequence[str], timeout_s: float = TIMEOUT_S
    ) -> Iterator[str]:
        """What a program prints, line by line; Failed when it ends otherwise than well, or not in time."""
        process = self._start(build, heap, module, arguments)
        assert process.stdout is not None
        watch = threading.Timer(timeout_s, process.kill)
        watch.start()
        last = ""
        try:
            for line in process.stdout:
                last = line.rstrip()
                yield last
            process.wait()
        finally:
            watch.cancel()
            process.kill()
            process.communicate()
        if process.returncode:
            raise Failed(f"{build}, heap of {heap:,} bytes: {last}")

    def messages(
        self,
        build: Build,
        heap: int,
        case: Case,
        count: int,
        every: int = 0,
        *,
        peak: bool = False,
        timeout_s: float = TIMEOUT_S,
    ) -> Iterator[list[str]]:
        """The words of each line that the program prints (APP)."""
        place = self._folder / f"board{next(self._names)}"  # topic and client identifier, too: a session of its own
        if case.store in ("littlefs", "raw"):
            place.write_bytes(b"\xff" * DEVICE_BYTES)
        words = [self._broker.url, case.store, place.name, *map(str, (case.qos, count, every or count, int(peak)))]
        words += [f"{name}={value}" for name, value in QUEUES[case.queues].items()]
        last = ""
        for line in self.lines(build, heap, "board_app", words, timeout_s):
            last = line
            yield line.split()
        if not last.startswith("done"):
            raise Failed(last)

    def is_enough(self, build: Build, heap: int, case: Case, count: int) -> bool:
        """Whether a heap of so many bytes is enough, time and again."""
        try:
            for _ in range(RUNS):
                for _ in self.messages(build, heap, case, count):
                    pass
        except Failed:
            return False
        return True

    def least(self, build: Build, case: Case, count: int, above: int) -> int:
        """The least heap in bytes, found by halving; it is more than `above`, which is allocated at one time."""
        low, high = above // STEP * STEP, CEILING
        guess = min(low * 9 // 8 // STEP * STEP, CEILING)
        while high - low > STEP:
            if self.is_enough(build, guess, case, count):
                high = guess
            else:
                low = guess
            # near the guess, the end is not far
            near = guess + 8 * STEP if high == CEILING else CEILING
            guess = min((low + high) // 2 // STEP * STEP, near)
        return high


@contextmanager
def bench() -> Iterator[Bench]:
    """A bench with a broker, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        # It forgets its sessions when it ends: what is measured is the client.
        broker = Mosquitto(
            folder / "broker", persistence=False, settings={"log_type": "error", "max_queued_messages": 100_000}
        )
        broker.start()
        try:
            yield Bench(folder, broker)
        finally:
            broker.stop()


def progress(text: str) -> None:
    """Shown while something is measured, on a terminal alone."""
    if sys.stderr.isatty():
        print(f"\r{text:<79}", end="", file=sys.stderr, flush=True)
        if not text:
            print("\r", end="", file=sys.stderr, flush=True)


def show_least(bench: Bench, builds: Sequence[Build], count: int) -> None:
    """Prints for each build and case: heap after import, most that is alive, least heap."""
    print(f"Bytes of heap; {count} messages of 64 bytes each way, at once as fast as they go, gc.threshold(1024).")
    print("'queues': window, messages accepted and not confirmed, messages received and not taken (18, 40, 20).")
    print("'import': mqttlite's share. 'alive': the most at any message. 'least heap': the smallest that works.")
    for build in builds:
        print(f"\n{build!s:<16} {'queues':>8} {'import':>9} {'alive':>9} {'least heap':>11}")
        for case in CASES:
            progress(f"{build}: {case.store}, QoS {case.qos}, queues {case.queues} ...")
            first, *_, last = bench.messages(build, CEILING, case, count, peak=True)
            imported = int(first[2]) - int(first[1])
            alive = int(last[1])
            least = bench.least(build, case, count, alive)
            progress("")
            label = f"{case.store}, QoS {case.qos}"
            print(f"{label:<16} {case.queues:>8} {imported:>9,} {alive:>9,} {least:>11,}  ({least / 1024:.2f} KiB)")
            sys.stdout.flush()


def show_long(bench: Bench, builds: Sequence[Build], case: Case, count: int, heap_kib: int | None) -> bool:
    """Prints what is allocated after every tenth of the messages; whether it stays as it was after the first tenth."""
    steady = True
    for build in builds:
        heap = 1024 * (heap_kib or LONG_HEAP_KIB[build])
        title = f"{count:,} messages each way at QoS 2, {case.store}, queues {case.queues}"
        print(f"\n{build}: {title}, in a heap of {heap // 1024} KiB")
        started = time.monotonic()
        levels = []
        for words in bench.messages(build, heap, case, count, count // 10, timeout_s=LONG_TIMEOUT_S):
            if words[0].isdigit():
                levels.append(int(words[1]))
                seconds = time.monotonic() - started
                grown = levels[-1] - levels[0]
                print(f"{int(words[0]):>9,} messages {levels[-1]:>9,} bytes {grown:>+6,} {seconds:>7.0f} s", flush=True)
            elif words[:1] not in (["imported"], ["done"]):
                print("    " + " ".join(words), flush=True)  # what the client or a traceback says
        # What was alive when it was measured differs a little from time to time; what leaks would add up.
        steady = steady and max(levels) - levels[0] < 512
    return steady


def main(args: Sequence[str]) -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.board_heap",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="?", default="least", choices=("least", "long"))
    parser.add_argument("--bits", type=int, nargs="+", choices=(32, 64), default=[32, 64])
    parser.add_argument("--code", nargs="+", choices=("frozen", ".mpy"), default=["frozen", ".mpy"])
    parser.add_argument("--count", type=int, help=f"messages (200; long: {LONG_COUNT:,})")
    group = parser.add_argument_group("for `long`")
    group.add_argument("--store", choices=("memory", "folder", "littlefs", "raw"), default="folder")
    group.add_argument("--queues", choices=tuple(QUEUES), default="4")
    group.add_argument("--heap", type=int, metavar="KIB", help="(default: a little more than the least)")
    options = parser.parse_args(args)
    builds = [Build(bits, code) for bits in options.bits for code in options.code]
    for build in builds:
        if not build.program.exists():
            print(f"board_heap: MicroPython with {build} is not built: python -m tools.build_micropython")
            return 1
    try:
        return run(options, builds)
    except Failed as error:
        print(f"board_heap: {error}")
        return 1


def run(options: argparse.Namespace, builds: Sequence[Build]) -> int:
    """What the command line asks for; the exit code."""
    with bench() as ready:
        if options.what == "long":
            case = Case(options.store, 2, options.queues)
            return 0 if show_long(ready, builds, case, options.count or LONG_COUNT, options.heap) else 1
        else:
            show_least(ready, builds, options.count or 200)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
