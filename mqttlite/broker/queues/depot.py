"""All that a broker keeps by a name: the face of this package to the engine. Imports everything here.

The engine tells who subscribes, comes and goes; calls `pump` after it has served somebody, while `awake` says so; and
`look` once a second. Without a store, all of it lives in memory.
"""

import logging

from ...core.properties import user_property
from ...core.reason_codes import BAD_FILTER, NOT_AUTHORISED, QUOTA_EXCEEDED, REFUSED
from ...store.tables.queue_tables import ALWAYS, COLLECTOR, DELETED, READ_TO, TIME_SIZE, UNREAD, QueuesState
from ..clients.broker_store import BrokerStore
from ..clients.client_session import ClientSession
from ..clients.publishable import shown
from ..counting.stats import Stats, Watch
from ..limits import Limits
from ..messages.extras import share_of
from ..named_rules import DEFAULTS, NamedRule
from ..routing.means import Means
from ..routing.repeats import Repeats
from ..routing.router import Router
from ..routing.subscribing import tell
from ..topics.names import BRIDGE_PREFIX, QUEUE, STREAM, SUBSCRIBED, Named, NamedError, parted
from .consumer import Consumer
from .delayed import Delayed
from .named_queue import Item, NamedQueue, untagged
from .stream import ID_PROPERTY, OFFSET_PROPERTY, Entry, Reader, Stream

log = logging.getLogger("mqttlite.broker")

USED_MS = 60_000  # how often the store is told that a queue is in use
WORDS = ("queue", "stream")  # for kinds


class Depot:
    """`queues`, `streams`: by name. `repeats`: None where they are not looked for."""

    def __init__(self, router: Router, limits: Limits, stats: Stats, watch: Watch, store: BrokerStore | None) -> None:
        self._router = router
        self._means = means = Means(router, limits, stats, watch, store)
        self.awake = means.awake
        self.queues: dict[bytes, NamedQueue] = {}
        self.streams: dict[bytes, Stream] = {}
        self.consumers: dict[ClientSession, Consumer] = {}
        self._last = 0  # number of the last one made
        self.repeats: Repeats | None = None
        self._look_for_repeats()
        self.delayed = Delayed(means)
        router.later = self.delayed.of_topic
        router.collected = self.filter_of
        router.resumed = self._wake

    def _look_for_repeats(self) -> None:
        """Or not, as the limits say."""
        limits = self._means.limits
        wanted = limits.deduplicate and (self._means.store is not None or limits.deduplicate_in_memory)
        if wanted != (self.repeats is not None):
            self.repeats = Repeats(self._means) if wanted else None
            self._router.repeats = self.repeats
            self._router.forget_routes()  # which know whether each message has to be looked at

    # -- subscriptions

    def subscribe(self, client: ClientSession, topic_filter: bytes, value: int, block: bytes = b"") -> int:
        """As Router.subscribe, of a filter that begins as one of names.SUBSCRIBED. `block`: properties of SUBSCRIBE."""
        start = of_id = b""
        if block:
            start = user_property(block, OFFSET_PROPERTY) or b""
            of_id = user_property(block, ID_PROPERTY) or b""
        try:
            named = parted(topic_filter)
            # First of all, so that nobody hears of a queue whose topics are none of his
            if named.filter and self._router.is_denied(client, topic_filter, named.filter):
                return NOT_AUTHORISED
            self._check(named, start)
        except NamedError as error:
            self._means.watch.hit("named", client, f"{shown(topic_filter)}: {error}", self._router.now)
            tell(client, f"{shown(topic_filter)}: {error.told}")
            return BAD_FILTER
        is_new = self._found(named) is None
        if is_new and (why := self._lacks_room(client)):
            words = f"{shown(topic_filter)}: no room for one more {WORDS[named.kind]}: {why}"
            self._means.watch.hit("named_queues", client, words, self._router.now)
            tell(client, words)
            return QUOTA_EXCEEDED
        code = self._router.subscribe(client, topic_filter, value, self.filter_of(topic_filter))
        if code < REFUSED:
            if named.kind == QUEUE:
                self._consume(client, topic_filter, named, value)
            else:
                self._read(client, topic_filter, named, value, start, of_id)
            if is_new and (made := self._found(named)):
                made.maker = _user_of(client)
        return code

    def _lacks_room(self, client: ClientSession) -> str:
        """Why no more queue or stream can be made for `client`; "": one can. No user makes more than half of them (in
        one life of the broker), so that others can make some, too.
        """
        made = [each for each in self._all if not each.is_configured]
        most = self._means.limits.named_queues
        if len(made) >= most:
            return f"there are {len(made)}"
        user = _user_of(client)
        own = sum(each.maker == user for each in made)
        return f"user {user!a} has made {own} of {most}" if user and 2 * own >= most else ""

    def _found(self, named: Named) -> NamedQueue | Stream | None:
        return self.queues.get(named.name) if named.kind == QUEUE else self.streams.get(named.name)

    def _check(self, named: Named, start: bytes) -> None:
        """NamedError where there is no such queue or stream, or another one under this name; or no such place in it."""
        found = self._found(named)
        name = named.name.decode()
        word = WORDS[named.kind]
        if found is None and not named.filter:
            raise NamedError(f"there is no {word} {name}: the first who subscribes says what it collects")
        if found is None and named.filter.startswith(BRIDGE_PREFIX):  # those do not expire
            raise NamedError("what begins with $bridge/ is collected by the bridge alone")
        if found and named.filter and named.filter != found.filter:
            kept = ascii(found.filter.decode())
            advice = f"subscribe to ${word}/{name}, or take another name"
            told = f"{word} {name} collects other topics: {advice}"
            raise NamedError(f"{word} {name} collects {kept}: {advice}", told)
        if named.kind != QUEUE:
            stream = self.streams.get(named.name) or Stream(b"", b"", DEFAULTS[named.kind], 0, 0, False, self._means)
            for text in (named.start, start):
                stream.start(text)

    @property
    def _all(self) -> list[NamedQueue | Stream]:
        return [*self.queues.values(), *self.streams.values()]

    def _consumer(self, client: ClientSession) -> Consumer:
        consumer = self.consumers.get(client)
        if consumer is None:
            consumer = self.consumers[client] = Consumer(client, self._means)
        return consumer

    def _consume(self, client: ClientSession, topic_filter: bytes, named: Named, value: int) -> None:
        queue = self.queues.get(named.name)
        if queue is None:
            queue = self._make_queue(named.name, named.filter, False)
        queue.members[client] = value
        queue.unbar()
        self._consumer(client).queues[topic_filter] = queue.name
        self.awake[client] = None

    def _read(
        self,
        client: ClientSession,
        topic_filter: bytes,
        named: Named,
        value: int,
        start: bytes,
        of_id: bytes = b"",
        at: int = -1,
    ) -> None:
        """`start`: of the properties; that in the filter counts for a subscription that is new. `at`: as the store has
        it.
        """
        stream = self.streams.get(named.name)
        if stream is None:
            stream = self._make_stream(named.name, named.filter, False)
        readers = self._consumer(client).readers
        reader = readers.get(topic_filter)
        if reader is None:
            reader = readers[topic_filter] = Reader(client, stream, topic_filter, value, stream.start(named.start))
            stream.readers[reader] = None
        reader.value = value
        if start:
            reader.at = stream.start(start, of_id)
        if at >= 0:
            reader.at = min(at, stream.next)
        elif client.store:
            client.store.record(READ_TO, reader.at, topic_filter)
        self.awake[client] = None

    def unsubscribe(self, client: ClientSession, topic_filter: bytes) -> None:
        """The client gets no more; what it has it may still acknowledge."""
        consumer = self.consumers.get(client)
        if consumer is None:
            return
        reader = consumer.readers.pop(topic_filter, None)
        if reader:
            self._stop(reader)
            if client.store:
                client.store.record(UNREAD, 0, topic_filter)
        name = consumer.queues.pop(topic_filter, b"")
        if name and name not in consumer.queues.values():
            queue = self.queues[name]
            queue.members.pop(client, None)
            self._used(queue)

    def _stop(self, reader: Reader) -> None:
        reader.stream.readers.pop(reader, None)
        self._used(reader.stream)

    def filter_of(self, topic_filter: bytes) -> bytes:
        """What a subscription collects, in the end; b"": nothing. Any other topic filter as it is."""
        if not topic_filter.startswith(SUBSCRIBED):
            return topic_filter
        try:
            named = parted(topic_filter)
        except NamedError:
            return b""
        found = self._found(named)
        return found.filter if found else named.filter

    # -- clients come and go

    def connected(self, client: ClientSession) -> None:
        """A client that may have subscriptions here is there again."""
        consumer = self.consumers.get(client)
        if consumer:
            consumer.has_left = False
            self._wake(client)

    def _wake(self, client: ClientSession) -> None:
        """There may be something that it can be sent now."""
        consumer = self.consumers.get(client)
        if consumer:
            for name in consumer.queues.values():
                self.queues[name].unbar()
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
        for reader in consumer.readers.values():
            self._stop(reader)
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
                for reader in consumer.readers.values():
                    reader.stream.read(reader)
        return [each for each in self.awake if isinstance(each, ClientSession)]

    def look(self, now: int, wait_ms: int) -> int:
        """Once a second at least; in how many ms again, `wait_ms` at most."""
        if self.repeats is not None:
            self.repeats.look()
        clock = self._router.clock()
        for each in self._all:
            each.look()
            if each.members if isinstance(each, NamedQueue) else each.readers:
                if clock - each.used_at >= USED_MS:
                    self._used(each)
            elif not (each.is_configured or each.filter.startswith(BRIDGE_PREFIX)) and (
                0 < each.rule.expiry_s * 1000 <= clock - each.used_at
            ):
                log.warning("%s: nobody was subscribed for %d s: it is deleted", each, each.rule.expiry_s)
                self._delete(each)
        back_ms = self._means.limits.queue_return_ms
        for client, consumer in list(self.consumers.items()):
            if client.peer is None and consumer.lent and now - client.offline_since >= back_ms:
                consumer.return_all("its consumer is away", False)
        return self.delayed.look(wait_ms)

    @property
    def is_timed(self) -> bool:
        """Whether something here waits for a time, so that the store has to be told the clock."""
        return bool(
            self.queues or self.streams or len(self.delayed) or (self.repeats is not None and len(self.repeats))
        )

    # -- queues and streams

    def _rule(self, name: bytes, kind: int) -> NamedRule:
        text = name.decode()
        found = None
        for rule in self._means.limits.named:
            if rule.kind == kind and (rule.name == text or (rule.name == "*" and found is None)):
                found = rule
                if rule.name == text:
                    break
        return found or DEFAULTS[kind]

    def _number(self, number: int) -> int:
        if not number:
            number = self._last + 1
        self._last = max(self._last, number)
        return number

    def _make_queue(self, name: bytes, topic_filter: bytes, is_configured: bool, number: int = 0) -> NamedQueue:
        rule = self._rule(name, QUEUE)
        queue = NamedQueue(name, topic_filter, rule, self._number(number), is_configured, self._means)
        queue.consumers = self.consumers
        self.queues[name] = queue
        self._made_anew(queue, not number)
        return queue

    def _make_stream(
        self, name: bytes, topic_filter: bytes, is_configured: bool, number: int = 0, made_at: int = 0
    ) -> Stream:
        rule = self._rule(name, STREAM)
        made_at = made_at or max(1, self._router.clock())
        stream = Stream(name, topic_filter, rule, self._number(number), made_at, is_configured, self._means)
        self.streams[name] = stream
        self._made_anew(stream, not number)
        return stream

    def _made_anew(self, made: NamedQueue | Stream, is_new: bool) -> None:
        self._router.add_taker(made.filter, made)
        self._means.count += 1
        if is_new:
            self._used(made)
            level = logging.DEBUG if made.filter.startswith(BRIDGE_PREFIX) else logging.INFO
            log.log(level, "%s collects %s", made, ascii(made.filter.decode()))

    def _used(self, used: NamedQueue | Stream) -> None:
        """It is in use, or was until now; one of the configuration always is, in the next life, too."""
        used.used_at = clock = ALWAYS if used.is_configured else self._router.clock()
        kind = used.made_at << 1 | 1 if isinstance(used, Stream) else QUEUE
        self._means.note(used.number, COLLECTOR, kind, used.name, used.filter, clock.to_bytes(TIME_SIZE, "big"))

    def _delete(self, each: NamedQueue | Stream) -> None:
        if isinstance(each, NamedQueue):
            del self.queues[each.name]
        else:
            del self.streams[each.name]
        self._router.remove_taker(each.filter, each)
        self._means.count -= 1
        each.end()
        self._means.note(each.number, DELETED, 0)

    def configure(self) -> None:
        """Those of the configuration exist; one whose filter has changed collects from now on what it says. What was
        there for whoever came, and is not in it any more, was in use until now.
        """
        for rule in self._means.limits.named:
            if not rule.filter:
                continue
            name, topic_filter = rule.name.encode(), rule.filter.encode()
            found = self._found(Named(rule.kind, name, topic_filter, b""))
            if found is None:
                make = self._make_queue if rule.kind == QUEUE else self._make_stream
                make(name, topic_filter, True)
                continue
            found.is_configured = True
            if found.filter != topic_filter:
                self._router.remove_taker(found.filter, found)
                found.filter = topic_filter
                self._router.add_taker(topic_filter, found)
                self._used(found)
            elif found.used_at != ALWAYS:
                self._used(found)
        for each in self._all:
            if each.used_at == ALWAYS and not each.is_configured:
                self._used(each)

    def set_limits(self, limits: Limits) -> None:
        """The rules are others from now on; what is there stays, and what is not in them any more expires as those that
        a subscription has made.
        """
        self._means.limits = limits
        self._look_for_repeats()
        for queue in self.queues.values():
            queue.rule = self._rule(queue.name, QUEUE)
            queue.is_configured = False
        for stream in self.streams.values():
            stream.rule = self._rule(stream.name, STREAM)
            stream.is_configured = False
        self.configure()

    # -- from one life to the next

    def load(self, kept: QueuesState, clients: dict[ClientSession, int]) -> None:
        """Go on from what the store has kept: after the sessions (`clients`, with their numbers there)."""
        for number, collector in kept.collectors.items():
            name = collector.name
            if collector.kind == QUEUE:
                queue = self._make_queue(name, collector.filter, False, number)
                queue.used_at = collector.used
                for seq, (at, tries, head, payload, extra) in collector.messages.items():
                    queue.load(seq, Item(at, head, payload, extra, tries))
                queue.next = max(queue.next, collector.next)
            else:
                stream = self._make_stream(name, collector.filter, False, number, collector.made)
                stream.used_at = collector.used
                for seq, (at, _, head, payload, extra) in collector.messages.items():
                    stream.load(seq, Entry(at, head, payload, extra))
                stream.loaded(collector.next)
        for client, number in clients.items():
            self._load_client(client, number, kept)
        if self.repeats is not None:
            self.repeats.load(kept.numbers)
        self.delayed.load(kept.delayed)
        self.configure()

    def _load_client(self, client: ClientSession, number: int, kept: QueuesState) -> None:
        for topic_filter, value in client.subscriptions.items():
            if not topic_filter.startswith(SUBSCRIBED):
                continue
            named = parted(topic_filter)
            if not (named.filter or self._found(named)):
                continue
            if named.kind == QUEUE:
                self._consume(client, topic_filter, named, value)
            else:
                at = kept.readers.get((number, topic_filter), -1)
                self._read(client, topic_filter, named, value, b"", b"", at)
        for seq, message in client.session.messages.items():
            name, item, tries = untagged(share_of(message[2])) if message[2] else (b"", 0, 0)
            held = self.queues.get(name)
            if held and held.is_held(item, tries, client):
                self._consumer(client).lent[seq] = (held, item)

    # -- for whoever operates it

    def delete(self, name: bytes, kind: int = QUEUE) -> bool:
        """End a queue or stream, with all that is in it; whether there was one. Who is subscribed is not any more; one
        of the configuration is there again with the next start or reload.
        """
        found = self._found(Named(kind, name, b"", b""))
        if found is None:
            return False
        for client, consumer in list(self.consumers.items()):
            filters = [*consumer.queues] if kind == QUEUE else [*consumer.readers]
            for topic_filter in [each for each in filters if parted(each).name == name]:
                self.unsubscribe(client, topic_filter)
                self._router.unsubscribe(client, topic_filter)
        self._delete(found)
        return True

    def retry(self, name: bytes) -> int:
        """What is dead in a queue is tried again; how many messages."""
        return self.queues[name].retry() if name in self.queues else 0

    def drop_dead(self, name: bytes) -> int:
        """What is dead in a queue is deleted; how many messages."""
        return self.queues[name].drop_dead() if name in self.queues else 0

    def describe(self) -> list[dict[str, object]]:
        """Each queue and stream, for whoever looks."""
        queues: list[dict[str, object]] = [
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
        streams: list[dict[str, object]] = [
            {
                "kind": "stream",
                "name": stream.name.decode(),
                "filter": stream.filter.decode(),
                "messages": len(stream.entries),
                "bytes": stream.bytes,
                "first": stream.first,
                "next": stream.next,
                "id": stream.id.decode(),
                "readers": sum(reader.client.peer is not None for reader in stream.readers),
                "configured": stream.is_configured,
            }
            for stream in self.streams.values()
        ]
        return queues + streams


def _user_of(client: ClientSession) -> str:
    """ "": there are no users."""
    return (client.owner.user if client.owner else None) or ""
