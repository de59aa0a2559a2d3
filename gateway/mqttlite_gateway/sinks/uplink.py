"""A sink behind the queue that the broker inside has for it: takes messages from its session, gives them to the sink in
batches, and acknowledges each when the sink has it. Whatever ends in between, what is not acknowledged comes again.
"""

import asyncio
import contextlib
import logging
import os
import random
from collections.abc import Callable
from typing import Any

from mqttlite.broker import Broker
from mqttlite.broker.connections.turns import now_ms
from mqttlite.broker.inside import Inside, InsideError, Taken, enrol, session_of
from mqttlite.core.keys import PROPERTY
from mqttlite.core.properties import without_user
from mqttlite.core.shown import shown

from ..bridge import kept
from ..bridge.age import Ages
from ..bridge.counts import Counts, first_of
from ..bridge.dead import DeadLetters
from ..bridge.mapping import HOPS, Ways, aged, own
from ..bridge.rate import Bucket
from ..bridge.relay import Full
from ..bridge.relay import Message as DeadLetter
from ..bridge.session import number_of, options_of
from ..lines.saying import Saying
from ..settings.upstream import UpstreamSettings
from . import sink_of
from .base import Message, Sink, SinkError, key_of

log = logging.getLogger("mqttlite.gateway")

BATCH_BYTES = 1 << 20  # of payloads, in a batch of more than one message
ABORT_S = 2.0  # for what waits for a connection that was given up
STOP_S = 1.5  # for a batch that is under way when the gateway ends
FULL_S = 1.0  # between two attempts to set a message aside
LOOK_S = 1.0  # between two looks at how old the queue is


class SinkUplink:
    """As uplink.Uplink has it. `make`: the sink, for whose messages are called so."""

    def __init__(
        self, settings: UpstreamSettings, broker: Broker, make: Callable[[UpstreamSettings, str], Sink] = sink_of
    ) -> None:
        self.settings = settings
        self.name = settings.name
        self._broker = broker
        self._kept = kept.load(broker, settings)
        self.sink = make(settings, self._kept.client_id)
        self._ways = Ways(settings.out)
        # QoS 1 is enough within a process: a message that comes again has its name, and a commit is saved.
        self._filters = [(route.filter, options_of(route) & ~3 | min(route.qos, 1)) for route in settings.out]
        self._dead = DeadLetters(broker, settings)
        self._ages = Ages(self._kept.marks, settings.max_age_s * 1000)
        self._bucket = Bucket(settings.rate, now_ms())
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._is_busy = False
        self.connected = False
        self.problem = "not connected yet"
        self.target = ""  # what there is at the sink
        self.counts = Counts()
        self._settled = 0
        self._say = Saying(log, f"upstream '{settings.name}'")
        self._since = now_ms()

    # -- for the gateway

    def prepare(self) -> None:
        """Have the session and its subscriptions, so that what is published is queued, whatever the sink does."""
        is_there = enrol(self._broker, self.name, self._filters, self.settings.queue_qos0)
        if not is_there or not self._kept.met:  # numbers begin anew, and so do the names of messages
            self._kept.met = os.urandom(6).hex()
            self._kept.is_reached = False
            self._kept.marks.clear()
            self._kept.save(self._broker, self.name)
        client = session_of(self._broker, self.name)
        if client is not None:
            client.session.on_finished = self.counts.finished

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self.run(), name=f"sink {self.name}"),
            asyncio.create_task(self._look(), name=f"age of the queue of {self.name}"),
        ]

    async def stop(self) -> None:
        self._stopping.set()
        tasks, self._tasks = self._tasks, []
        if tasks and self._is_busy:
            await asyncio.wait(tasks[:1], timeout=STOP_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._say.close()

    async def run(self) -> None:
        """Until it is stopped: connect, drain the queue, and again."""
        settings = self.settings
        await self._pause(random.uniform(0, settings.start_jitter_s))
        delay_s = settings.reconnect_min_s
        while not self._stopping.is_set():
            began = self.counts.acknowledged
            try:
                await self._connect()
                await self._drain()
            except (SinkError, InsideError) as error:
                self._lost(str(error))
            except Exception as error:  # a fault of ours, or of a library: it must not be the end
                log.exception("upstream '%s'", self.name)
                self._lost(f"an unexpected error, see the log: {error!r:.200}")
            finally:
                await self.sink.close()
            if self.counts.acknowledged > began:
                delay_s = settings.reconnect_min_s
            await self._pause(random.uniform(0, delay_s))
            delay_s = min(2 * delay_s, settings.reconnect_max_s)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _have_session(self) -> None:
        """An operator may have removed it; what is published while the sink is away is queued in a new one."""
        if session_of(self._broker, self.name) is None:
            self.prepare()

    async def _connect(self) -> None:
        self._have_session()
        opening = asyncio.ensure_future(self.sink.open())
        await self._bounded(opening, self.settings.timeout_s, f"{self.settings.shown_url} does not answer")
        self.target = opening.result()
        self._have_session()
        self._kept.is_reached = True
        self._kept.save(self._broker, self.name)
        self.connected, self.problem, self._since = True, "", now_ms()
        self._say.info("connected to %s, %s", self.settings.shown_url, self.target)

    async def _bounded(self, work: "asyncio.Future[Any]", seconds: float, words: str) -> None:
        """Wait until `work` has been done; SinkError with `words` when nothing has happened for so long."""
        try:
            while not work.done():
                before = self._settled
                await asyncio.wait([work], timeout=seconds)
                if not work.done() and self._settled == before:
                    self.sink.abort()
                    await asyncio.wait([work], timeout=ABORT_S)
                    raise SinkError(f"{words} (waited {seconds:g} s)")
            work.result()
        finally:
            if not work.done():
                work.cancel()
                await asyncio.wait([work])
            elif not work.cancelled():
                work.exception()

    def _lost(self, why: str) -> None:
        if self.connected or why != self.problem:
            self._say.warning("%s", why)
        if self.connected:
            self._since = now_ms()
        self.connected, self.problem = False, why

    # -- messages

    async def _drain(self) -> None:
        settings = self.settings
        async with Inside(self._broker, self.name, self._filters, window=settings.window) as inside:
            while not self._stopping.is_set():
                batch = await self._gather(inside)
                if batch:
                    self._is_busy = True
                    try:
                        await self._deliver(inside, batch)
                    finally:
                        self._is_busy = False

    async def _gather(self, inside: Inside) -> list[Message]:
        """What can be had at once, and may go by the rate: one at least, unless it goes nowhere."""
        batch: list[Message] = []
        size = 0
        taken = await anext(inside)
        while not self._bucket.take(now_ms()):  # noqa: ASYNC110 - time is what it waits for
            await asyncio.sleep(self._bucket.wait_ms() / 1000)
        too_old = self._ages.below(self.settings.max_age_s * 1000, self._clock()) if self.settings.max_age_s else 0
        while True:
            message = self._message(taken, too_old)
            if message is None:
                inside.acknowledge(taken)
            else:
                batch.append(message)
                size += len(message.payload)
            if (
                not inside.waiting
                or len(batch) >= self.settings.inflight
                or size >= BATCH_BYTES
                or not self._bucket.take(now_ms())
            ):
                return batch
            taken = await anext(inside)

    def _message(self, taken: Taken, too_old: int) -> Message | None:
        """As the sink gets it; None: it is below the number of those that are too old, has expired while it waited for
        the sink, or no route has it, since the settings were others when it was queued.
        """
        found = self._ways.find(taken.topic.encode())
        name = ""
        if taken.qos:
            client = session_of(self._broker, self.name)
            assert client is not None
            number = number_of(client, taken.packet_id)
            name = f"{self._kept.met}/{number}"
            if number < too_old:
                self.counts.dropped["max_age_s"] += 1
                return None
        if found is None:
            self.counts.dropped["no_route"] += 1
            return None
        topic, route = found
        block, has_expired = aged(taken.properties, (now_ms() - taken.at_ms) // 1000)
        if has_expired:
            self.counts.expired += 1
            return None
        key, payload = key_of(block, taken.payload)
        properties = without_user(without_user(own(block), PROPERTY), HOPS)
        retain = taken.retain and route.retain
        return Message(name, topic.decode(), payload, taken.qos, retain, taken.is_repeat, key, properties, origin=taken)

    async def _deliver(self, inside: Inside, batch: list[Message]) -> None:
        refused: list[tuple[Message, str]] = []

        def settle(message: Message, refusal: str) -> None:
            self._settled += 1
            if refusal:
                refused.append((message, refusal))
            else:
                self.counts.acknowledged += 1
                self.counts.drained.count(now_ms())
                inside.acknowledge(message.origin)

        self.counts.sent += len(batch)
        putting = asyncio.ensure_future(self.sink.put(batch, settle))
        try:
            await self._bounded(putting, self.settings.ack_timeout_s, "connected, and nothing is confirmed")
        finally:
            for message, why in refused:
                await self._set_aside(message, why)
                inside.acknowledge(message.origin)

    async def _set_aside(self, message: Message, why: str) -> None:
        """It is a dead letter, durably before it is acknowledged: both are in the broker's next commit."""
        self._say.warning("a message of %s is set aside: %s", shown(message.topic, 200), why)
        taken: Taken = message.origin
        letter = DeadLetter(False, taken.topic.encode(), taken.payload, taken.qos, taken.retain, own(taken.properties))
        if not taken.qos:
            self.counts.dropped["refused_qos0"] += 1
            return
        while True:
            try:
                self._dead.set_aside(letter, why)
            except Full:
                self.problem = "what the sink has refused is full, and waits for somebody: retry or drop some of it"
                await asyncio.sleep(FULL_S)
            else:
                self.counts.refused += 1
                self.problem = "" if self.connected else self.problem
                return

    # -- what is shown

    async def _look(self) -> None:
        """Now and then, how old the queue is."""
        while True:
            client = session_of(self._broker, self.name)
            is_new = client and self._ages.look(first_of(client), client.session.next, self._clock())
            if is_new and self.settings.max_age_s:  # else nobody needs it after a restart, and no card is worn
                self._kept.save(self._broker, self.name)
            await asyncio.sleep(LOOK_S)

    def _clock(self) -> int:
        router = self._broker.engine.router
        router.now = now_ms()
        return router.clock()

    def describe(self) -> dict[str, Any]:
        client = session_of(self._broker, self.name)
        state = self.counts.described(self.settings, client, self._ages, now_ms(), self._clock(), self._kept.is_reached)
        return state | {
            "kind": self.sink.kind,
            "target": self.target,
            "connected": self.connected,
            "since_s": (now_ms() - self._since) // 1000,
            "problem": self.problem,
            "set_aside": len(self._dead),
        }

    def dead_letters(self) -> list[dict[str, Any]]:
        return self._dead.listed()

    def retry(self, id: int) -> None:
        self._dead.retry(id)

    def drop(self, id: int) -> None:
        self._dead.drop(id)
