"""The fingerprints of worlds, to compare machines: `python -m tests.sim.digests > a.txt`, elsewhere `--check a.txt`.

The same seed makes the same trace in every process and on every machine. These are worlds to try that with, whose names
are also what `--worlds` takes:

    plain, journal, serial      a device, a broker and a consumer without SQLite, and faults drawn from the seed
    qos2-1-sqlite               a small world (small/) of any name; with "+faults": two faults, drawn from the seed
    large                       a large world (large/)

A trace is that of one release of mqttlite, of SQLite (where there is one), and of the asyncio that runs in it: before
Python 3.12, wait_for makes a task, so the programs take other turns. A world needs what it simulates with: apsw those
with SQLite, pyserial those with a serial line.
"""

import argparse
import contextlib
import importlib
import os
import platform
import random
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from mqttlite.sim.check.ledger import Ledger
from mqttlite.sim.clock import Clock
from mqttlite.sim.net.packets import Cut, Packet, Packets
from mqttlite.sim.process import Process
from mqttlite.sim.programs import broker, gateway
from mqttlite.sim.scene import Scene
from mqttlite.sim.world import World
from tests.sim.programs import consumer, device, producer

WITHOUT_SQLITE = ("plain", "journal", "serial")
WORLDS = (
    *WITHOUT_SQLITE,
    "qos0-2-sqlite",
    "qos1-2-sqlite",
    "qos1-30-sqlite",
    "qos2-2-journal",
    "qos2-1-sqlite+faults",
    "qos2-2-sqlite-keys+faults",
    "qos1-2-journal+faults",
    "large",
)
SEEDS = "11-13"
FAULTS = "+faults"
MESSAGES = 40  # of a world without SQLite
LIMIT_S = 600.0  # virtual, for that
CUT = 0.02  # probability of a cut at a packet there


class Fingerprint(NamedTuple):
    """Of one run. `events`: of the world."""

    world: str
    seed: int
    events: int
    digest: str

    def __str__(self) -> str:
        return f"{self.world:27} {self.seed:6} {self.events:8}  {self.digest}"

    @classmethod
    def parse(cls, line: str) -> "Fingerprint":
        """What a line says that was printed. ValueError: nothing."""
        try:
            world, seed, events, digest = line.split()
            return cls(world, int(seed), int(events), digest)
        except ValueError:
            raise ValueError(f"not a line with a fingerprint: {line!r}") from None


def run(name: str, seed: int, *, keep_trace: bool = False) -> World:
    """The world of a name after its end. What the world is there to find out is not asked.

    ValueError: there is no such world. ImportError: a module that it needs is not installed.
    """
    # What is missing would be noticed by the processes of the world, and be another course of things.
    needs = ["serial", "mqttlite_gateway"] if name in ("serial", "large") else []
    for module in needs if name in WITHOUT_SQLITE else ["apsw", *needs]:
        importlib.import_module(module)
    if name in WITHOUT_SQLITE:
        return _without_sqlite(name, seed)
    if name == "large":
        from mqttlite.sim.large.large import Large

        scene: Scene = Large(seed, keep_trace=keep_trace)
    else:
        from benchmarks.exploring import baseline, every
        from mqttlite.sim.schedule import Schedule, named

        schedule = Schedule(named(name.removesuffix(FAULTS)), (), seed)
        if name.endswith(FAULTS):
            faults = every(baseline(schedule.small, seed).extent)
            schedule = schedule._replace(faults=tuple(random.Random(seed).sample(faults, 2)))
        scene = schedule.run()
    with _closing(scene.world):
        scene.run()
    return scene.world


@contextlib.contextmanager
def _closing(world: World) -> Iterator[None]:
    told = sys.unraisablehook
    sys.unraisablehook = lambda _: None  # apsw tells it of each death in the middle of a write
    try:
        yield
    finally:
        world.close()
        sys.unraisablehook = told


def _without_sqlite(kind: str, seed: int) -> World:
    """Connections are cut; with a journal, the device loses its power; a serial line has noise, and a clock of its own
    at each end.
    """
    world = World(seed)
    chance = world.random
    ledger = Ledger()
    network = world.network
    network.conditions.stall = 0.02
    over = False

    def at_packet(packet: Packet) -> Cut | None:
        if over or chance.random() > CUT:
            return None
        where = chance.choice(("before", "inside", "after"))
        return Cut(where, chance.choice(("reset", "unread", "close", "silence")))

    def cut_power() -> None:
        if not over and source.result is None:
            source.cut_power()
            world.after(chance.uniform(0.1, 1), source.start)
            world.after(chance.uniform(1, 10), cut_power)

    def clock() -> Clock:
        return Clock(begin=world.now, offset=world.draw(0, 10**15), ppm=world.draw(-20_000, 20_000))

    Packets(world.network, at_packet)
    patience: dict[str, Any] = {"keep_alive_s": 5, "timeout_s": 3}
    every_s = (0.0, 1.0)
    world.process("broker", broker(), clock=clock())
    world.process("consumer", consumer(ledger, **patience), clock=clock()).may_fail = True
    if kind == "serial":
        from mqttlite.sim.lines.serial import SerialLine

        line = SerialLine(world, "device", "/dev/ttyUSB0", "gateway", "/dev/ttyACM0")
        line.noise(bit_errors=1e-4, dropped=5e-4, inserted=1e-4, bursts=1e-4)
        line.babble(5.0)
        world.process("gateway", gateway("/dev/ttyACM0?baud=115200"), clock=clock()).may_fail = True
        program = device(ledger, MESSAGES, qos=2, every_s=every_s)
    else:
        store = "journal" if kind == "journal" else "memory"
        program = producer(ledger, MESSAGES, qos=2, every_s=every_s, store=store, **patience)
    source: Process = world.process("device", program, clock=clock())
    source.may_fail = True
    if kind != "plain":
        world.after(chance.uniform(1, 10), cut_power)
    with _closing(world):
        world.run_until(lambda: source.result is not None, LIMIT_S)
        over = True
        world.run(10)
    return world


def fingerprint(name: str, seed: int) -> Fingerprint:
    """Of the world of a name; errors as of `run`."""
    world = run(name, seed)
    return Fingerprint(name, seed, world.events, world.digest())


def versions() -> list[str]:
    """What a trace may depend on, and must not, except for the release of mqttlite and of SQLite."""
    try:
        import apsw

        sqlite = f"apsw {apsw.apsw_version()} with SQLite {apsw.sqlite_lib_version()}"
    except ImportError:
        sqlite = "no apsw"
    packages = []
    for package in ("mqttlite", "pyserial"):
        with contextlib.suppress(PackageNotFoundError):
            packages.append(f"{package} {version(package)}")
    bits = sys.maxsize.bit_length() + 1
    hashes, zone = (os.environ.get(name, "not set") for name in ("PYTHONHASHSEED", "TZ"))
    return [
        f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}",
        sqlite,
        ", ".join(packages) or "mqttlite from a folder",
        f"{sysconfig.get_platform()}, {platform.machine()}, {bits} bits, {sys.byteorder}-endian",
        f"{' '.join(platform.libc_ver())}".strip() or "libc unknown",
        f"PYTHONHASHSEED {hashes}, TZ {zone}, encoding {sys.getfilesystemencoding()}",
    ]


def check(lines: Iterable[str], worlds: list[str] | None, seeds: list[int] | None) -> bool:
    """Run the worlds that another machine has printed, those of these names and seeds (None: all); whether all are the
    same.

    Worlds that cannot run here are left out, and counted. ValueError: a line is no fingerprint, or names no world; or
    there is nothing to compare.
    """
    different: list[tuple[Fingerprint, Fingerprint]] = []
    same = missing = 0
    for line in filter(str.strip, lines):
        if line.startswith("#"):
            print(f"there: {line[1:].strip()}")
            continue
        there = Fingerprint.parse(line)
        if there.world not in (worlds or [there.world]) or there.seed not in (seeds or [there.seed]):
            continue
        try:
            here = fingerprint(there.world, there.seed)
        except ImportError as error:
            print(f"{there.world}, seed {there.seed}: not compared ({error})", flush=True)
            missing += 1
            continue
        if here == there:
            same += 1
        else:
            different.append((here, there))
            print(f"{there.world}, seed {there.seed}: different", flush=True)
    if not same and not different:
        raise ValueError("there was nothing to compare")
    print(f"{same} the same, {len(different)} different, {missing} not compared")
    if different:
        here, there = different[0]
        print(f"The first difference is in {here.world}, seed {here.seed}:")
        print(f"  here  {here.events:8} events, digest {here.digest}")
        print(f"  there {there.events:8} events, digest {there.digest}")
        print(f"To see where: --trace {here.world} --seeds {here.seed}, on both, and diff")
    return not different


def trace(name: str, seed: int) -> Iterator[str]:
    """What the digest is the fingerprint of, one line for each entry: time (ns), lane, kind, text."""
    return map(repr, run(name, seed, keep_trace=True).trace)


def seeds_of(text: str) -> list[int]:
    """The seeds of "1-3,7". ValueError: it is nothing of that kind."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Print what was asked for. 1: other fingerprints than in the file. 2: it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.digests", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--worlds", nargs="+", metavar="NAME", help=f"which worlds; {' '.join(WORLDS)} if not said")
    parser.add_argument("--seeds", metavar="N", help=f"which seeds, such as 1-3,7; {SEEDS} if not said")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--check", metavar="FILE", type=Path, help="compare with what another machine has printed")
    modes.add_argument("--trace", metavar="NAME", help="print all that happens in this world, with the first seed")
    args = parser.parse_args(arguments)
    try:
        seeds = seeds_of(args.seeds or SEEDS)
        if args.trace:
            for entry in trace(args.trace, seeds[0]):
                print(entry)
            return 0
        if args.check:
            print("".join(f"here:  {text}\n" for text in versions()), end="")
            lines = args.check.read_text(encoding="utf-8").splitlines()
            return 0 if check(lines, args.worlds, seeds if args.seeds else None) else 1
        print("".join(f"# {text}\n" for text in versions()), end="")
        print(f"# {'world':25} {'seed':>6} {'events':>8}  digest")
        for name in args.worlds or WORLDS:
            for seed in seeds:
                print(fingerprint(name, seed), flush=True)
    except (ValueError, ImportError, OSError) as error:
        print(f"digests: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
