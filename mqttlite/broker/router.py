"""Messages: from a topic name to the clients that subscribe to it, into their sessions and output.

A route (which clients, with which QoS) is computed once for a topic name and kept until a subscription changes. A
message is encoded once for each QoS, and everybody who gets it shares those bytes. Imports backpressure, retained,
subscriptions and core.
"""

from ..core.characters import unwanted
from ..core.codec import publish_head, topic_of
from ..core.errors import ProtocolError
from ..core.greeting import MQTT_5_0, Connect
from ..core.reason_codes import BAD_FILTER, NO_SUBSCRIBERS, NOT_AUTHORISED, QUOTA_EXCEEDED
from ..core.records import SUBSCRIBED, UNSUBSCRIBED
from ..core.text import check_topic_name
from ..store.base import StoreError
from .broker_store import BrokerStore
from .client_session import BY_FORM, PLAIN4, PLAIN5, ClientSession
from .delivery import QOS, RETAIN_HANDLING, Delivery
from .extras import deadline_of, extra_of, share_of, without_identifiers
from .forms import heads5
from .ledger import MESSAGE, ROUTE, ROUTE_CLIENT, filter_cost
from .limits import LimitError, Limits
from .peer import HeldBack, Peer
from .retained import RetainedMessages
from .route import HEADS_MAX, Route, Routes
from .shares import PREFIX, Share, ShareError, parted
from .stats import Stats, Watch
from .subscriptions import PLAIN, SubscriptionTree

GAP_TOPICS = b"$SYS/broker/clients/"  # what is said there of the gaps of sessions is kept as they are
GAP = b"/dropped"
SMALL = 1024  # bytes of a payload, above which output lists are also counted in bytes
STEPS = 8  # of a match of topic filters, which are one in the budget of a turn


def _shown(topic: bytes) -> str:
    """A topic or filter for a log line: escaped, and not longer than it is worth."""
    text = ascii(topic.decode())
    return text if len(text) <= 100 else text[:100] + "...'"


class Router(Delivery):
    """Subscriptions, retained messages, and the way of a message. `now` (ms) is kept up to date by the engine."""

    def __init__(
        self,
        limits: Limits,
        stats: Stats,
        watch: Watch,
        dirty: dict[Peer, None],
        busy: dict[Peer, None],
        store: BrokerStore | None = None,
    ) -> None:
        Delivery.__init__(self, limits, stats, watch, dirty, busy, store)
        self._routes = Routes(self._route)
        # Asked before each `publish`, and mostly no more than a look into a dictionary: ProtocolError or LimitError
        # unless messages may be published to a topic.
        self.check_topic = self._routes.__getitem__
        self._tree: SubscriptionTree[ClientSession | Share] = SubscriptionTree()
        self._shares: dict[bytes, Share] = {}  # by topic filter
        self.retained = RetainedMessages(limits, self.ledger)
        self.unwritten = (
            0  # bytes of QoS 0, of large messages, since the shell has written: it writes before they are too many
        )

    # -- subscriptions

    def subscribe(self, client: ClientSession, topic_filter: bytes, value: int) -> int:
        """The reason code for SUBACK: the granted QoS, or from 0x80 on [MQTT-3.8.4-5]. `value`: as in subscriptions.py.
        Retained messages: `send_retained`.
        """
        limits = self._limits
        matched = topic_filter
        if topic_filter.startswith(PREFIX):
            try:
                _, matched = parted(topic_filter)
            except ShareError as error:
                if client.speech:
                    raise ProtocolError("MQTT-4.8.2-1", str(error)) from None
                return BAD_FILTER
        if len(topic_filter) > limits.topic_bytes and not topic_filter.startswith(GAP_TOPICS):
            self._watch.hit("topic_bytes", client, "topic filter refused", self.now)
            return BAD_FILTER
        if not limits.control_characters and unwanted(topic_filter.decode()):  # 1.5.3: it MAY be refused
            self._watch.hit("control_characters", client, f"topic filter refused: {_shown(topic_filter)}", self.now)
            return BAD_FILTER
        if matched.count(b"/") >= limits.topic_levels:
            self._watch.hit("topic_levels", client, "topic filter refused", self.now)
            return BAD_FILTER
        is_new = topic_filter not in client.subscriptions
        if is_new:
            limit = self._lacks_room(client, topic_filter)
            if limit:
                self._watch.hit(limit, client, "topic filter refused", self.now)
                return QUOTA_EXCEEDED
        kept = value & ~RETAIN_HANDLING
        self.restore(client, topic_filter, kept)
        if client.store:
            client.store.record(SUBSCRIBED, kept, topic_filter)
        handling = value & RETAIN_HANDLING
        # Also for a filter that was there already, unless the client says otherwise
        # [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11] of 5.0; never for a shared one (4.8.2)
        if matched is topic_filter and (not handling or (handling == 0x10 and is_new)):
            client.deferred[topic_filter] = None
        return value & QOS

    def _lacks_room(self, client: ClientSession, topic_filter: bytes) -> str:
        """The name of the limit that forbids one more topic filter, or ""."""
        limits = self._limits
        cost = filter_cost(topic_filter)
        if len(client.subscriptions) >= limits.filters:
            return "filters"
        if client.filters_bytes + cost > limits.filters_bytes:
            return "filters_bytes"
        if self.ledger.filters + cost > limits.all_filters_bytes:
            return "all_filters_bytes"
        if client.store and self._store and not self._store.fits(len(topic_filter)):
            return "store"
        return ""

    def restore(self, client: ClientSession, topic_filter: bytes, value: int) -> None:
        """A subscription that the broker has granted."""
        if topic_filter not in client.subscriptions:
            cost = filter_cost(topic_filter)
            client.filters_bytes += cost
            self.ledger.filters += cost
        client.subscriptions[topic_filter] = value
        if topic_filter.startswith(PREFIX):
            share = self._shares.get(topic_filter)
            if share is None:
                share = self._shares[topic_filter] = Share(topic_filter)
                self._tree.add(parted(topic_filter)[1], share, PLAIN + 1)
            share.members[client] = value
        else:
            self._tree.add(topic_filter, client, value)
        self._forget_routes()

    def unsubscribe(self, client: ClientSession, topic_filter: bytes) -> None:
        """Nothing new is added for this filter [MQTT-3.10.4-2]; what the session has already is still delivered."""
        if client.subscriptions.pop(topic_filter, None) is not None:
            cost = filter_cost(topic_filter)
            client.filters_bytes -= cost
            self.ledger.filters -= cost
            client.deferred.pop(topic_filter, None)
            if client.search and client.search[0] == topic_filter:
                client.search = None
            if client.store:
                client.store.record(UNSUBSCRIBED, 0, topic_filter)
            if topic_filter.startswith(PREFIX):
                self._leave(client, topic_filter)
            else:
                self._tree.remove(topic_filter, client)
            self._forget_routes()

    def _leave(self, client: ClientSession, topic_filter: bytes) -> None:
        share = self._shares[topic_filter]
        del share.members[client]
        if not share.members:
            del self._shares[topic_filter]
            self._tree.remove(parted(topic_filter)[1], share)

    def speaks(self, client: ClientSession, connect: Connect) -> None:
        """How a client is spoken to from now on."""
        speech = PLAIN4
        if connect.level == MQTT_5_0:
            speech = BY_FORM if connect.packet_max or connect.topic_alias_max else PLAIN5
        if client.speech != speech:
            client.speech = speech
            if client.subscriptions:
                self._forget_routes()

    def _forget_routes(self) -> None:
        self._routes.clear()
        self.ledger.routes = 0

    def end(self, client: ClientSession) -> None:
        """The session ends, with its subscriptions and everything that was queued for it."""
        if client.store:
            client.store.end()
            client.store = client.session.store = None
        for topic_filter in list(client.subscriptions):
            self.unsubscribe(client, topic_filter)
        self.backpressure.ended(client)
        client.session.forget()
        if self._shares:
            self._pass_on(client)

    def _pass_on(self, client: ClientSession) -> None:
        """What the session had of shared subscriptions, and its client has not acknowledged, goes to other members, to
        each as its own subscription says; not a message of QoS 2 that was sent to it [MQTT-4.8.2-5].
        """
        session = client.session
        messages = session.messages
        begun = max(session.sent, session.sent_before)
        for seq in sorted(messages):
            head, payload, extra = messages[seq]
            share = self._shares.get(share_of(extra)) if extra else None
            if share is not None and (head[0] & 6 == 2 or seq >= begun):
                member = share.next(head[0] >> 1 & 3)
                if member is not None:
                    topic = topic_of(head)
                    values = [share.members[member]]
                    self.to_one(member, values, None, head[0] & 7, topic, payload, without_identifiers(extra))

    # -- messages

    def _route(self, topic: bytes) -> Route:
        """The route of a topic that has none yet. ProtocolError or LimitError where no client may publish to it."""
        check_topic_name(topic)
        limits = self._limits
        if len(topic) > limits.topic_bytes:
            raise LimitError(f"topic name of {len(topic)} bytes; at most {limits.topic_bytes} are accepted here")
        if not limits.control_characters and (found := unwanted(topic.decode())):  # 1.5.3: MAY close
            self._watch.counted("control_characters")
            raise LimitError(
                f"topic name {_shown(topic)} has {found}, for which subscribers may close their connection; "
                "the limit control_characters lets it pass"
            )
        if topic.count(b"/") >= limits.topic_levels:
            raise LimitError(f"topic name with more than {limits.topic_levels} levels")
        return self._find(topic)

    def _find(self, topic: bytes) -> Route:
        limits = self._limits
        tree = self._tree
        steps = tree.steps
        found = tree.match(topic)
        self.work += (tree.steps - steps) // STEPS
        clients: dict[ClientSession, int] = found.plain  # type: ignore[assignment]  # a Share is never plain
        cost = ROUTE + HEADS_MAX * len(topic) + ROUTE_CLIENT * (len(clients) + len(found.rich))
        if self.ledger.routes + cost > limits.routes_bytes:
            self._forget_routes()
        route = self._routes[topic] = Route(topic, clients, found.rich, self._store is not None)
        self.ledger.routes += cost
        return route

    def say(self, topic: bytes, payload: bytes, qos: int = 0) -> None:
        """Publish, retained, what the broker says about itself; the limits of topics are not meant for it. No route is
        kept for that.
        """
        before = self.ledger.routes
        is_new = topic not in self._routes
        if is_new:
            self._find(topic)
        self.publish(None, qos << 1 | 1, topic, payload)
        if is_new and topic in self._routes:
            del self._routes[topic]
            self.ledger.routes = min(before, self.ledger.routes)

    def publish(self, publisher: Peer | None, flags: int, topic: bytes, payload: bytes, extra: bytes = b"") -> int:
        """Add a message to the session state of everybody who subscribes to it [MQTT-4.5.0-1].

        `flags`: QoS << 1 | RETAIN. `publisher`: who is held back when a client cannot keep up; None: the broker.
        `extra`: what it has besides (extras.py). Returns the reason code for its acknowledgement. LimitError where the
        message is not taken, HeldBack (peer.py) where it has to wait: then nothing has been done.
        """
        route = self._routes[topic]
        stats = self._stats
        published = flags >> 1
        if flags & 1 or route.asks or extra:
            reason = self._publish_rich(route, publisher, flags, topic, payload, extra)
            if reason >= 0:
                return reason
        if publisher is not None:
            stats.messages_received += 1
        size = len(payload)
        dirty = self._dirty
        for qos, clients, count, speech in route.groups.get(published) or route.group(published):
            if count > 1:
                self.work += count  # one is in the price of its packet
            key = size << 2 | qos
            head, cost = route.heads.get(key) or route.head(key)
            sent = 0
            if not qos:
                if size > SMALL:
                    self.unwritten += size * count
                message: tuple[bytes, ...] = (head, payload)
                if speech:
                    if speech == BY_FORM:
                        for client in clients:
                            self.send(client, head, payload, b"")
                        continue
                    message = (heads5(head), payload)
                for client in clients:
                    peer = client.peer
                    if peer is not None and peer.writable:
                        peer.out.extend(message)
                        dirty[peer] = None
                        sent += 1
                    elif peer is None:
                        stats.dropped_offline += 1
                    else:
                        self.backpressure.drop(client, "write_buffer_bytes", self.now)
                stats.messages_sent += sent
                continue
            tight = self._tight
            for client in clients:
                session = client.session
                room = session.room - cost
                if room < 0 or tight:
                    if not self.backpressure.make_room(client, cost, self.now):
                        continue
                    room = session.room - cost
                session.room = room
                session.sizes.append(cost)
                if tight:
                    self.ledger.queued += cost
                session.publish(head, payload)
                sent += 1
                peer = client.peer
                if peer is not None:
                    dirty[peer] = None
                    if session.sent < session.next or not peer.writable:
                        self.backpressure.queued(client, publisher, self.now)
            stats.messages_sent += sent
            ledger = self.ledger
            if not tight:
                queued = ledger.queued = ledger.queued + cost * sent
                if queued > self._near:
                    self._tight = True
            else:
                self._tight = ledger.queued > self._near
        return 0

    def publish_with(self, publisher: Peer | None, flags: int, topic: bytes, payload: bytes, block: bytes = b"") -> int:
        """As `publish`, of a message with these properties, which have been checked (5.0)."""
        extra = extra_of(block, self.clock())
        self.is_timed = self.is_timed or deadline_of(extra) >= 0
        return self.publish(publisher, flags, topic, payload, extra)

    def is_for_nobody(self, topic: bytes) -> bool:
        """Whether nobody subscribes to a topic that has a route."""
        route = self._routes[topic]
        return not (route.clients or route.rich)

    def _publish_rich(
        self,
        route: Route,
        publisher: Peer | None,
        flags: int,
        topic: bytes,
        payload: bytes,
        extra: bytes,
    ) -> int:
        """What most messages have not: RETAIN, an extra, something that may forbid them, somebody whose subscriptions
        have options. As `publish`; -1: it is one for all, after all.
        """
        published = flags >> 1 & 3
        stats = self._stats
        if route.reserved and publisher is not None:
            stats.messages_received += 1
            stats.dropped_reserved += 1
            self._watch.hit("reserved", publisher, "published to $SYS; nobody gets it", self.now)  # [MQTT-3.3.5-2]
            return NOT_AUTHORISED
        if not self._admit(route, publisher, flags, payload, extra):
            return QUOTA_EXCEEDED
        if flags & 1:
            self._retain(route, topic, payload, published, extra)
        if not (route.clients or route.rich):
            stats.messages_received += publisher is not None
            return NO_SUBSCRIBERS
        if not (extra or route.rich):
            return -1
        stats.messages_received += publisher is not None
        self.work += len(route.clients)
        for qos, clients, _, _ in route.groups.get(published) or route.group(published):
            head = publish_head(qos << 1, topic, len(payload))
            for client in clients:
                self.give(client, head, payload, extra, publisher)
        if route.rich:
            self.to_all(route.rich, publisher, flags, topic, payload, extra)
        return 0

    def _retain(self, route: Route, topic: bytes, payload: bytes, published: int, extra: bytes) -> None:
        self.retained.store(topic, payload, published, extra)
        if self._store and (not route.reserved or (topic.startswith(GAP_TOPICS) and topic.endswith(GAP))):
            self._store.retain(topic, payload, published, extra)

    def forget_retained(self, topic: bytes) -> None:
        """The retained message of a topic has expired."""
        self.retained.store(topic, b"", 0)
        if self._store:
            self._store.retain(topic, b"", 0)

    def _admit(self, route: Route, publisher: Peer | None, flags: int, payload: bytes, extra: bytes) -> bool:
        """Whether a message is taken: all that can forbid it is asked before anything is done about it, and before it
        is acknowledged. LimitError (QoS 1 and 2), or False and counted: QoS 0 and wills, which nobody repeats.
        """
        if route.reserved:
            return True
        topic = route.topic
        size = len(topic) + len(payload) + len(extra)
        published = flags >> 1 & 3
        name = ascii(topic.decode())
        limits = self._limits
        if flags & 1:
            limit = self.retained.refusal(topic, payload, extra)
            if limit:
                allowed = getattr(limits, limit)
                text = f"retained message of {size - len(topic)} bytes for {name}: {limit} is {allowed}"
                return self._refuse(limit, publisher, published, f"{text}; what was retained before stays")
        if self._store:
            # Each session has a copy on the disk.
            copies = (route.stored if published else 0) + (flags & 1 and len(payload) > 0)
            if published and publisher is not None:
                copies = max(copies, 1)  # its packet identifier
            if copies:
                text = f"a message of {size - len(topic)} bytes for {name}"
                try:
                    if not self._store.fits(_copied(size, copies)):
                        full = f"the store {self._store.name} is full"
                        if not published or publisher is None:
                            return self._refuse("store", publisher, published, f"{full}: {text}")
                        self.backpressure.wait_for_store(publisher, full, self.now)
                        raise HeldBack
                except StoreError as error:  # it never fits
                    return self._refuse("store", publisher, published, f"{error}: {text}")
        if published and publisher is not None:
            for client in route.strict:
                self.backpressure.admit(client, size + MESSAGE, publisher, self.now)
        return True

    def _refuse(self, limit: str, publisher: Peer | None, published: int, text: str) -> bool:
        if published and publisher is not None:
            self._watch.counted(limit)
            raise LimitError(f"{text}; the message is not taken")
        self._stats.dropped_refused += 1
        self._watch.hit(limit, publisher or "a will", f"{text}; the message is dropped", self.now)
        return False

    def send_retained(self, client: ClientSession) -> None:
        """Send the retained messages of new subscriptions [MQTT-3.3.1-6], as many as a turn allows and as the client
        takes at once; whoever looks at `client.deferred` and `client.search` goes on.
        """
        peer = client.peer
        enough = self.work + self._limits.turn_work
        room = self._limits.write_buffer_bytes
        while room > 0 and self.work < enough and self.takes_retained(client):
            if client.search is None:
                topic_filter = next(iter(client.deferred))
                del client.deferred[topic_filter]
                client.search = (topic_filter, self.retained.matching(topic_filter))
            topic_filter, found = client.search
            try:
                message = next(found)
            except StopIteration:
                client.search = None
                continue
            self.work += 1
            if message is not None and peer is not None:
                topic, payload, qos, extra = message
                if 0 <= deadline_of(extra) <= self.clock():
                    self.forget_retained(topic)
                    continue
                cost = len(topic) + len(payload) + len(extra) + MESSAGE
                room -= cost
                value = client.subscriptions[topic_filter]
                if not qos or not value & QOS or self._has_room_for_retained(client, cost):
                    self.to_one(client, [value], None, qos << 1, topic, payload, extra, True)  # [MQTT-3.3.1-8]

    def takes_retained(self, client: ClientSession) -> bool:
        """Whether there are retained messages to be sent to `client`, and it takes them at once."""
        peer = client.peer
        return (
            bool(client.search or client.deferred)
            and peer is not None
            and peer.writable
            and not peer.has_request
            and client.unsent == 0
            and (client.session.settle() > self._limits.retained_message_bytes or not client.session.messages)
        )

    def _has_room_for_retained(self, client: ClientSession, cost: int) -> bool:
        if client.store and self._store and not self._store.fits(cost):
            self.backpressure.drop(client, "store", self.now)
            return False
        return True

    def catch_up(self, client: ClientSession) -> None:
        """Something of what is queued for `client` has gone: let those go on who wait for it, then what is deferred."""
        if client in self.backpressure.behind:
            self.backpressure.caught_up(client, self.now)
        if client.deferred or client.search:
            self.send_retained(client)


def _copied(size: int, copies: int) -> int:
    """What to ask the store for `copies` messages of `size` bytes: rows waste some of their pages, as it says itself
    of one.
    """
    return size + (copies - 1) * (size + min(size, 8192) + 128)
