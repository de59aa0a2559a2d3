"""A subscription with messages of its own: `async with client.subscription("room/#") as messages`. Host only."""

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any, Self
from zlib import crc32

from ...core.errors import ClosedError
from ...core.properties import IDENTIFIERS_AVAILABLE
from ...core.shown import shown
from ...core.text import check_plain, check_topic_filter, to_utf8
from ...serial.clock import now_ms
from ..arguments.checks import check_number, check_subscription
from ..arguments.checks5 import IDENTIFIER_MAX
from ..incoming import GATHER_MAX, GATHER_MS
from ..messages import Message
from ..traffic.waiting import Waiter
from .distribution import NAMED, Distribution, is_match, log

if TYPE_CHECKING:
    from ..comfort import ComfortableClient

ANSWER_MS = 10_000  # how long the answer to UNSUBSCRIBE is waited for
WHEN_FULL = ("hold", "drop-oldest", "drop-newest")


class Subscription:
    """See Client.subscription. `topic_filter`; `qos`: as granted, in the block; `dropped`: messages that were dropped
    because its queue was full.
    """

    def __init__(
        self,
        client: "ComfortableClient",
        topic_filter: str,
        qos: int,
        queue_max: int,
        queue_bytes: int,
        when_full: str,
        unsubscribe: bool | None,
        options: dict[str, Any],
    ) -> None:
        check_subscription(topic_filter, qos)
        check_number("queue_max", queue_max, 1)
        check_number("queue_bytes", queue_bytes, 1)
        if when_full not in WHEN_FULL:
            raise ValueError(f'when_full is "hold", "drop-oldest" or "drop-newest", not {when_full!r:.60}')
        name = to_utf8(topic_filter, "topic filter")
        check_topic_filter(name)
        check_plain(name)
        self.topic_filter = topic_filter
        self.qos = qos
        self.dropped = 0
        self.size = 0  # bytes of the payloads in its queue
        self.is_stopping = False  # no message is given out any more
        self._client = client
        self._filter = name
        self.wanted = qos
        self.identifier = 0  # of a shared subscription, where its messages carry it (5.0)
        self._queue_max = queue_max
        self._queue_bytes = queue_bytes
        self._when_full = when_full
        self._unsubscribe = unsubscribe
        self._options = options
        self.queue: deque[Message] = deque()
        self._current: Message | None = None  # given out and not handled yet
        self._waiting: Waiter | None = None
        self._distribution: Distribution | None = None  # in the block
        self._has_warned = False

    # -- the block

    async def __aenter__(self) -> Self:
        if self._distribution:
            raise RuntimeError(f"the subscription to '{self.topic_filter}' is in use; make another one")
        client = self._client
        distribution = self._distribution = client._distribute()
        is_new = self._filter not in distribution.life.protocol.subscriptions
        options = self._options
        if self._filter.startswith(NAMED):
            options = self._identified(distribution)
        distribution.add(self)
        try:
            qos = max([each.wanted for each in distribution.others(self)] + [self.wanted])
            self.qos = await client.subscribe(self.topic_filter, qos, **options)
        except BaseException as error:
            self._leave(True)
            if isinstance(error, asyncio.CancelledError) and is_new and not distribution.others(self):
                client._in_background(client.unsubscribe(self.topic_filter))
            raise
        return self

    def _identified(self, distribution: Distribution) -> dict[str, Any]:
        """The options, with an identifier by which the messages of a shared subscription are known, where the broker
        has them. It is the same in each life: what waits in a kept session carries it.
        """
        limits = distribution.life.protocol.limits
        options = self._options
        if limits and limits.found.get(IDENTIFIERS_AVAILABLE) != 0:
            options = {"subscription_identifier": crc32(self._filter) % IDENTIFIER_MAX + 1, **options}
        self.identifier = options.get("subscription_identifier", 0)
        for other in distribution.others(self):  # it is one subscription, which has the identifier that came last
            other.identifier = self.identifier
        return options

    async def __aexit__(self, exc_type: type[BaseException] | None, *exc: object) -> None:
        distribution = self._distribution
        assert distribution
        if not exc_type:
            self.handled()
        keeps = exc_type is not None and distribution.is_kept if self._unsubscribe is None else not self._unsubscribe
        self._leave(keeps)
        if keeps or distribution.life.error or distribution.others(self):
            return
        await self._end(raises=exc_type is None)

    async def _end(self, raises: bool) -> None:
        """Tell the broker. Without a connection it is told on the next one, and nobody waits for that."""
        client = self._client
        life = client._life
        ending = client._in_background(client.unsubscribe(self.topic_filter))
        deadline = now_ms() + ANSWER_MS
        ending.add_done_callback(lambda _: life.wake())
        await asyncio.sleep(0)
        while not ending.done() and life.is_connected and now_ms() < deadline:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_MS / 1000):
                    await life.progress.wait()
        error = ending.exception() if ending.done() and not ending.cancelled() else None
        if raises and error and not isinstance(error, ClosedError):  # with the client ends all that it has
            raise error

    def _leave(self, keeps: bool) -> None:
        distribution, self._distribution = self._distribution, None
        assert distribution
        unhandled = [*([self._current] if self._current else []), *self.queue]
        self._current = None
        self.queue.clear()
        self.size = 0
        self.wake()
        distribution.remove(self, unhandled, keeps)

    # -- the iterator

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        """The next message. Asking for it says that the one before has been handled. Ends when the client is closed."""
        distribution = self._distribution
        if not distribution:
            raise RuntimeError(f"write 'async with client.subscription({self.topic_filter!r}) as messages:'")
        incoming = distribution.incoming
        ms = now_ms() - incoming.since
        if ms >= GATHER_MS or incoming.gathered >= GATHER_MAX:
            await distribution.breathe(self, ms)
        else:
            self.handled()
        while not self.queue or self.is_stopping:
            error = distribution.life.error
            if self.is_stopping or self._distribution is None or isinstance(error, ClosedError):
                raise StopAsyncIteration
            if error:
                raise error
            if self._waiting:
                raise RuntimeError(
                    f"two tasks iterate over one subscription to '{self.topic_filter}'; make another one"
                )
            self._waiting = waiter = Waiter(incoming.turn)
            try:
                await waiter
            finally:
                self._waiting = None
            incoming.since = now_ms()
        message = self.queue.popleft()
        self.size -= len(message.payload)
        self._has_warned = False
        distribution.has_room()
        if message.qos and self._client._is_manual:
            distribution.give_manually(message)
        elif message.qos:
            self._current = message
        return message

    def stop(self) -> None:
        """The iterator ends when it is asked for the next message; what it has not given out stays unhandled."""
        self.is_stopping = True
        self.wake()

    # -- for the distribution

    def takes(self, topic: bytes) -> bool:
        """Whether a message of this topic is one of its."""
        return is_match(self._filter, topic)

    def put(self, message: Message) -> Message | None:
        """It gets a message; the one that is dropped for it."""
        dropped = None
        if self._when_full != "hold" and self.queue and self._is_full(1):
            self.dropped += 1
            if self._when_full == "drop-newest":
                return message
            dropped = self.queue.popleft()
            self.size -= len(dropped.payload)
        self.queue.append(message)
        self.size += len(message.payload)
        self.wake()
        return dropped

    def is_full(self, divisor: int) -> bool:
        """Whether its queue has reached its limits, divided by this, and others wait for it."""
        return self._when_full == "hold" and self._is_full(divisor)

    def _is_full(self, divisor: int) -> bool:
        return len(self.queue) * divisor >= self._queue_max or self.size * divisor >= self._queue_bytes

    def is_stalled(self, distribution: Distribution) -> bool:
        """Whether a message of QoS 0 is dropped: its queue is full, and nobody takes anything."""
        if not self.is_full(1):
            return False
        self.dropped += 1
        distribution.dropped["iterator_full"] += 1
        if not self._has_warned:
            self._has_warned = True
            log.warning(
                "%s: nobody takes the %d messages of the subscription to '%s': they hold back all others",
                shown(self._client.client_id),
                len(self.queue),
                shown(self.topic_filter, 200),
            )
        return True

    def wake(self) -> None:
        """Something has happened that the iterator may wait for."""
        if self._waiting:
            self._waiting.wake()

    def handled(self) -> None:
        """The message that was given out last has been handled."""
        message = self._current
        if message:
            self._current = None
            if self._distribution:
                self._distribution.handled(message)

    def __repr__(self) -> str:
        state = "open" if self._distribution else "not open"
        return f"<Subscription to {self.topic_filter!r}: {state}, {len(self.queue)} messages wait>"
