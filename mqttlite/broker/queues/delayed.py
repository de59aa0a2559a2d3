"""Messages for later: `$delayed/SECONDS/TOPIC`. Imports means, taker.

A message is acknowledged when it is stored, and published when its time has come by the broker's clock, which never
goes back and goes on over a restart: so never early, and after a restart at once if it was due meanwhile. What is
published then is in the commit in which the store lets go of it. The right to publish it is asked for when it comes,
and again when it is published.

The record of one (store/tables/queue_tables.py): the extra is the length of its client's identifier (2), that, the
length of who it is (2), that, and then the message's own.
"""

import heapq
import logging
from typing import NamedTuple

from ...core.codec import publish_head, topic_of
from ...core.errors import MQTTError
from ...store.tables.queue_tables import DELAYED, PUBLISHED, TIME_SIZE
from ..access.guard import PUBLISH
from ..access.identity import Identity, decoded, encoded, source
from ..clients.peer import Peer
from ..counting.ledger import MESSAGE
from ..limits import LimitError
from ..messages.extras import delayed_by
from ..routing.means import Means
from ..routing.taker import Taker
from ..topics.names import RESERVED, NamedError, delayed

log = logging.getLogger("mqttlite.broker")


class Later(NamedTuple):
    """A message that waits. `head`: of its PUBLISH, with QoS and RETAIN as published; `extra`: as it will go out."""

    due: int  # ms, the broker's clock
    head: bytes
    payload: bytes
    extra: bytes
    identity: Identity | None

    @property
    def cost(self) -> int:
        """Bytes."""
        return len(self.head) + len(self.payload) + len(self.extra) + MESSAGE


class Delay(Taker):
    """What a topic that begins with $delayed/ leads to."""

    def __init__(self, later: "Delayed", seconds: int, topic: bytes) -> None:
        self._later = later
        self._seconds = seconds
        self._topic = topic

    def admit(self, publisher: Peer, size: int, fan: int) -> None:
        """As Taker.admit."""
        self._later.admit(publisher, size)

    def take(self, publisher: Peer | None, flags: int, topic: bytes, payload: bytes, extra: bytes) -> None:
        """As Taker.take."""
        self._later.keep(publisher, self._seconds * 1000, flags, self._topic, payload, extra)


class Delayed:
    """All messages that wait."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._waiting: dict[int, Later] = {}
        self._heap: list[tuple[int, int]] = []  # due, number
        self._next = 1
        self._bytes = 0
        self._by_client: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def of_topic(self, topic: bytes) -> Delay:
        """What stands in the route of a topic that begins with $delayed/. LimitError, ProtocolError."""
        try:
            seconds, name = delayed(topic)
        except NamedError as error:
            raise LimitError(str(error)) from None
        limit = self._means.limits.delay_ms
        if seconds * 1000 > limit:
            self._means.watch.counted("delay_ms")
            raise LimitError(f"a delay of {seconds} s: delay_ms is {limit}, so {limit // 1000} s at most")
        if name.startswith((*RESERVED, b"$SYS/")):
            raise LimitError("nobody publishes to topics of the broker itself, later neither")
        self._means.router.check_topic(name)
        return Delay(self, seconds, name)

    # -- what comes

    def lacks_room(self, identity: Identity | None, size: int) -> str:
        """The name of the limit that forbids one more, or ""."""
        limits = self._means.limits
        if identity and self._by_client.get(identity.client_id, 0) >= limits.delayed:
            return "delayed"
        return "delayed_bytes" if self._bytes + size > limits.delayed_bytes else ""

    def admit(self, publisher: Peer, size: int) -> None:
        """See Delay.admit."""
        limit = self.lacks_room(publisher.identity, size)
        if limit:
            self._means.watch.counted(limit)
            allowed = getattr(self._means.limits, limit)
            raise LimitError(f"no room for one more message for later ({limit} is {allowed}); it is not taken")

    def keep(
        self, publisher: Peer | None, delay_ms: int, flags: int, topic: bytes, payload: bytes, extra: bytes
    ) -> None:
        """A message that has been admitted, or is of QoS 0, or of the broker."""
        means = self._means
        identity = publisher.identity if publisher else None
        due = means.router.clock() + delay_ms
        head = publish_head(flags & 7, topic, len(payload))
        later = Later(due, head, payload, delayed_by(extra, delay_ms), identity)
        if not (flags & 6 and publisher) and (self.lacks_room(identity, later.cost) or not self._fits(later.cost)):
            means.stats.dropped_refused += 1
            means.watch.hit("delayed", publisher or "the broker", "no room: a message for later is dropped", self._now)
            return
        number = self._next
        self._put(number, later)
        who = identity.client_id.encode() if identity else b""
        rights = encoded(identity) if identity else b""
        words = len(who).to_bytes(2, "big") + who + len(rights).to_bytes(2, "big") + rights + later.extra
        means.note(0, DELAYED, number, head, payload, due.to_bytes(TIME_SIZE, "big") + words, waits=flags & 6 > 0)

    @property
    def _now(self) -> int:
        return self._means.router.now

    def _fits(self, size: int) -> bool:
        store = self._means.store
        return store is None or store.has_room(size)

    def _put(self, number: int, later: Later) -> None:
        self._waiting[number] = later
        self._next = max(self._next, number + 1)
        heapq.heappush(self._heap, (later.due, number))
        self._count(later, 1)

    def _count(self, later: Later, sign: int) -> None:
        self._bytes += sign * later.cost
        self._means.router.ledger.named += sign * later.cost
        if later.identity:
            name = later.identity.client_id
            left = self._by_client.get(name, 0) + sign
            if left:
                self._by_client[name] = left
            else:
                self._by_client.pop(name, None)

    # -- what goes

    def look(self, wait_ms: int) -> int:
        """Publish what is due, as much as a turn allows; in how many ms to look again, `wait_ms` at most."""
        router = self._means.router
        enough = router.work + self._means.limits.turn_work
        while self._heap:
            due, number = self._heap[0]
            left_ms = due - router.clock()
            if left_ms > 0:
                return min(wait_ms, left_ms)
            if router.work >= enough:
                return 0
            later = self._waiting[number]
            if later.head[0] & 6 and not self._fits(later.cost):
                return wait_ms  # it has been acknowledged: it waits for room in the store
            heapq.heappop(self._heap)
            router.work += 1
            del self._waiting[number]
            self._count(later, -1)
            self._means.note(0, PUBLISHED, number)  # in the commit with what follows
            self._publish(later)
        return wait_ms

    def _publish(self, later: Later) -> None:
        means = self._means
        router = means.router
        topic = topic_of(later.head)
        guard = router.guard
        try:
            router.check_topic(topic)
        except MQTTError as error:  # the limits are others than when it came
            means.stats.dropped_refused += 1
            log.warning("a message for later is dropped: %s", error)
            return
        if not guard.is_open and later.identity:
            identity = guard.known(later.identity)
            if identity is None or not guard.may(identity, PUBLISH, topic):
                means.stats.dropped_denied += 1
                means.watch.hit(
                    "delayed_denied", later.identity.text, "may not publish any more what was for later", self._now
                )
                return
            router.source = source(identity)
        router.publish(None, later.head[0] & 7, topic, later.payload, later.extra)
        router.source = b""

    def load(self, kept: dict[int, tuple[int, bytes, bytes, bytes]]) -> None:
        """What the store has kept."""
        for number, (due, head, payload, words) in kept.items():
            at = 2 + int.from_bytes(words[:2], "big")
            end = at + 2 + int.from_bytes(words[at : at + 2], "big")
            identity: Identity | None = None
            if at > 2:
                try:
                    identity = decoded(words[at + 2 : end], words[2:at])
                except (ValueError, TypeError, LookupError):
                    log.warning("a message for later is of nobody who is known: it is dropped")
                    self._means.note(0, PUBLISHED, number)
                    continue
            self._put(number, Later(due, head, payload, words[end:], identity))
