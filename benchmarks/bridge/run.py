"""One bridge under one fault: numbered messages are fed into it, and what its upstream hands out is written down."""

import asyncio
import contextlib
import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.bridge.contestants import TOPIC, Contestant, Programs, answers
from benchmarks.bridge.wire import Wire
from mqttlite import Client
from mqttlite.client.arguments.reconnect import Reconnect
from mqttlite.core.errors import MQTTError
from tests.peers import free_port

SOON = Reconnect(0.1, 0.5)
PATIENCE_S = 30.0  # without anything new, after which what has not come counts as lost


class Upstream:
    """Our broker with a store, in a process of its own: the same for all, and it keeps its word when it is killed."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._programs = Programs()

    def start(self) -> None:
        command = [sys.executable, "-m", "mqttlite", "broker", "--listen", f"mqtt://127.0.0.1:{self.port}"]
        self._programs.run([*command, "--store", str(self._folder / "upstream.db")], self._folder / "upstream.log")
        answers(self.port)

    def kill(self) -> None:
        self._programs.kill()


class Result(NamedTuple):
    """What has become of `accepted` messages. `stuck`: they came when the bridge had been started anew, since for
    PATIENCE_S nothing more had. `drained_a_second`: from the moment in which nothing more was done to it; `cpu_us`:
    processor time of the bridge, for each message that has come.
    """

    accepted: int
    lost: int
    stuck: int
    twice: int
    misordered: int
    drained_a_second: float
    cpu_us: float
    memory_mb: float


@dataclass
class Scene:
    """What a fault has to do with. `feed(count)`: so many more messages are accepted for sending; `fed`: numbers that
    the bridge's broker has acknowledged.
    """

    contestant: Contestant
    upstream: Upstream
    wire: Wire
    chance: random.Random
    count: int
    size: int
    client: Client
    fed: set[int] = field(default_factory=set)
    got: list[int] = field(default_factory=list)
    next: int = 0
    waiting: "set[asyncio.Task[None]]" = field(default_factory=set)
    feeding: "asyncio.Task[None] | None" = None

    async def feed(self, count: int) -> None:
        for number in range(self.next, self.next + count):
            self.next = number + 1
            receipt = await self.client.publish(TOPIC, b"%08d" % number + bytes(self.size - 8), 2)
            task = asyncio.ensure_future(self._note(number, receipt))
            self.waiting.add(task)
            task.add_done_callback(self.waiting.discard)

    def begin_feeding(self, count: int) -> None:
        """As `feed`, meanwhile: with very much unsent, a client waits."""
        self.feeding = asyncio.ensure_future(self.feed(count))

    async def _note(self, number: int, receipt: "Awaitable[object]") -> None:
        with contextlib.suppress(MQTTError):  # the bridge's broker has lost what it knew of the message
            await receipt
            self.fed.add(number)

    async def until(self, condition: Callable[[], object], patience_s: float = PATIENCE_S) -> bool:
        """Wait for it, as long as something goes on; whether it has become true."""
        seen, at = (0, 0), time.monotonic()
        while not condition():
            if (now := (len(self.fed), len(self.got))) != seen:
                seen, at = now, time.monotonic()
            elif time.monotonic() - at > patience_s:
                return False
            await asyncio.sleep(0.01)
        return True

    async def all_fed(self, patience_s: float = PATIENCE_S) -> bool:
        return await self.until(lambda: self.is_done and len(self.fed) >= self.next, patience_s)

    @property
    def is_done(self) -> bool:
        return self.feeding is None or self.feeding.done()


Fault = Callable[[Scene], Awaitable[None]]


@contextlib.asynccontextmanager
async def scene(
    make: Callable[[Path, int], Contestant], folder: Path, store: Path, seed: int, count: int, size: int
) -> AsyncIterator[Scene]:
    """All of it, started. `store`: where the bridge keeps what it has."""
    upstream = Upstream(folder)
    upstream.start()
    try:
        async with Wire(upstream.port) as wire:
            contestant = make(store, wire.port)
            contestant.start()
            try:
                far = Client(f"mqtt://127.0.0.1:{upstream.port}", client_id="collector", reconnect=SOON)
                near = Client(f"mqtt://127.0.0.1:{contestant.port}", client_id="feeder", reconnect=SOON)
                async with far, near:
                    await far.subscribe("t/#", 2)
                    made = Scene(contestant, upstream, wire, random.Random(seed), count, size, near)
                    collecting = asyncio.ensure_future(_collect(far, made.got))
                    await asyncio.sleep(1.0)  # a bridge connects when it likes
                    try:
                        yield made
                    finally:
                        tasks = [collecting, *made.waiting, *([made.feeding] if made.feeding else [])]
                        for task in tasks:
                            task.cancel()
                        await asyncio.gather(*tasks, return_exceptions=True)
                        with contextlib.suppress(Exception):
                            async with asyncio.timeout(1):
                                await near.close()
            finally:
                contestant.kill()
    finally:
        upstream.kill()


async def _collect(client: Client, got: list[int]) -> None:
    async for message in client:
        got.append(int(message.payload[:8]))


async def run(of: Scene, fault: Fault) -> Result:
    """Let it happen, wait for what still comes, and count."""
    await fault(of)
    began, had, memory = time.monotonic(), len(of.got), of.contestant.memory_mb
    await of.all_fed()
    await of.until(lambda: of.fed <= set(of.got))
    seconds, came = time.monotonic() - began, len(of.got) - had
    stuck = of.fed - set(of.got)
    if stuck:
        await asyncio.to_thread(of.contestant.stop)
        await asyncio.to_thread(of.contestant.start)
        await of.until(lambda: of.fed <= set(of.got))
    times = Counter(of.got)
    firsts = list(dict.fromkeys(of.got))
    return Result(
        len(of.fed),
        len(of.fed - times.keys()),
        len(stuck & times.keys()),
        sum(number - 1 for number in times.values()),
        sum(1 for one, other in itertools.pairwise(firsts) if other < one),
        came / seconds if seconds > 0.05 and not stuck else 0.0,
        of.contestant.cpu_s / max(1, len(times)) * 1e6,
        max(memory, of.contestant.memory_mb),
    )
