"""An MQTT upstream: connects, comes again, and says how it is. Imports everything here.

Between two attempts it waits for a time drawn between nothing and a delay that doubles: gateways that have lost their
upstream together do not come back together.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

from mqttlite.broker import Broker
from mqttlite.broker.clients.client_session import ClientSession
from mqttlite.broker.connections.turns import now_ms
from mqttlite.broker.inside import enrol, session_of
from mqttlite.core.errors import ConnectError, MQTTError
from mqttlite.core.session import SPAN
from mqttlite.core.shown import shown

from ..lines.saying import Saying
from ..lines.upstream import Upstream
from ..settings.upstream import UpstreamSettings
from .age import Ages
from .counts import Counts, first_of
from .dead import DeadLetters
from .joined import Joined
from .kept import Kept, load
from .opening import READ_BYTES, Opening, SilentError, VersionError
from .relay import Full, Means, Message, Relay
from .session import content_of, give_up, message_of, number_of, options_of
from .terms import Version, versions

log = logging.getLogger("mqttlite.gateway")

SAID, SAID_EVERY_S = 10, 30.0  # lines about what is wrong at once, and then one in so many seconds
LOOK_S = 1.0  # between two looks at the age of the queue
DROPS_MAX = 5000  # messages that are too old, at one look
OF_USE_S = 10.0  # a connection that lasts so long, or gets something done, was of use
SUSPECT = 3  # connections that the upstream has ended right after a message, before it is sent alone ...
POISON = 12  # ... and before it is set aside
PATIENT_S = 10.0  # at least, before an upstream that takes nothing more is asked again


class BridgeUplink:
    """One upstream of the bridge (see `..uplink.Uplink`). `broker`: made with settings.with_upstreams."""

    def __init__(self, settings: UpstreamSettings, broker: Broker) -> None:
        self.settings = settings
        self.name = settings.name
        self._broker = broker
        self._upstream = Upstream(settings.url, settings.tls)
        self._counts = Counts()
        self._dead = DeadLetters(broker, settings)
        self._versions = versions(settings.version)
        self._version_at = 0
        self._is_spoken = False  # the upstream has taken this version: when it is silent, that is not why
        self._kept = Kept()
        self._ages = Ages([])
        self._joined: Joined | None = None
        self._since = now_ms()
        self._problem = "not started"
        self._said = ""
        self._saying = Saying(log, f"upstream {settings.name}", SAID, SAID_EVERY_S)
        self._task: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._now = asyncio.Event()  # try at once
        # The message after which the upstream has ended the connection, and how often
        self._suspect = -1
        self._ends = 0
        # The same of one that it was too busy for, and then took another one
        self._passed = -1
        self._passes = 0

    # -- the engine's session

    def prepare(self) -> None:
        """The session at the broker here begins, with its subscriptions: from now on messages are queued. Before the
        broker listens.
        """
        self._kept = load(self._broker, self.settings)
        if self.settings.out and self._client is None and self._kept.met:
            # The one that there was has been removed: numbers begin anew, and nobody knows what the upstream has of it
            self._kept.met = ""
            self._kept.marks.clear()
            self._kept.save(self._broker, self.name)
        filters = [(route.filter, options_of(route)) for route in self.settings.out]
        enrol(self._broker, self.name, filters, self.settings.queue_qos0)
        self._ages = Ages(self._kept.marks, self.settings.max_age_s * 1000)
        client = self._client
        if client is not None:
            client.session.on_finished = self._counts.finished

    @property
    def _client(self) -> ClientSession | None:
        return session_of(self._broker, self.name)

    # -- from the beginning to the end

    async def start(self) -> None:
        """From now on."""
        if not self._kept.client_id:
            self.prepare()
        self._task = asyncio.create_task(self.run(), name=f"upstream {self.name}")

    async def stop(self) -> None:
        """What is not acknowledged stays in the queue."""
        for task in (self._task, self._looking):
            if task:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._task = self._looking = None
        self._saying.close()

    def try_now(self) -> None:
        """Do not wait for the next attempt."""
        self._now.set()

    async def run(self) -> None:
        """For ever."""
        settings = self.settings
        self._looking = asyncio.create_task(self._look_for_ever(), name=f"queue of upstream {self.name}")
        self._problem = "waits for its first connection"
        await self._pause(settings.start_jitter_s)
        delay_s = settings.reconnect_min_s
        while True:
            began_s = asyncio.get_running_loop().time()
            done = self._counts.acknowledged + self._counts.received
            is_patient = False
            try:
                is_patient = await self._connection()
            except VersionError as error:
                self._is_spoken = False
                if self._next_version():
                    log.info("upstream %s: %s; MQTT %s is tried", self.name, error, self._version.text)
                    continue
                self._version_at = 0
                self._say(f"{self._upstream.name}: {error}")
            except (MQTTError, OSError) as error:
                self._say(self._upstream.explain(error))
                is_guess = isinstance(error, SilentError) and not self._is_spoken
                if is_guess and not self._next_version():
                    self._version_at = 0
            except Exception:  # a fault of ours: it must not end the bridge
                log.exception("upstream %s: unexpected error", self.name)
                self._say("unexpected error, which is in the log")
            lasted_s = asyncio.get_running_loop().time() - began_s
            if self._counts.acknowledged + self._counts.received > done or lasted_s >= OF_USE_S:
                delay_s = settings.reconnect_min_s
            await self._pause(max(delay_s, PATIENT_S) if is_patient else delay_s, PATIENT_S / 2 if is_patient else 0.0)
            delay_s = min(2 * delay_s, settings.reconnect_max_s)

    async def _pause(self, most_s: float, least_s: float = 0.0) -> None:
        drawn = int.from_bytes(os.urandom(4)) / (1 << 32)
        self._now.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(least_s + (most_s - least_s) * drawn):
                await self._now.wait()

    def _next_version(self) -> bool:
        """Whether there is another one to try."""
        if self._version_at + 1 >= len(self._versions):
            return False
        self._version_at += 1
        return True

    @property
    def _version(self) -> Version:
        return self._versions[self._version_at]

    async def _connection(self) -> bool:
        """One connection, to its end; whether to be patient then."""
        settings = self.settings
        if self._client is None:
            self.prepare()
        try:
            async with asyncio.timeout(settings.timeout_s):
                streams = await self._upstream.connect(READ_BYTES)
        except TimeoutError:
            raise ConnectError(f"{self._upstream.name} does not answer within {settings.timeout_s:g} s") from None
        opening = Opening(self._broker, settings, self._upstream, streams)
        joined: Joined | None = None
        try:
            # Larger than the broker here takes, too: what the upstream does not send, it drops
            largest = max(self._packet_max, settings.dead_bytes)
            terms = await opening.connect(self._kept.client_id, self._version, largest)
            self._is_spoken = True
            terms = await opening.agree(terms, self._kept, self._dead.set_aside)
            if self._ends >= SUSPECT:
                terms = terms.alone()
            means = Means(
                settings,
                self._counts,
                self._dead.set_aside,
                self._content,
                self._packet_max,
                self._takes_one,
                self._passed % SPAN + 1 if self._passes >= SUSPECT else 0,
            )
            joined = Joined(self._broker, settings, opening, terms, self._kept, means, self._changed)
            self._joined = joined
            self._begun(joined)
            await self._run(joined)
        except TimeoutError:
            raise SilentError(f"{self._upstream.name}: no answer within {settings.timeout_s:g} s") from None
        finally:
            self._joined = None
            opening.writer.close()
            if joined is None:
                opening.writer.transport.abort()
            else:
                self._since = now_ms()
        self._suspected(joined)
        self._note_passed(joined.relay)
        self._say(joined.over)
        return joined.relay.is_patient

    async def _run(self, joined: Joined) -> None:
        try:
            await joined.run()
        except OSError as error:
            why = error.strerror or error
            raise ConnectError(f"the connection to {self._upstream.name} is lost: {why}") from error

    @property
    def _packet_max(self) -> int:
        return self._broker.limits.packet_bytes

    def _takes_one(self) -> None:
        if self._kept.takes_one != self._kept.met:
            self._kept.takes_one = self._kept.met
            self._kept.save(self._broker, self.name)
            log.warning(
                "upstream %s: it takes QoS 2 as QoS 1, against the standard: a message may come twice", self.name
            )

    def _content(self, packet_id: int) -> Message | None:
        client = self._client
        return content_of(client, packet_id, self._broker.engine.router.clock()) if client else None

    def _begun(self, joined: Joined) -> None:
        terms = joined.terms
        self._since = now_ms()
        self._problem = self._said = ""
        client = self._client
        if client is not None:
            client.session.on_finished = self._counts.finished
        log.info(
            "upstream %s: connected to %s, MQTT %s, as %s; %d messages wait for it",
            self.name,
            self._upstream.name,
            terms.version.text,
            self._kept.client_id,
            client.session.queued if client else 0,
        )

    def _say(self, problem: str) -> None:
        self._problem = shown(problem, 300)
        if self._problem != self._said:
            self._said = self._problem
            self._saying.warning("%s", self._problem)

    def _changed(self) -> None:
        """Something has happened in the connection."""
        joined = self._joined
        if joined is None:
            return
        joined.note_subscribed()
        problem = joined.relay.problem
        if problem != self._problem:
            if problem:
                self._say(problem)
            else:
                self._problem = self._said = ""

    # -- a message that the upstream never takes

    def _suspected(self, joined: Joined) -> None:
        """An upstream that closes the connection whenever it is sent a certain message (one of 3.1.1 cannot refuse it
        otherwise) must not keep all others from it.
        """
        client = self._client
        relay = joined.relay
        # In 5.0 there are words for it; in 3.1.1 a connection that is lost in good order looks like that, too.
        was_ended = relay.has_words if joined.terms.is5 else joined.was_closed
        if not was_ended or not relay.owed or relay.has_progress or client is None:
            self._ends = 0
            return
        seq = number_of(client, next(iter(relay.owed)))
        self._ends = self._ends + 1 if seq == self._suspect else 1
        self._suspect = seq
        if self._ends < POISON or len(relay.owed) != 1 or seq not in client.session.messages:
            return
        cause = f"the upstream has ended the connection {self._ends} times when it was sent this"
        try:
            self._dead.set_aside(message_of(client, seq, self._broker.engine.router.clock()), cause)
        except Full:
            return
        self._counts.refused += 1
        give_up(self._broker, self.name, seq)
        self._broker.changed()
        self._ends = 0

    def _note_passed(self, relay: Relay) -> None:
        """An upstream may say that it is busy (0x97) where it means one message: one of mqttlite does, of what has more
        properties than it takes.
        """
        client = self._client
        if relay.is_passed and client is not None:
            seq = number_of(client, relay.busy_with)
            self._passes = self._passes + 1 if seq == self._passed else 1
            self._passed = seq
        if client is None or self._passed not in client.session.messages:
            self._passes = 0

    # -- the age of the queue

    async def _look_for_ever(self) -> None:
        while True:
            try:
                self._look()
            except Exception:  # a fault of ours
                log.exception("upstream %s: unexpected error while looking at its queue", self.name)
            await asyncio.sleep(LOOK_S)

    def _look(self) -> None:
        client = self._client
        if client is None:
            return
        session = client.session
        clock = self._broker.engine.router.clock()
        if self._ages.look(first_of(client), session.next, clock):
            most_ms = self.settings.max_age_s * 1000
            if most_ms:
                self._kept.marks = self._ages.marks
                self._kept.save(self._broker, self.name)
        if self.settings.max_age_s:
            below = self._ages.below(self.settings.max_age_s * 1000, clock)
            count = sum(1 for _ in _dropped(client, below))
            if count:
                self._counts.dropped["max_age_s"] += count
                log.warning("upstream %s: %d messages are older than max_age_s, and dropped", self.name, count)
                self._broker.changed()

    # -- for whoever looks

    def describe(self) -> dict[str, Any]:
        """As Uplink.describe."""
        clock = self._broker.engine.router.clock()
        state = self._counts.described(self.settings, self._client, self._ages, now_ms(), clock, bool(self._kept.met))
        return state | {
            "kind": "mqtt",
            "version": self._version.text,
            "client_id": self._kept.client_id,
            "connected": self._joined is not None,
            "since_s": (now_ms() - self._since) // 1000,
            "problem": self._problem,
            "rate": self.settings.rate,
            "set_aside": len(self._dead),
        }

    def dead_letters(self) -> list[dict[str, Any]]:
        """As Uplink.dead_letters."""
        return self._dead.listed()

    def retry(self, id: int) -> None:
        """As Uplink.retry. ValueError says why not."""
        self._dead.retry(id)

    def drop(self, id: int) -> None:
        """As Uplink.drop. ValueError: there is none."""
        self._dead.drop(id)


def _dropped(client: ClientSession, below: int) -> Iterator[None]:
    """Drop the messages below a number that the upstream cannot have seen, some of them at once."""
    for _ in range(DROPS_MAX):
        if not client.session.drop_oldest(below):
            return
        yield
