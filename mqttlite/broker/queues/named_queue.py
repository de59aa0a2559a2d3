"""A named queue: `$queue/NAME/FILTER`. Each message that its filter matches goes to one of its consumers. Imports
consumer, means, taker and the broker's delivery.

- A message stays here until a consumer has acknowledged it (consumer.py). Numbers count up: what comes back goes before
  all that came later.
- It is handed out when a consumer would be sent it at once, and to the one whose turn it is: so a slow one costs no
  memory, and a window of messages at most waits for it.
- QoS 0 is handed out at most once, and is not in the store, as everywhere.
- What has been tried `tries` times is *dead*: it is published below `dead_topic` as soon as anybody is there to get it,
  and stays here until then.
"""

import heapq
import logging
from typing import TYPE_CHECKING

from ...core.codec import publish_head, topic_of
from ...core.properties import encode_user_properties
from ...store.tables.queue_tables import COLLECTED, TAKEN, TIME_SIZE, TRIED
from ..access.guard import Guard
from ..clients.client_session import ClientSession
from ..clients.peer import Peer
from ..clients.publishing import HeldBack, StoreRoom
from ..counting.ledger import MESSAGE
from ..limits import DROP_OLDEST, HOLD, LimitError
from ..messages.extras import deadline_of, with_identifiers, with_share
from ..named_rules import NamedRule
from ..routing.backpressure import STRICT
from ..routing.delivery import IDENTIFIER, QOS
from ..routing.means import Means
from ..routing.taker import Lender
from ..topics.names import DEAD_PREFIX, QUEUE_PREFIX

if TYPE_CHECKING:
    from .consumer import Consumer

log = logging.getLogger("mqttlite.broker")

TRIES_PROPERTY = b"queue-tries"
TRIES_UNKNOWN = 1 << 31  # in the tag of an earlier release


class Item:
    """A message in a queue. `head`: of its PUBLISH, with the QoS that it was published with. `holder`: who has it."""

    __slots__ = ("at", "extra", "head", "holder", "payload", "tries")

    def __init__(self, at: int, head: bytes, payload: bytes, extra: bytes, tries: int = 0) -> None:
        self.at = at  # ms, the broker's clock
        self.head = head
        self.payload = payload
        self.extra = extra
        self.tries = tries
        self.holder: ClientSession | None = None

    @property
    def cost(self) -> int:
        """Bytes."""
        return len(self.head) + len(self.payload) + len(self.extra) + MESSAGE


class NamedQueue(Lender):
    """`number`: in the store. `is_configured`: it exists always."""

    def __init__(
        self, name: bytes, topic_filter: bytes, rule: NamedRule, number: int, is_configured: bool, means: Means
    ) -> None:
        self.name = name
        self.filter = topic_filter
        self.rule = rule
        self.number = number
        self.is_configured = is_configured
        self.means = means
        self.next = 0
        self.items: dict[int, Item] = {}
        self.bytes = 0
        self.members: dict[ClientSession, int] = {}  # their subscriptions' values; the one whose turn it is first
        self.consumers: dict[ClientSession, Consumer] = {}  # the depot's
        self.dead: dict[int, str] = {}  # why
        self.used_at = 0  # ms, the broker's clock: when somebody was subscribed last
        self.room = StoreRoom()  # which publishers wait for
        self._ready: list[int] = []  # a heap; what is not in `items` any more is passed over
        self._barred: dict[int, None] = {}  # what nobody who was there may receive
        self._rules: tuple[Guard, int] | None = None  # under which that is so

    def __str__(self) -> str:
        return f"queue {self.name.decode()!a}"

    # -- what comes

    def lacks_room(self, size: int, fan: int = 1) -> str:
        """The bound that forbids one more message of `size` bytes, or "". `fan`: in how many queues it is to be."""
        rule = self.rule
        if self.bytes + size > rule.max_bytes:
            return "max_bytes"
        if rule.max_messages and len(self.items) >= rule.max_messages:
            return "max_messages"
        return "named_bytes" if self.means.is_full(self.bytes, size, fan) else ""

    def admit(self, publisher: Peer, size: int, fan: int) -> None:
        """As Taker.admit."""
        when_full = self.rule.when_full
        if when_full not in STRICT:
            return
        bound = self.lacks_room(size, fan)
        if not bound:
            return
        means = self.means
        now = means.router.now
        if when_full == HOLD:
            means.router.backpressure.hold_for(self.room, publisher)
            means.watch.hit("named_queue_full", self, f"is full ({bound}): {publisher} is held back", now)
            raise HeldBack
        means.watch.hit("named_queue_full", self, f"is full ({bound}): a message of {publisher} is refused", now)
        raise LimitError(
            f"{self} is full ({bound}); the message is not taken",
            f"a queue that collects this topic is full ({bound}); the message is not taken; try again later",
        )

    def take(self, publisher: Peer | None, flags: int, topic: bytes, payload: bytes, extra: bytes) -> None:
        """As Taker.take."""
        means = self.means
        item = Item(means.router.clock(), publish_head(flags & 6, topic, len(payload)), payload, extra)
        if not self._make_room(item.cost):
            return
        number = self.next
        self.next = number + 1
        self._put(number, item)
        if flags & 6:
            stored = item.at.to_bytes(TIME_SIZE, "big") + extra
            means.note(self.number, COLLECTED, number, item.head, payload, stored, waits=True)
        heapq.heappush(self._ready, number)
        self.hand_out()

    def _put(self, number: int, item: Item) -> None:
        self.items[number] = item
        cost = item.cost
        self.bytes += cost
        self.means.router.ledger.named += cost

    def _make_room(self, size: int) -> bool:
        bound = self.lacks_room(size)
        if not bound:
            return True
        means = self.means
        drops_oldest = self.rule.when_full == DROP_OLDEST
        while bound and drops_oldest and (self._ready or self._barred):
            number = next(iter(self._barred), self.next)
            if self._ready and self._ready[0] < number:
                number = heapq.heappop(self._ready)
            item = self.items.get(number)
            if item and item.holder is None:
                self.means.stats.dropped_queue_full += 1
                self.finish(number)
                bound = self.lacks_room(size)
        which = "oldest" if drops_oldest else "newest"
        means.watch.hit("named_queue_full", self, f"is full: the {which} message is dropped", means.router.now)
        if bound:
            means.stats.dropped_queue_full += 1
        return not bound

    # -- what goes

    def hand_out(self) -> None:
        """To whom it can be sent at once, as much as a turn allows."""
        router = self.means.router
        enough = router.work + self.means.limits.turn_work
        ready = self._ready
        while ready and self.members:
            number = ready[0]
            item = self.items.get(number)
            if item is None or item.holder is not None:
                heapq.heappop(ready)
                continue
            if 0 <= deadline_of(item.extra) <= router.clock():
                heapq.heappop(ready)
                self.means.stats.dropped_expired += 1
                self.finish(number)
                continue
            client = self._next(item)
            barred_for = None if client or router.guard.is_open else self._barred_for(topic_of(item.head))
            someone = client or barred_for
            if someone is None:
                return
            if router.work >= enough:
                self.means.awake[someone] = None
                return
            heapq.heappop(ready)
            router.work += 1
            if client:
                self._lend(client, number, item)
            else:
                self._barred[number] = None

    def _next(self, item: Item) -> ClientSession | None:
        """Whose turn it is."""
        means = self.means
        members = self.members
        cost = item.cost
        published = item.head[0] >> 1 & 3
        for client, value in members.items():
            if min(published, value & QOS):
                is_free = means.is_free(client, cost)
            else:
                peer = client.peer
                is_free = peer is not None and peer.writable and not peer.has_request
            if is_free and self._may(client, topic_of(item.head)):
                members[client] = members.pop(client)  # the last one now
                return client
        return None

    def _may(self, client: ClientSession, topic: bytes) -> bool:
        """Whether a member has the right to a message of this topic, and still that to subscribe."""
        suspended = client.suspended
        if suspended:
            filters = self.consumers[client].queues
            if all(each in suspended for each, name in filters.items() if name == self.name):
                return False
        return self.means.router.may_receive(client, topic)

    def _barred_for(self, topic: bytes) -> ClientSession | None:
        """One of the members that are there, if none of these may receive a message: it is not to hold up others."""
        there = [client for client in self.members if client.peer is not None]
        return there[0] if there and not any(self._may(client, topic) for client in there) else None

    def unbar(self) -> None:
        """Somebody has come, or the rules are others: who may receive what is looked at again."""
        for number in self._barred:
            heapq.heappush(self._ready, number)
        self._barred.clear()

    def _look_at_rules(self) -> None:
        """Once a second, where there are rules."""
        rules = self.means.router.guard, sum(len(client.suspended) for client in self.members)
        if rules != self._rules:
            self._rules = rules
            self.unbar()
        if self._ready:
            self.means.awake[self] = None

    def _lend(self, client: ClientSession, number: int, item: Item) -> None:
        router = self.means.router
        value = self.members[client]
        qos = min(item.head[0] >> 1 & 3, value & QOS)
        head = item.head
        if head[0] >> 1 & 3 != qos:
            head = publish_head(qos << 1, topic_of(head), len(item.payload))
        extra = item.extra
        if qos:
            extra = with_share(extra, tag(self.name, number, item.tries))
        if value >> IDENTIFIER:
            extra = with_identifiers(extra, [value >> IDENTIFIER])
        if item.tries:
            extra = (extra or b"\0") + encode_user_properties([(TRIES_PROPERTY, str(item.tries).encode())])
        if not qos:
            router.give(client, head, item.payload, extra)
            self.finish(number)
            return
        consumer = self.consumers[client]
        seq = client.session.next
        item.holder = client
        consumer.lent[seq] = (self, number)
        if not router.give(client, head, item.payload, extra):
            consumer.lent.pop(seq, None)
            self.give_back(number, "")

    def finish(self, number: int, waits: bool = False) -> None:
        """As Lender.finish."""
        item = self.items.pop(number, None)
        if item is None:
            return
        cost = item.cost
        self.bytes -= cost
        self.means.router.ledger.named -= cost
        self.dead.pop(number, None)
        self._barred.pop(number, None)
        if item.head[0] & 6:
            self.means.note(self.number, TAKEN, number, waits=waits)
        if self.room.waiting and 2 * self.bytes <= self.rule.max_bytes:
            self.means.router.backpressure.let_go_on(self.room)

    def give_back(self, number: int, why: str) -> None:
        """As Lender.give_back."""
        item = self.items.get(number)
        if item is None:
            return
        item.holder = None
        self.means.awake[self] = None
        if why:
            self._count_try(number, item)
        if self.is_dead(item):
            self.dead[number] = why
            log.warning("%s: message %d is dead after %d tries (%s)", self, number, item.tries, why)
        else:
            heapq.heappush(self._ready, number)

    def _count_try(self, number: int, item: Item) -> None:
        item.tries += 1
        if item.head[0] & 6:
            self.means.note(self.number, TRIED, number, item.tries.to_bytes(4, "big"))

    def taken_away(self, number: int) -> None:
        """As Lender.taken_away: that is a try, for who gets it next has to know, but rules make no message dead."""
        item = self.items.get(number)
        if item and self.rule.tries != item.tries + 1:
            self._count_try(number, item)
        self.give_back(number, "")

    def not_sent(self, number: int) -> None:
        """As Lender.not_sent."""
        item = self.items.get(number)
        router = self.means.router
        if item and 0 <= deadline_of(item.extra) <= router.clock():
            self.finish(number)
        elif item and item.holder and not router.may_receive(item.holder, topic_of(item.head)):
            self.give_back(number, "")  # which is not its fault
        else:
            self.give_back(number, "larger than its consumer takes")

    def serve(self) -> None:
        """Something has come back, or somebody is free."""
        if self.dead:
            self.bury()
        self.hand_out()

    # -- what nobody could handle

    def is_dead(self, item: Item) -> bool:
        """Whether it has been tried often enough."""
        return 0 < self.rule.tries <= item.tries

    def bury(self) -> None:
        """Publish what is dead, if anybody is there to get it."""
        router = self.means.router
        for number in list(self.dead):
            item = self.items[number]
            topic = topic_of(item.head)
            place = self.rule.dead_topic.encode() or DEAD_PREFIX + self.name
            where = place + b"/" + topic
            try:
                router.check_topic(where)
            except LimitError:  # too long
                where = place
                router.check_topic(where)
            if router.is_for_nobody(where):
                continue
            words = encode_user_properties(
                [
                    (b"dead-queue", self.name),
                    (b"dead-cause", (self.dead[number] or "tried before a restart").encode()),
                    (TRIES_PROPERTY, str(item.tries).encode()),
                    (b"dead-topic", topic),
                ]
            )
            payload = item.payload
            flags = item.head[0] & 6
            self.means.stats.dead_letters += 1
            self.finish(number)  # in the commit with what follows
            router.publish(None, flags, where, payload, (item.extra or b"\0") + words)

    def retry(self) -> int:
        """What is dead is tried again, from the first time on; how many."""
        count = len(self.dead)
        for number in self.dead:
            item = self.items[number]
            item.tries = 0
            self.means.note(self.number, TRIED, number, bytes(4))
            heapq.heappush(self._ready, number)
        self.dead.clear()
        self.hand_out()
        return count

    def drop_dead(self) -> int:
        """What is dead is deleted; how many."""
        numbers = list(self.dead)
        for number in numbers:
            self.finish(number)
        return len(numbers)

    # -- from one life to the next

    def load(self, number: int, item: Item) -> None:
        """A message that the store has kept."""
        self._put(number, item)
        self.next = max(self.next, number + 1)
        if self.is_dead(item):
            self.dead[number] = ""
        else:
            heapq.heappush(self._ready, number)

    def is_held(self, number: int, tries: int, client: ClientSession) -> bool:
        """A session that was kept has this message, lent after so many tries: whether it is here, too, and has not been
        given back since.
        """
        item = self.items.get(number)
        if item is None or item.tries > tries:
            return False
        item.holder = client
        return True

    def look(self) -> None:
        """Once a second: what is too old goes, what is dead may find somebody."""
        if self.dead:
            self.bury()
        if self._barred or not self.means.router.guard.is_open:
            self._look_at_rules()
        rule = self.rule
        if not rule.max_age_s:
            return
        clock = self.means.router.clock()
        for number in list(self.items):  # in order but for what QoS 0 leaves out
            item = self.items[number]
            if clock - item.at < rule.max_age_s * 1000:
                break
            if item.holder is None:
                self.means.stats.dropped_expired += 1
                self.finish(number)

    def end(self) -> None:
        """It is deleted, with what is in it; what is lent goes its way as any message of its session."""
        self.means.router.backpressure.let_go_on(self.room)
        self.means.router.ledger.named -= self.bytes
        self.items.clear()
        self.dead.clear()
        self._ready.clear()
        self._barred.clear()
        self.bytes = 0

    @property
    def ready(self) -> int:
        """Messages that wait for a consumer."""
        return len(self.items) - len(self.dead) - sum(item.holder is not None for item in self.items.values())


def tag(name: bytes, number: int, tries: int) -> bytes:
    """What a message in a session has in the place of a share: its queue, its number there, and how often it had been
    tried when it was lent.
    """
    return b"%s%s/%d/%d" % (QUEUE_PREFIX, name, number, tries)


def untagged(share: bytes) -> tuple[bytes, int, int]:
    """The queue, the number and the tries of a tag; b"": it is none."""
    if not share.startswith(QUEUE_PREFIX):
        return b"", 0, 0
    name, number, *tries = share[len(QUEUE_PREFIX) :].split(b"/")
    return name, int(number), int(tries[0]) if tries else TRIES_UNKNOWN
