"""One crash run: broker, producer and consumer as processes, proxies between them, faults drawn from a seed.

Whatever dies is started again. A run ends when both programs have ended in good order, or when there was no progress
for a while. Then the consumer's ledger says what was lost, what was handled twice, and what out of order.
"""

import asyncio
import contextlib
import random
import re
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.crash import counting
from tests.crash.program import Death, Failed, Program
from tests.crash.proxy import Proxy, draw_cuts
from tests.peers import Mosquitto, end
from tests.runtimes import ROOT

STALLED_S = 30.0  # without a new entry in the ledger, a run has failed
JITTER_S = 0.005  # how long after its packet a kill may come
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


class Outcome(NamedTuple):
    """What became of the messages, and what the run was exposed to."""

    lost: list[int]
    twice: list[int]
    out_of_order: list[int]  # those first entered after a higher number
    kills: int
    cuts: int
    failure: str  # why it did not end as it should, or nothing


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
    """How each life of a program ends but the last: "kill" or a point."""
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


def draw_deaths(draw: random.Random, faults: Sequence[str], messages: int, qos: int) -> list[Death]:
    """Where in its life each of `faults` falls, so that all fall within so many messages."""
    span = max(2, messages // (len(faults) + 1))
    deaths = []
    for fault in faults:
        if fault == "kill":
            delay_s = 0.0 if draw.random() < 0.5 else draw.random() * JITTER_S
            deaths.append(Death(draw.randint(1, span * 2 * qos), delay_s))  # 2 packets a message at QoS 1, 4 at QoS 2
        else:
            deaths.append(Death(point=f"{fault}:{draw.randint(1, span)}"))
    return deaths


async def crash(run: Run, folder: Path) -> Outcome:
    """A run, with its files in `folder`, which exists."""
    cuts = max(4, run.messages // 20) if run.fault in ("links", "all") else 0
    ledger = Ledger(folder / "application.db")
    async with broker(run.broker, folder) as port, contextlib.AsyncExitStack() as stack:
        programs: dict[str, Program] = {}
        deaths: dict[str, list[Death]] = {}
        for role in ROLES:
            draw = random.Random(f"{run} {role} proxy")
            proxy = await stack.enter_async_context(Proxy(port, draw_cuts(draw, cuts)))
            programs[role] = Program(role, own_command(role, proxy.url, folder, run.qos, run.messages), proxy)
            deaths[role] = draw_deaths(draw, faults_of(run, role), run.messages, run.qos)

        async def lives() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(programs["consumer"].live(deaths["consumer"]))
                await programs["consumer"].ready.wait()  # it has subscribed
                group.create_task(programs["producer"].live(deaths["producer"]))

        try:
            finished = await while_it_advances(lives(), lambda: len(ledger.numbers()), STALLED_S)
            failure = "" if finished else f"no progress for {STALLED_S:.0f} s"
        except* Failed as failed:
            failure = str(failed.exceptions[0])
    numbers = ledger.numbers()
    return Outcome(
        lost=counting.lost(range(run.messages), numbers),
        twice=counting.repeated(numbers),
        out_of_order=counting.out_of_order(numbers),
        kills=sum(program.kills for program in programs.values()),
        cuts=sum(program.proxy.cuts for program in programs.values()),
        failure=failure,
    )


def own_command(role: str, url: str, folder: Path, qos: int, messages: int) -> list[str]:
    """Command line of the producer or consumer of these tests."""
    return [sys.executable, "-m", f"tests.crash.{role}", url, str(folder), str(qos), str(messages)]


async def while_it_advances(work: Coroutine[Any, Any, None], progress: Callable[[], object], stalled_s: float) -> bool:
    """Wait for `work` as long as `progress` changes every `stalled_s` seconds; whether it has ended."""
    task = asyncio.create_task(work)
    before: object = None
    try:
        while not (await asyncio.wait((task,), timeout=stalled_s))[0]:
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
