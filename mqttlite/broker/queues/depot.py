"""All that a broker keeps by a name: the face of this package to the engine. Imports everything here.

The engine tells who subscribes, comes and goes; calls `pump` after it has served somebody, while `awake` says so; and
`look` once a second. Without a store, all of it lives in memory.
"""

import logging

from ...core.reason_codes import BAD_FILTER, QUOTA_EXCEEDED, REFUSED
from ...store.queue_tables import COLLECTOR, DELETED, TIME_SIZE, QueuesState
from ..broker_store import BrokerStore
from ..client_session import ClientSession
from ..extras import share_of
from ..limits import Limits
from ..router import Router
from ..stats import Stats, Watch
from .consumer import Consumer
from .delayed import Delayed
from .means import Means
from .named_queue import Item, NamedQueue, untagged
from .names import QUEUE, Named, NamedError, parted
from .repeats import Repeats
from .rules import DEFAULTS, NamedRule

log = logging.getLogger("mqttlite.broker")

USED_MS = 60_000  # how often the store is told that a queue is in use


class Depot:
    """`queues`: by name. `repeats`: None where they are not looked for."""

    def __init__(self, router: Router, limits: Limits, stats: Stats, watch: Watch, store: BrokerStore | None) -> None:
        self._router = router
        self._means = means = Means(router, limits, stats, watch, store)
        self.awake = means.awake
        self.queues: dict[bytes, NamedQueue] = {}
        self.consumers: dict[ClientSession, Consumer] = {}
        self._last = 0  # number of the last one made
        self.repeats: Repeats | None = None
        if limits.deduplicate and (store or limits.deduplicate_in_memory):
            self.repeats = Repeats(means)
        router.repeats = self.repeats
        self.delayed = Delayed(means)
        router.later = self.delayed.of_topic

    # -- subscriptions

    def subscribe(self, client: ClientSession, topic_filter: bytes, value: int, block: bytes = b"") -> int:
        """As Router.subscribe, of a filter that begins as one of names.SUBSCRIBED. `block`: properties of SUBSCRIBE."""
        try:
            named = parted(topic_filter)
            self._check(named)
        except NamedError as error:
            self._means.watch.hit("named", client, f"{topic_filter.decode()!a}: {error}", self._router.now)
            return BAD_FILTER
        if named.name not in self.queues and self._made >= self._means.limits.named_queues:
            words = f"{topic_filter.decode()!a}: no room for one more queue"
            self._means.watch.hit("named_queues", client, words, self._router.now)
            return QUOTA_EXCEEDED
        code = self._router.subscribe(client, topic_filter, value, self.filter_of(topic_filter))
        if code < REFUSED:
            self._join(client, topic_filter, named, value)
        return code

    def _check(self, named: Named) -> None:
        """NamedError where there is no such queue, or another one under this name."""
        queue = self.queues.get(named.name)
        name = named.name.decode()
        if named.kind != QUEUE:
            raise NamedError("streams are not there yet")
        if queue is None and not named.filter:
            raise NamedError(f"there is no queue {name}: the first who subscribes says what it collects")
        if queue and named.filter and named.filter != queue.filter:
            kept = ascii(queue.filter.decode())
            raise NamedError(f"queue {name} collects {kept}: subscribe to $queue/{name}, or take another name")

    @property
    def _made(self) -> int:
        """How many there are because of subscriptions."""
        return sum(not queue.is_configured for queue in self.queues.values())

    def _join(self, client: ClientSession, topic_filter: bytes, named: Named, value: int) -> None:
        queue = self.queues.get(named.name)
        if queue is None:
            queue = self._make(named.name, named.filter, False)
        consumer = self.consumers.get(client)
        if consumer is None:
            consumer = self.consumers[client] = Consumer(client, self._means)
        queue.members[client] = value
        consumer.queues[topic_filter] = queue.name
        self.awake[client] = None

    def restore(self, client: ClientSession, topic_filter: bytes, value: int) -> None:
        """A subscription of a session that was kept."""
        try:
            named = parted(topic_filter)
        except NamedError:
            return
        if named.name in self.queues or named.filter:
            self._join(client, topic_filter, named, value)

    def unsubscribe(self, client: ClientSession, topic_filter: bytes) -> None:
        """The client gets no more; what it has it may still acknowledge."""
        consumer = self.consumers.get(client)
        name = consumer.queues.pop(topic_filter, b"") if consumer else b""
        if name and consumer and name not in consumer.queues.values():
            queue = self.queues[name]
            queue.members.pop(client, None)
            self._used(queue)

    def filter_of(self, topic_filter: bytes) -> bytes:
        """What a subscription collects, in the end; b"": nothing."""
        try:
            named = parted(topic_filter)
        except NamedError:
            return b""
        queue = self.queues.get(named.name)
        return queue.filter if queue else named.filter

    # -- clients come and go

    def connected(self, client: ClientSession) -> None:
        """A client that may have subscriptions here is there again."""
        if client in self.consumers:
            self.consumers[client].has_left = False
            self.awake[client] = None

    def leaves(self, client: ClientSession) -> None:
        """A client has sent DISCONNECT."""
        if client in self.consumers:
            self.consumers[client].has_left = True

    def ended(self, client: ClientSession) -> None:
        """A session ends."""
        consumer = self.consumers.pop(client, None)
        if consumer is None:
            return
        self.awake.pop(client, None)
        consumer.return_all("its consumer's session ended", True)
        for name in dict.fromkeys(consumer.queues.values()):
            queue = self.queues[name]
            queue.members.pop(client, None)
            self._used(queue)
        client.session.on_finished = None

    # -- work

    def pump(self) -> list[ClientSession]:
        """Hand out what can be handed out in this turn; for whom there is more in the next."""
        awake = list(self.awake)
        self.awake.clear()
        for each in awake:
            if isinstance(each, NamedQueue):
                each.serve()
            if not isinstance(each, ClientSession):
                continue
            consumer = self.consumers.get(each)
            if consumer and each.peer:
                for name in consumer.queues.values():
                    self.queues[name].hand_out()
        return [each for each in self.awake if isinstance(each, ClientSession)]

    def look(self, now: int, wait_ms: int) -> int:
        """Once a second at least; in how many ms again, `wait_ms` at most."""
        if self.repeats is not None:
            self.repeats.look()
        clock = self._router.clock()
        for queue in list(self.queues.values()):
            queue.look()
            if queue.members:
                if clock - queue.used_at >= USED_MS:
                    self._used(queue)
            elif not queue.is_configured and 0 < queue.rule.expiry_s * 1000 <= clock - queue.used_at:
                log.warning("%s: nobody was subscribed for %d s: it is deleted", queue, queue.rule.expiry_s)
                self._delete(queue)
        back_ms = self._means.limits.queue_return_ms
        for client, consumer in list(self.consumers.items()):
            if client.peer is None and consumer.lent and now - client.offline_since >= back_ms:
                consumer.return_all("its consumer is away", False)
        return self.delayed.look(wait_ms)

    @property
    def is_timed(self) -> bool:
        """Whether something here waits for a time, so that the store has to be told the clock."""
        return bool(self.queues or len(self.delayed) or (self.repeats is not None and len(self.repeats)))

    # -- queues

    def _rule(self, name: bytes, kind: int) -> NamedRule:
        text = name.decode()
        found = None
        for rule in self._means.limits.named:
            if rule.kind == kind and (rule.name == text or (rule.name == "*" and found is None)):
                found = rule
                if rule.name == text:
                    break
        return found or DEFAULTS[kind]

    def _make(self, name: bytes, topic_filter: bytes, is_configured: bool, number: int = 0) -> NamedQueue:
        rule = self._rule(name, QUEUE)
        if not number:
            self._last += 1
            number = self._last
        queue = NamedQueue(name, topic_filter, rule, number, is_configured, self._means)
        queue.consumers = self.consumers
        self.queues[name] = queue
        self._router.add_taker(topic_filter, queue)
        if number == self._last:
            self._used(queue)
        log.info("%s collects %s", queue, ascii(topic_filter.decode()))
        return queue

    def _used(self, queue: NamedQueue) -> None:
        """It is in use, or was until now."""
        queue.used_at = clock = self._router.clock()
        self._means.note(queue.number, COLLECTOR, QUEUE, queue.name, queue.filter, clock.to_bytes(TIME_SIZE, "big"))

    def _delete(self, queue: NamedQueue) -> None:
        del self.queues[queue.name]
        self._router.remove_taker(queue.filter, queue)
        queue.end()
        self._means.note(queue.number, DELETED, 0)

    def configure(self) -> None:
        """Those of the configuration exist; one whose filter has changed collects from now on what it says."""
        for rule in self._means.limits.named:
            if rule.kind != QUEUE or not rule.filter:
                continue
            name, topic_filter = rule.name.encode(), rule.filter.encode()
            queue = self.queues.get(name)
            if queue is None:
                self._make(name, topic_filter, True)
                continue
            queue.is_configured = True
            if queue.filter != topic_filter:
                self._router.remove_taker(queue.filter, queue)
                queue.filter = topic_filter
                self._router.add_taker(topic_filter, queue)
                self._used(queue)

    def set_limits(self, limits: Limits) -> None:
        """The rules are others from now on; what is there stays, and a queue that is not in them any more expires as
        those that a subscription has made.
        """
        self._means.limits = limits
        for queue in self.queues.values():
            queue.rule = self._rule(queue.name, QUEUE)
            queue.is_configured = False
        self.configure()

    def load(self, kept: QueuesState, clients: dict[ClientSession, dict[bytes, int]]) -> None:
        """Go on from what the store has kept: after the sessions (`clients`, with their subscriptions)."""
        for number, collector in kept.collectors.items():
            self._last = max(self._last, number)
            queue = self._make(collector.name, collector.filter, False, number)
            queue.used_at = collector.used
            for seq, (at, tries, head, payload, extra) in collector.messages.items():
                queue.load(seq, Item(at, head, payload, extra, tries))
            queue.next = max(queue.next, collector.next)
        for client, subscriptions in clients.items():
            for topic_filter, value in subscriptions.items():
                self.restore(client, topic_filter, value)
            for seq, message in client.session.messages.items():
                name, number = untagged(share_of(message[2])) if message[2] else (b"", 0)
                held = self.queues.get(name)
                if held and held.is_held(number, client):
                    consumer = self.consumers.get(client)
                    if consumer is None:
                        consumer = self.consumers[client] = Consumer(client, self._means)
                    consumer.lent[seq] = (held, number)
        if self.repeats is not None:
            self.repeats.load(kept.numbers)
        self.delayed.load(kept.delayed)
        self.configure()

    # -- for whoever operates it

    def delete(self, name: bytes) -> bool:
        """End a queue, with all that is in it; whether there was one. Who is subscribed is not any more; one of the
        configuration is there again with the next start or reload.
        """
        queue = self.queues.get(name)
        if queue is None:
            return False
        for client in list(queue.members):
            consumer = self.consumers[client]
            for topic_filter in [each for each, other in consumer.queues.items() if other == name]:
                del consumer.queues[topic_filter]
                self._router.unsubscribe(client, topic_filter)
        queue.members.clear()
        self._delete(queue)
        return True

    def retry(self, name: bytes) -> int:
        """What is dead in a queue is tried again; how many messages."""
        return self.queues[name].retry() if name in self.queues else 0

    def drop_dead(self, name: bytes) -> int:
        """What is dead in a queue is deleted; how many messages."""
        return self.queues[name].drop_dead() if name in self.queues else 0

    def describe(self) -> list[dict[str, object]]:
        """Each queue, for whoever looks."""
        return [
            {
                "kind": "queue",
                "name": queue.name.decode(),
                "filter": queue.filter.decode(),
                "messages": len(queue.items),
                "bytes": queue.bytes,
                "ready": queue.ready,
                "dead": len(queue.dead),
                "consumers": sum(client.peer is not None for client in queue.members),
                "configured": queue.is_configured,
            }
            for queue in self.queues.values()
        ]
