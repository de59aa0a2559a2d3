"""Messages: from a topic name to the clients that subscribe to it, into their sessions and output.

A message is encoded once for each QoS, and everybody who gets it shares those bytes. Imports run_router,
retaining, backpressure and core.
"""

from ...core.codec import publish_head, topic_of
from ...core.reason_codes import NO_SUBSCRIBERS, NOT_AUTHORISED, QUOTA_EXCEEDED
from ...store.base import StoreError
from ..clients.broker_store import copied
from ..clients.client_session import BY_FORM, ClientSession
from ..clients.peer import Peer
from ..clients.publishable import shown
from ..clients.publishing import HeldBack
from ..counting.ledger import MESSAGE
from ..limits import LimitError
from ..messages.extras import deadline_of, extra_of, share_of, source_of, with_source, without_identifiers
from ..messages.heads import heads5
from ..topics.names import DELAYED_PREFIX, undelayed
from .delivery import IDENTIFIER
from .repeats import ENVELOPE
from .rights import barred_of
from .route import Route
from .run_router import SMALL, RunRouter

IDENTIFIER_MAX = 6  # bytes that an identifier of a subscription adds to a message


class Router(RunRouter):
    """The way of a message. `now` (ms) is kept up to date by the engine."""

    _inspected = False  # the message in hand

    def end(self, client: ClientSession) -> None:
        """The session ends, with its subscriptions and everything that was queued for it."""
        if client.store:
            client.store.end()
            client.store = client.session.store = None
        for topic_filter in list(client.subscriptions):
            self.unsubscribe(client, topic_filter)
        self.backpressure.ended(client)
        self.expiring.forget(client)
        self.lifted.pop(client, None)
        client.session.forget()
        if self._shares:
            self._pass_on(client)

    def _pass_on(self, client: ClientSession) -> None:
        """What the session had of shared subscriptions, and its client has not acknowledged, goes to other members, to
        each as its own subscription says; not a message of QoS 2 that was sent to it [MQTT-4.8.2-5].
        """
        session = client.session
        begun = max(session.sent, session.sent_before)
        for seq, message in sorted(session.messages.items()):
            if message[2] and (message[0][0] & 6 == 2 or seq >= begun):
                self.pass_on(message)

    def pass_on(self, message: tuple[bytes, bytes, bytes]) -> bool:
        """As Delivery.pass_on."""
        head, payload, extra = message
        share = self._shares.get(share_of(extra))
        if share is None:
            return False
        topic = topic_of(head)
        member = share.next(head[0] >> 1 & 3, barred_of(self.guard, share, topic))
        if member is None:
            return False
        values = [share.members[member]]
        return self.to_one(member, values, None, head[0] & 7, topic, payload, without_identifiers(extra))

    # -- messages

    def say(self, topic: bytes, payload: bytes, qos: int = 0) -> None:
        """Publish, retained, what the broker says about itself; the limits of topics are not meant for it. No route is
        kept for that.
        """
        is_new = topic not in self._routes
        if is_new:
            self._find(topic)
        self.publish(None, qos << 1 | 1, topic, payload)
        if is_new:
            self._routes.forget(topic)

    def publish(self, publisher: Peer | None, flags: int, topic: bytes, payload: bytes, extra: bytes = b"") -> int:
        """Add a message to the session state of everybody who subscribes to it [MQTT-4.5.0-1].

        `flags`: QoS << 1 | RETAIN. `publisher`: who is held back when a client cannot keep up; None: the broker.
        `extra`: what it has besides (extras.py). Returns the reason code for its acknowledgement. LimitError where the
        message is not taken, HeldBack (publishing.py) where it has to wait: then nothing has been done.
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

    def _inspect(self, publisher: Peer, flags: int, topic: bytes, payload: bytes, extra: bytes) -> int:
        """A message is shown to the guard, and goes on as that returns it."""
        found = self.guard.inspect(publisher.identity, flags, undelayed(topic), payload)
        if found is None:
            self._stats.messages_received += 1
            self._stats.dropped_denied += 1
            text = f"its message for {shown(topic)} is not taken after inspection"
            self._watch.hit("inspection", publisher, text, self.now)
            publisher.why = f"the message for {shown(topic)} is not taken after inspection"
            return NOT_AUTHORISED
        self._inspected = True
        try:
            return self.publish(publisher, found[0], topic, found[1], extra)
        finally:
            self._inspected = False

    def publish_will(self, flags: int, topic: bytes, payload: bytes, extra: bytes) -> bool:
        """Whether its client may still publish it; `check_topic` has been asked."""
        if not self._sources.permits(self.guard, extra, topic):
            self._stats.dropped_denied += 1
            text = f"its client may not publish to {shown(topic)} any more; it is dropped"
            self._watch.hit("will_denied", "a will", text, self.now)
            return False
        self.source = source_of(extra)
        self.publish(None, flags, topic, payload, with_source(extra, b""))
        self.source = b""
        return True

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
        if self.guard.inspects and publisher is not None and not self._inspected:
            return self._inspect(publisher, flags, topic, payload, extra)
        if route.reserved and publisher is not None:
            stats.messages_received += 1
            stats.dropped_reserved += 1
            self._watch.hit(
                "reserved", publisher, f"published to {shown(topic)}; nobody gets it", self.now
            )  # [MQTT-3.3.5-2]
            publisher.why = f"{shown(topic)} is a topic of the broker itself, to which nobody publishes; choose another"
            return NOT_AUTHORISED
        repeats = self.repeats
        name = b""
        number = 0
        if repeats is not None and published and publisher is not None and (extra or payload[:1] == ENVELOPE):
            name, number = repeats.key_of(publisher, topic, payload, extra)
            if name and repeats.is_repeat(name, number):
                stats.messages_received += 1
                return 0
        if not self._admit(route, publisher, flags, payload, extra):
            return QUOTA_EXCEEDED
        if repeats is not None and name:
            repeats.remember(name, number)
        if flags & 1 and not topic.startswith(DELAYED_PREFIX):
            self._retain(route, publisher, topic, payload, published, extra)
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
            self.to_all(route.rich, publisher, flags, topic, payload, extra, route.barred)
        return 0

    def _admit(self, route: Route, publisher: Peer | None, flags: int, payload: bytes, extra: bytes) -> bool:
        """Whether a message is taken: all that can forbid it is asked before anything is done about it, and before it
        is acknowledged. LimitError (QoS 1 and 2), or False and counted: QoS 0 and wills, which nobody repeats.
        """
        if route.reserved:
            return True
        topic = route.topic
        size = len(topic) + len(payload) + len(extra)
        published = flags >> 1 & 3
        if flags & 1 and not topic.startswith(DELAYED_PREFIX):
            limit = self.retained.refusal(topic, payload, extra)
            if limit:
                text = f"retained {_words(topic, size)}: {limit} is {getattr(self._limits, limit)}"
                return self._refuse(limit, publisher, published, f"{text}; what was retained before stays")
        if self._store:
            # Each session has a copy on the disk.
            copies = (route.stored if published else 0) + (flags & 1 and len(payload) > 0)
            if published and publisher is not None:
                copies = max(copies, 1)  # its packet identifier
            if copies:
                try:
                    if not self._store.fits(copied(size, copies)):
                        full = f"the store {self._store.name} is full"
                        if not published or publisher is None:
                            return self._refuse("store", publisher, published, f"{full}: a {_words(topic, size)}")
                        self.backpressure.wait_for_store(publisher, full, self.now)
                        raise HeldBack
                except StoreError as error:  # it never fits
                    text = f"a {_words(topic, size)}"
                    told = f"{text} does not fit into the broker's store"
                    return self._refuse("store", publisher, published, f"{error}: {text}", told)
        if published and publisher is not None and (route.strict or route.takers):
            self._ask_the_strict(route, publisher, len(publish_head(2, topic, len(payload))) + size - len(topic))
        return True

    def _ask_the_strict(self, route: Route, publisher: Peer, size: int) -> None:
        """LimitError or HeldBack from who decides before anything is done: about what the message will count there,
        with its head, the identifiers of subscriptions, and what it counts for all others. What is let in here and
        finds no room later is dropped though it is acknowledged.
        """
        cost = size + MESSAGE
        for client in route.strict:
            identifiers = sum(IDENTIFIER_MAX for value in route.rich.get(client, ()) if value >> IDENTIFIER)
            self.backpressure.admit(client, cost + identifiers, publisher, self.now, len(route.rich) + route.fan)
        for taker in route.takers:
            taker.admit(publisher, cost, len(route.takers))

    def _refuse(self, limit: str, publisher: Peer | None, published: int, text: str, told: str = "") -> bool:
        if published and publisher is not None:
            self._watch.counted(limit)
            raise LimitError(f"{text}; the message is not taken", told)
        self._stats.dropped_refused += 1
        self._watch.hit(limit, publisher or "a will", f"{text}; the message is dropped", self.now)
        return False

    def catch_up(self, client: ClientSession) -> None:
        """Something of what is queued for `client` has gone: let those go on who wait for it, then what is deferred."""
        if client in self.backpressure.behind:
            self.backpressure.caught_up(client)
        if client.deferred or client.search:
            self.send_retained(client)


def _words(topic: bytes, size: int) -> str:
    """A message of so many bytes, those of its topic among them, for a log line."""
    return f"message of {size - len(topic)} bytes for {topic.decode()!a}"
