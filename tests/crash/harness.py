"""One crash run: broker, producer and consumer as processes, proxies between them, faults drawn from a seed.

Whatever dies is started again. A run ends when both programs have ended in good order, or when there was no progress
for a while. Then the consumer's ledger says what was lost, what was handled twice, and what out of order.
"""

import asyncio
import contextlib
import os
import random
import re
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

from tests.crash.dying import VARIABLE
from tests.crash.proxy import Proxy
from tests.peers import Mosquitto, end
from tests.runtimes import ROOT

STALLED_S = 30.0  # without a new entry in the ledger, a run has failed
JITTER_S = 0.005  # how long after its packet a kill may come
TAIL = 800  # characters shown of what a program said
ROLES = ("producer", "consumer")

# What dies, by the name of the fault. A point is of the consumer; at QoS 1, `pubrec` and `pubcomp` do not exist.
FAULTS = {
    1: ("links", "producer", "consumer", "handler", "writes", "puback", "all"),
    2: ("links", "producer", "consumer", "handler", "writes", "pubrec", "pubcomp", "all"),
}
BROKERS = ("mosquitto", "mqttlite")


class Run(NamedTuple):
    """What a run is; the same again gives the same faults."""

    broker: str
    qos: int
    fault: str
    seed: int
    messages: int

    def __str__(self) -> str:
        return f"{self.broker}, QoS {self.qos}, {self.fault}, seed {self.seed}, {self.messages} messages"


class Failed(Exception):
    """A program ended otherwise than by its kills."""


class Outcome(NamedTuple):
    """What became of the messages, and what the run was exposed to."""

    lost: list[int]
    twice: list[int]
    out_of_order: list[int]  # those first entered after a higher number
    kills: int
    cuts: int
    failure: str  # why it did not end as it should, or nothing


class Program:
    """A program that is started again until it ends in good order.

    Of its lives the first ones are short: `kills` of them end by SIGKILL, at a random packet of its proxy or, with
    `points`, at its own hand at one of them.
    """

    def __init__(self, role: str, run: Run, folder: Path, proxy: Proxy, draw: random.Random) -> None:
        self._role = role
        self._run = run
        self._folder = folder
        self._proxy = proxy
        self._draw = draw
        self._process: asyncio.subprocess.Process | None = None
        self._left = 0  # packets until the kill
        self.ready = asyncio.Event()
        self.kills = 0
        self.said = ""
        proxy.on_packet = self._on_packet

    async def live(self, faults: list[str]) -> None:
        """All its lives: one for each of `faults` ("kill" or a point), then one without."""
        span = max(2, self._run.messages // (len(faults) + 1))
        for fault in [*faults, ""]:
            env = dict(os.environ)
            self._left = 0
            if fault == "kill":
                packets_a_message = 2 * self._run.qos
                self._left = self._draw.randint(1, span * packets_a_message)
            elif fault:
                env[VARIABLE] = f"{fault}:{self._draw.randint(1, span)}"
            code = await self._life(env)
            if code == 0:
                return
            if code != -signal.SIGKILL or not fault:
                raise Failed(f"{self._role} ended with code {code}: {self.said[-TAIL:]}")
            self.kills += 1

    async def _life(self, env: dict[str, str]) -> int:
        run = self._run
        args = (self._proxy.url, str(self._folder), str(run.qos), str(run.messages))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"tests.crash.{self._role}",
            *args,
            cwd=ROOT,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout
        assert process.stderr
        self._process = process
        try:
            said = asyncio.create_task(process.stderr.read())
            async for line in process.stdout:
                if line == b"ready\n":
                    self.ready.set()
            self.said += (await said).decode()
            return await process.wait()
        finally:
            await end(process)
            self._process = None

    def _on_packet(self) -> None:
        if self._left:
            self._left -= 1
            if not self._left and self._process:
                if self._draw.random() < 0.5:
                    _kill(self._process)  # the packet is not forwarded before it is dead
                else:
                    asyncio.get_running_loop().call_later(self._draw.random() * JITTER_S, _kill, self._process)


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


class Ledger:
    """What the consumer has entered."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def numbers(self) -> list[int]:
        if not self._path.exists():
            return []
        with contextlib.closing(sqlite3.connect(self._path)) as database:
            try:
                return [number for (number,) in database.execute("SELECT number FROM ledger ORDER BY entry")]
            except sqlite3.OperationalError:  # no table yet, or it is being written
                return []


def faults_of(run: Run, role: str) -> list[str]:
    """How each life of a program ends but the last."""
    lives = max(2, min(6, run.messages // 20))
    draw = random.Random(f"{run} {role}")
    if run.fault == role:
        return ["kill"] * lives
    if role == "producer":
        return ["kill"] * (lives // 2) if run.fault == "all" else []
    points = [fault for fault in FAULTS[run.qos] if fault not in (*ROLES, "links", "all")]
    if run.fault == "all":
        return draw.sample(["kill", *points], k=min(lives, len(points) + 1))
    return [run.fault] * lives if run.fault in points else []


async def crash(run: Run, folder: Path) -> Outcome:
    """A run, with its files in `folder`, which exists."""
    cuts = max(4, run.messages // 20) if run.fault in ("links", "all") else 0
    ledger = Ledger(folder / "application.db")
    async with broker(run.broker, folder) as port, contextlib.AsyncExitStack() as stack:
        programs: dict[str, Program] = {}
        for role in ROLES:
            draw = random.Random(f"{run} {role} proxy")
            proxy = await stack.enter_async_context(Proxy(port, draw.getrandbits(32), cuts=cuts))
            programs[role] = Program(role, run, folder, proxy, draw)

        async def lives() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(programs["consumer"].live(faults_of(run, "consumer")))
                await programs["consumer"].ready.wait()  # it has subscribed
                group.create_task(programs["producer"].live(faults_of(run, "producer")))

        try:
            finished = await _while_it_advances(asyncio.create_task(lives()), lambda: len(ledger.numbers()))
            failure = "" if finished else f"no progress for {STALLED_S:.0f} s"
        except* Failed as failed:
            failure = str(failed.exceptions[0])
    numbers = ledger.numbers()
    entries = Counter(numbers)
    first = list(dict.fromkeys(numbers))
    return Outcome(
        lost=[number for number in range(run.messages) if not entries[number]],
        twice=sorted(number for number in entries if entries[number] > 1),
        out_of_order=[number for at, number in enumerate(first) if at and number < max(first[:at])],
        kills=sum(program.kills for program in programs.values()),
        cuts=sum(program._proxy.cuts for program in programs.values()),
        failure=failure,
    )


async def _while_it_advances(task: asyncio.Task[None], progress: Callable[[], int]) -> bool:
    """Wait for `task` as long as `progress` grows; whether it has ended."""
    before = -1
    try:
        while not (await asyncio.wait((task,), timeout=STALLED_S))[0]:
            now = progress()
            if now == before:
                return False
            before = now
        await task
        return True
    finally:
        task.cancel()
        await asyncio.wait((task,))


@contextlib.asynccontextmanager
async def broker(name: str, folder: Path) -> AsyncIterator[int]:
    """A broker in a process of its own; its port."""
    if name == "mosquitto":
        mosquitto = Mosquitto(folder / "mosquitto")  # its log stays there; printing it would take longer than the run
        mosquitto.start()
        try:
            yield mosquitto.port
        finally:
            mosquitto.kill()
        return
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "mqttlite", "broker", "--listen", "mqtt://127.0.0.1:0"),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr
    try:
        while not (found := re.search(rb"listening on mqtt://.*:(\d+)", line := await process.stderr.readline())):
            if not line:
                raise RuntimeError("the broker has ended before it listened")
        drain = asyncio.create_task(process.stderr.read())
        yield int(found[1])
    finally:
        await end(process)
    await drain


def wrong_with(outcome: Outcome) -> str:
    """What is wrong with how a run ended; empty when all is well."""
    wrong = [outcome.failure] if outcome.failure else []
    for what in ("lost", "twice", "out_of_order"):
        if numbers := getattr(outcome, what):
            wrong.append(f"{len(numbers)} {what.replace('_', ' ')}: {numbers[:8]}")
    return "; ".join(wrong)
