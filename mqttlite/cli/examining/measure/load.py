"""One run: pairs of a publisher and a subscriber, each with a connection of its own, or with one for both.

The load is closed: a pair has `window` messages under way, and the next one is published when one has arrived, so a
broker that is slow is asked for less and not overrun. With a `rate` it is open: each message has the moment in which it
was due, from which its time counts, so a broker that stops is not spared.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from ....client import Client, Receipt
from ....core.errors import MQTTError
from .figures import Figures

OVERDUE_S = 5.0  # after which a message makes room for another one; should it come, it counts all the same
LAST_S = 2.0  # waited for what is under way at the end
UNDER_WAY_MAX = 5000  # for each pair, at a rate
NUMBER = 8  # bytes of a payload: the message's number


@dataclass(frozen=True)
class Load:
    """What is put on."""

    qos: int
    window: int | None  # None: at `rate`
    rate: float | None = None  # messages a second of each pair
    size: int = 64  # bytes of a payload
    pairs: int = 1
    seconds: float = 2.0
    warm_up_s: float = 0.5


class Pair:
    """A publisher and a subscriber of one topic."""

    def __init__(self, load: Load, topic: str, figures: Figures) -> None:
        self._load = load
        self._topic = topic
        self._figures = figures
        self._under_way: dict[int, float] = {}  # when each message was published, by its number
        self._overdue: dict[int, float] = {}
        self._next = 0
        self._arrived = asyncio.Event()  # pulsed
        self.measures = False
        self.is_over = False

    @property
    def missing(self) -> int:
        return len(self._under_way) + len(self._overdue)

    async def subscribe(self, client: Client) -> None:
        await client.subscribe(self._topic, qos=self._load.qos)

    async def receive(self, client: Client) -> None:
        figures = self._figures
        async for message in client:
            now = time.perf_counter()
            number = int.from_bytes(message.payload[:NUMBER], "big")
            sent = self._under_way.pop(number, None)
            if sent is None:
                sent = self._overdue.pop(number, None)
            if sent is None:
                figures.repeated += 1
            elif self.measures:
                figures.arrived += 1
                figures.delivered.add(now - sent)
            self._arrived.set()

    async def publish(self, client: Client) -> None:
        load = self._load
        rest = bytes(load.size - NUMBER)
        most = load.window or UNDER_WAY_MAX
        began = time.perf_counter()
        while not self.is_over:
            if load.rate:
                due = began + self._next / load.rate
                if (early_s := due - time.perf_counter()) > 0:
                    await asyncio.sleep(min(early_s, 0.1))
                    continue
            if len(self._under_way) >= most:
                await self._room()
                continue
            number = self._next
            self._next += 1
            self._under_way[number] = sent = due if load.rate else time.perf_counter()
            if load.rate and self.measures:
                self._figures.late.add(time.perf_counter() - due)
            receipt = await client.publish(self._topic, number.to_bytes(NUMBER, "big") + rest, load.qos)
            if load.window == 1 and load.qos:
                await self._confirmed(receipt, sent)

    async def _room(self) -> None:
        """Return when something has arrived, or the oldest message is overdue."""
        self._arrived.clear()
        oldest = next(iter(self._under_way.values()))
        try:
            async with asyncio.timeout(max(0.0, oldest + OVERDUE_S - time.perf_counter())):
                await self._arrived.wait()
        except TimeoutError:
            late = [number for number, sent in self._under_way.items() if time.perf_counter() - sent >= OVERDUE_S]
            for number in late:
                self._overdue[number] = self._under_way.pop(number)

    async def _confirmed(self, receipt: Receipt, sent: float) -> None:
        await receipt.completed()
        if self.measures:
            self._figures.confirmed.add(time.perf_counter() - sent)

    async def rest(self) -> None:
        """Wait for what is under way, LAST_S at most."""
        self.is_over = True
        self._arrived.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                while self._under_way:
                    self._arrived.clear()
                    await self._arrived.wait()


class Run:
    """A load, from connecting to its figures. `connect`: the options of a client. `is_one_client`: one connection for
    both ends of a pair, as on a serial line.
    """

    def __init__(self, load: Load, topic: str, connect: Callable[[], dict[str, Any]], is_one_client: bool) -> None:
        self.figures = Figures(load.qos, load.window, load.rate, load.size)
        self._load = load
        self._connect = connect
        self._is_one_client = is_one_client
        self._pairs = [Pair(load, f"{topic}/{number}", self.figures) for number in range(load.pairs)]
        self._stop = asyncio.Event()
        self._connections = 0
        self.measures = False  # not connecting or warming up any more

    def stop(self) -> None:
        """End it now; the figures are those of what was measured until then."""
        self._stop.set()

    async def measure(self) -> Figures:
        """Raises MQTTError, OSError when there is no connection at its beginning, or a client ends."""
        async with contextlib.AsyncExitStack() as stack:
            ends = [
                (pair, await stack.enter_async_context(self._client()), await stack.enter_async_context(self._client()))
                if not self._is_one_client
                else (pair, client := await stack.enter_async_context(self._client()), client)
                for pair in self._pairs
            ]
            self._connections = 0
            async with self._beside() as start:
                for pair, publisher, subscriber in ends:
                    start(pair.receive(subscriber))
                    await pair.subscribe(subscriber)
                    start(pair.publish(publisher))
                await self._timed()
                async with asyncio.TaskGroup() as last:
                    for pair in self._pairs:
                        last.create_task(pair.rest())
            self.figures.missing = sum(pair.missing for pair in self._pairs)
            self.figures.reconnections = self._connections
        return self.figures

    def _client(self) -> contextlib.AbstractAsyncContextManager[Client]:
        options = self._connect()
        told: Callable[[bool, str], None] | None = options.get("on_connection")

        def on_connection(connected: bool, reason: str) -> None:
            self._connections += connected
            if told:
                told(connected, reason)

        return _closed_at_once(Client(**{**options, "on_connection": on_connection}))

    @contextlib.asynccontextmanager
    async def _beside(self) -> AsyncIterator[Callable[[Any], None]]:
        """Tasks that are cancelled at the end; one that fails ends the run, and its error is raised."""
        tasks: list[asyncio.Task[None]] = []

        def start(work: Any) -> None:
            task = asyncio.create_task(work)
            task.add_done_callback(lambda task: self._stop.set() if not task.cancelled() and task.exception() else None)
            tasks.append(task)

        try:
            yield start
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _timed(self) -> None:
        load = self._load
        if await self._stopped_within(load.warm_up_s):
            self.figures.is_whole = False
            return
        for pair in self._pairs:
            pair.measures = True
        self.measures = True
        began, cpu = time.perf_counter(), time.process_time()
        self.figures.is_whole = not await self._stopped_within(load.seconds)
        self.figures.seconds = time.perf_counter() - began
        self.figures.own_cpu_s = time.process_time() - cpu
        for pair in self._pairs:
            pair.measures = False

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return False
        return True


@contextlib.asynccontextmanager
async def _closed_at_once(client: Client) -> AsyncIterator[Client]:
    """As `async with client`, without waiting at the end for what is not confirmed: that is counted as missing."""
    await client.start()
    try:
        yield client
    finally:
        with contextlib.suppress(MQTTError):
            await client.close()
