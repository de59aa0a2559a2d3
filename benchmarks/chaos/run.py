"""One run: a broker, a producer and a consumer as processes, proxies between them, and a plan.

A run ends when both programs have ended in good order, or, with a consumer that never ends, when the producer has,
nothing moves any more, and neither does after one last reconnection without faults. What is missing then is lost.
"""

import asyncio
import contextlib
from pathlib import Path

from benchmarks.chaos.brokers import Lives, make_broker, started
from benchmarks.chaos.counts import Counts, count
from benchmarks.chaos.pairs import Pair, environment
from benchmarks.chaos.plan import Plan
from benchmarks.chaos.wire import Confirmed
from mqttlite.core.packet_types import CONNACK, PINGREQ, PINGRESP
from tests.crash.harness import while_it_advances
from tests.crash.producer import ACCEPTED, numbers_in
from tests.crash.program import Failed, Program
from tests.crash.proxy import Proxy

STALLED_S = 45.0  # without a message confirmed or handled, or a kill, a run is given up
QUIET_S = 0.5  # without a packet: nothing more will come, if nothing is missing
QUIET_MISSING_S = 2.0  # the same when something is, so that it cannot be the machine that was slow

REFUSED = "refused"  # notes of a producer whose library took a message and then said that it will not send it


class Watch:
    """When the last packet went by on a link that was no ping, and whether it has been opened anew."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        proxy.on_passed.append(self.on_passed)
        self._last = asyncio.get_running_loop().time()
        self.connected = asyncio.Event()

    def on_passed(self, upstream: bool, packet: bytes) -> None:
        if packet[0] not in (PINGREQ, PINGRESP):
            self._last = asyncio.get_running_loop().time()
        if not upstream and packet[0] == CONNACK:
            self.connected.set()

    async def quiet(self, seconds: float) -> None:
        """Returns when so long nothing has gone by, and the link is up: a consumer that starts again says nothing."""
        now = asyncio.get_running_loop().time
        await self._proxy.up.wait()
        while (left := self._last + seconds - now()) > 0:
            await asyncio.sleep(left)
            await self._proxy.up.wait()


class _Run:
    """The parts of a run while it lasts."""

    def __init__(self, pair: Pair, plan: Plan, qos: int, messages: int, folder: Path) -> None:
        self.pair = pair
        self.plan = plan
        self.qos = qos
        self.messages = messages
        self.folder = folder
        self.confirmed = Confirmed()
        self.broker = make_broker(pair.broker, folder)
        self.lives = Lives(self.broker, plan.broker, plan.down_s)

    def handled(self) -> list[int]:
        return [number for number in self.pair.client.handled_in(self.folder) if number < self.messages]

    def accepted(self) -> set[int]:
        """Without the end that our producer sends."""
        accepted = set(numbers_in(self.folder / ACCEPTED)) - set(numbers_in(self.folder / REFUSED))
        return {number for number in accepted if number < self.messages}

    def missing(self) -> bool:
        return bool(self.accepted() - set(self.handled()))

    def progress(self) -> tuple[int, int, int]:
        """What changes while a run goes on. On a busy machine each restart takes seconds, and several may follow."""
        return len(self.confirmed.numbers), len(self.handled()), self.lives.kills

    def program(self, role: str, proxy: Proxy) -> Program:
        proxy.on_packet.append(self.lives.on_packet)
        command = self.pair.client.command(role, proxy.url, self.folder, self.qos, self.messages)
        return Program(role, command, proxy, environment(self.plan.keep_alive_s))

    async def play(self, producer: Program, consumer: Program) -> None:
        """From the first subscription until nothing more can come. Failed when a program or the broker breaks."""
        watch = Watch(consumer.proxy)
        async with asyncio.TaskGroup() as group:
            consuming = group.create_task(consumer.live(self.plan.consumer))
            await consumer.ready.wait()
            living = group.create_task(self.lives.live())
            await producer.live(self.plan.producer)
            if self.pair.client.consumer_ends:
                await consuming
            else:
                await self._settle(watch, producer.proxy, consumer.proxy)
                consuming.cancel()
            await self.lives.spare()
            living.cancel()

    async def _settle(self, watch: Watch, *proxies: Proxy) -> None:
        for proxy in proxies:
            proxy.heal()
        await self.lives.spare()
        await watch.quiet(QUIET_MISSING_S if self.missing() else QUIET_S)
        watch.connected.clear()
        for proxy in proxies:
            proxy.drop()
        await watch.connected.wait()
        await watch.quiet(QUIET_MISSING_S if self.missing() else QUIET_S)


async def run(pair: Pair, plan: Plan, qos: int, messages: int, folder: Path) -> Counts:
    """A run with its files in `folder`, which exists; what became of its messages."""
    parts = _Run(pair, plan, qos, messages, folder)
    failure = ""
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(started(parts.broker))
        links = [
            await stack.enter_async_context(Proxy(parts.broker.port, faults))
            for faults in (plan.producer_link, plan.consumer_link)
        ]
        links[0].on_passed.append(parts.confirmed.on_passed)
        producer, consumer = (
            parts.program(role, link) for role, link in zip(("producer", "consumer"), links, strict=True)
        )
        try:
            if not await while_it_advances(parts.play(producer, consumer), parts.progress, STALLED_S):
                failure = f"no progress for {STALLED_S:.0f} s"
        except* Failed as failed:
            failure = str(failed.exceptions[0])
    confirmed = {number for number in parts.confirmed.numbers if number < messages}
    return count(parts.accepted(), confirmed, parts.handled())._replace(
        kills=producer.kills + consumer.kills + parts.lives.kills,
        cuts=sum(link.cuts for link in links),
        stalls=sum(link.stalls for link in links),
        failure=failure,
    )
