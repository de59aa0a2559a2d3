"""Fleets that are updated while their power fails, in the simulated world: starter, download, rollout, client, journal
and broker are the real ones.

    python -m benchmarks.update_worlds --seed 4 [--boards 5] [--cut 17 | --cuts 20] [--bad]

One board, whose power is cut at an operation of its disk (--cut N), before it or after; or several, at random (--cuts).
What must hold: a board that starts runs the old version or the new one, whole; in the end all run the new one, or the
old one where the new one delivers nothing (--bad), and have said so; what was accepted has arrived, once.
"""

import argparse
import asyncio
import builtins
import contextlib
import json
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mqttlite_board
from mqttlite import Client, Message
from mqttlite.boards.updating.devices import Device
from mqttlite.boards.updating.manifest import Release, Update
from mqttlite.boards.updating.rollout import DONE, Rollout, Stages
from mqttlite.core.errors import StoreError
from mqttlite.sim.disks.disk import Operation
from mqttlite.sim.process import Process
from mqttlite.sim.programs import broker
from mqttlite.sim.system.files import FakeOs
from mqttlite.sim.system.flash import FlashOpen, FlashOs
from mqttlite.sim.world import World
from mqttlite.store.journal import Journal
from mqttlite_board import blocks
from mqttlite_board.update import Update as BoardUpdate

OLD = {"app.py": b"old " * 90, "lib/same.py": b"same" * 200, "lib/other.py": b"old"}
NEW = {"app.py": b"new " * 120, "lib/same.py": b"same" * 200, "lib/more/new.py": b"more" * 70}
RELEASE = Release("new", NEW)
KEY = bytes(range(32))
BLOCK = 128
STARTS = 60  # of a trial: power cuts are not the application's fault
READ_S = 0.7
REVIVE_S = 0.5
LIMIT_S = 4000.0
QUIET_S = 30.0


class Schedule(NamedTuple):
    """What is run. `cut`: in which operation of board 0's disk its power goes, `after` it rather than before; `cuts`:
    how often at random, of any board; `bad`: the new version delivers nothing.
    """

    seed: int = 1
    boards: int = 1
    cut: int = 0
    after: bool = False
    cuts: int = 0
    bad: bool = False

    @property
    def command(self) -> str:
        """What repeats it."""
        words = [
            f"--{name} {value}" if value is not True else f"--{name}" for name, value in self._asdict().items() if value
        ]
        return " ".join(["python -m benchmarks.update_worlds", *words])


class Result(NamedTuple):
    """What came of it: `operations`: of board 0's disk, `cuts`: how often a power went."""

    schedule: Schedule
    problems: list[str]
    operations: int
    cuts: int


class Fleet:
    """The world of a schedule."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.world = World(schedule.seed, keep_trace=False)
        self.problems: list[str] = []
        self.accepted: set[tuple[str, int]] = set()
        self.handled: list[tuple[str, int]] = []
        self.cuts = 0
        self.ran: dict[str, str] = {}  # version by board, of the last start
        self.ends: dict[str, str] = {}
        fake = FakeOs(self.world)
        self.os, self.open = FlashOs(fake), FlashOpen(fake)
        world = self.world
        self.mortals = [world.process("broker", broker("sqlite")), world.process("reader", self._read)]
        self.names = [f"board{number}" for number in range(schedule.boards)]
        for name in self.names:
            process = world.process(name, self._board, start=False)
            process.disk.put({f"a/{place}": data for place, data in OLD.items()})
            process.disk.sync_ns = (20_000, 200_000)
            self.mortals.append(process)
        self.pusher = world.process("pusher", self._push, start=False)
        for process in (*self.mortals, self.pusher):
            process.may_fail = True

    # -- programs

    async def _read(self, process: Process) -> None:
        client = self._client(process, store=process.sqlite_store())
        async with client:
            await client.subscribe("boards/+/count", 2)
            async for message in client:
                self.handled.append(_reading(message))

    async def _push(self, process: Process) -> bool:
        async with Client("mqtt://broker", retry_first=True) as client:
            rollout = Rollout(
                client,
                [Device(name, KEY.hex()) for name in self.names],
                lambda device, count: Update(
                    RELEASE, device.name, KEY, count, BLOCK, 3 if self.schedule.bad else STARTS, 60
                ),
                lambda device, least: 7,
                Stages(1, 100, 1000, LIMIT_S),
            )
            await rollout.run()
        self.ends = {progress.device.name: f"{progress.phase}: {progress.why}" for progress in rollout.progress}
        return all(progress.phase in DONE for progress in rollout.progress)

    def _client(self, process: Process, **options: Any) -> Client:
        options = {"keep_alive_s": 5, "timeout_s": 3, **options}
        return Client("mqtt://broker", client_id=process.name, clean_session=False, retry_first=True, **options)

    async def _board(self, process: Process) -> None:
        start = load_starter(self.os, self.open)
        start.begin()
        self.ran[process.name] = self._version(process, start.half)
        await _Board(self, process, start).main()

    def _version(self, process: Process, half: str) -> str:
        files = process.disk.files()
        for name, wanted in (("old", OLD), ("new", NEW)):
            if all(files.get(f"{half}/{place}") == data for place, data in wanted.items()):
                return name
        self.problems.append(f"{process.name} starts half '{half}', which is neither the old version nor the new one")
        return "neither"

    # -- from beginning to end

    def run(self) -> Result:
        """Let it run to its end."""
        world, schedule = self.world, self.schedule
        board = world.processes[self.names[0]]
        with self._patched():
            world.run(1.0)
            if schedule.cut:
                board.disk.on_operation = self._at_operation
            for name in self.names:
                world.processes[name].start()
            self.pusher.start()
            self._revive()
            for _ in range(schedule.cuts):
                world.after(world.random.uniform(0.1, 25.0), self._cut, world.random.choice(self.names))
            world.run_until(lambda: bool(self.ends), LIMIT_S)
            world.run(QUIET_S)
        wanted = "old" if schedule.bad else "new"
        for name in self.names:
            end = self.ends.get(name, "the rollout does not end")
            if end != "good: " and not (schedule.bad and "delivered nothing" in end):
                self.problems.append(f"{name}: {end}")
            if self.ran.get(name) != wanted:
                self.problems.append(f"{name} runs {self.ran.get(name)} in the end, not {wanted}")
        lost = self.accepted - set(self.handled)
        newest = {name: max((n for board, n in self.accepted if board == name), default=0) for name in self.names}
        lost -= {(name, n) for name, n in lost if n >= newest[name] - 1}  # under way when the world ends
        if lost:
            self.problems.append(f"accepted and lost: {sorted(lost)[:5]}")
        if len(self.handled) != len(set(self.handled)):
            self.problems.append("a reading was handled twice")
        if len(self.accepted) < 10 * schedule.boards:
            self.problems.append("hardly anything was measured")
        return Result(schedule, self.problems, board.disk.operations, self.cuts)

    def _at_operation(self, operation: Operation) -> Callable[[], object] | None:
        board = self.world.processes[self.names[0]]
        if operation.number != self.schedule.cut or not board.alive:
            return None
        self.cuts += 1
        if self.schedule.after:
            return board.cut_power
        board.cut_power()
        return None

    def _cut(self, name: str) -> None:
        process = self.world.processes[name]
        if process.alive:
            self.cuts += 1
            process.cut_power()

    def _revive(self) -> None:
        for process in self.mortals:
            if not process.alive and process.life:
                if process.error and not isinstance(process.error, StoreError | SystemExit):
                    self.problems.append(f"{process.name}: {process.error!r}")
                process.start()
        self.world.after(REVIVE_S, self._revive)

    @contextlib.contextmanager
    def _patched(self) -> Iterator[None]:
        """While this lasts, the board's download finds the disk of its process."""
        module: Any = blocks
        before = module.os
        module.os, module.open = self.os, self.open
        try:
            yield
        finally:
            module.os = before
            del module.open


class _Board:
    """One life of a board's program: publishes readings, and is updated. As mqttlite_board.program for its updates."""

    is_connected = False
    client: Any = None
    alone = False
    ended = ""

    def __init__(self, fleet: Fleet, process: Process, start: Any) -> None:
        self.fleet = fleet
        self.process = process
        self.start = start
        self.topic = f"boards/{process.name}"
        self.settings = {"name": process.name, "key": KEY.hex()}
        self.handlers: dict[str, Any] = {}
        self.over = asyncio.Event()
        self.connected = asyncio.Event()  # first
        self.updates = BoardUpdate(self)
        self.proof: Any = None

    async def main(self) -> None:
        self.client = self.fleet._client(self.process, store=Journal("j", 16384), on_connection=self._connected)
        self.handlers["update"] = self.updates.take
        async with self.client:
            jobs = [self._listen(), self._measure(), self.updates.follow(), self._feed()]
            tasks = [asyncio.create_task(self._noticed(job)) for job in jobs]
            await self.over.wait()
            for task in tasks:
                task.cancel()
            await self.client.drain(5)

    async def _noticed(self, job: Any) -> None:
        try:
            await job
        except Exception as error:
            self.fleet.problems.append(f"{self.process.name}: {error!r}")
            raise

    def _connected(self, is_connected: bool, reason: str) -> None:
        self.is_connected = is_connected
        if is_connected:
            self.connected.set()

    async def publish(self, name: str, payload: Any, qos: int, key: Any = None, retain: bool = False) -> Any:
        return await self.client.publish(f"{self.topic}/{name}", payload, qos, retain, key)

    def stop(self, why: str) -> None:
        self.ended = why
        self.over.set()

    async def _feed(self) -> None:
        while True:
            try:
                self.start.feed()
            except SystemExit:
                self.over.set()
            await asyncio.sleep(1)

    async def _listen(self) -> None:
        await self.client.subscribe(f"{self.topic}/update", 2)
        async for message in self.client:
            handler = self.handlers.get(message.topic[len(self.topic) + 1 :])
            if handler:
                await handler(message.payload)

    async def _measure(self) -> None:
        name, fleet = self.process.name, self.fleet
        is_silent = fleet.schedule.bad and fleet.ran[name] == "new"
        while not is_silent:
            n = max(self.client.last_number("count"), 0) + 1
            receipt = await self.publish("count", json.dumps({"n": n, "board": name}), 2, ("count", n))
            fleet.accepted.add((name, n))
            if not self.proof:
                self.proof = asyncio.create_task(self._prove(receipt))
            await asyncio.sleep(READ_S)

    async def _prove(self, receipt: Any) -> None:
        await receipt.completed()
        while not self.start.is_good:
            self.start.good()
            await asyncio.sleep(1)
        if self.start.record.get("tell"):
            await self.updates.resume()


def _reading(message: Message) -> tuple[str, int]:
    said = json.loads(message.payload)
    return said["board"], said["n"]


STARTER = Path(mqttlite_board.__file__).parent / "start" / "start.py"
_code = compile(STARTER.read_text(encoding="utf-8"), str(STARTER), "exec")


def load_starter(os: FlashOs, open: FlashOpen) -> Any:
    """The starter as it is after a reset, on a board with these files."""
    names = {"os": os, "window": types.ModuleType("window")}

    def load(name: str, *words: Any) -> Any:
        return names.get(name) or builtins.__import__(name, *words)

    module: Any = types.ModuleType("start")
    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": load, "open": open, "print": lambda *_: None}
    sys.modules.setdefault("start", module)  # its `run` asks for it; nobody else does
    exec(_code, module.__dict__)
    module.use = lambda name: setattr(module, "half", name)
    return module


def try_out(schedule: Schedule) -> Result:
    """Run a schedule to its end."""
    fleet = Fleet(schedule)
    try:
        return fleet.run()
    except Exception as error:
        return Result(schedule, [f"{type(error).__name__}: {error}"], 0, 0)
    finally:
        fleet.world.close()


def every_cut(bad: bool = False) -> list[Schedule]:
    """One board, and its power cut before and after each operation of its disk."""
    operations = try_out(Schedule(bad=bad)).operations
    return [Schedule(cut=cut, after=after, bad=bad) for cut in range(1, operations + 1) for after in (False, True)]


def fleets(seeds: range) -> list[Schedule]:
    """Some boards whose power is cut at random."""
    return [Schedule(seed, 2 + seed % 4, cuts=4 + seed % 23, bad=seed % 5 == 4) for seed in seeds]


def main() -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("seed", 1), ("boards", 1), ("cut", 0), ("cuts", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--after", action="store_true")
    parser.add_argument("--bad", action="store_true")
    result = try_out(Schedule(**vars(parser.parse_args())))
    print(
        "\n".join(result.problems) or f"all that was promised holds; {result.operations} operations, {result.cuts} cuts"
    )
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
