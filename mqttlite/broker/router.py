"""Messages: from a topic name to the clients that subscribe to it, into their sessions and output.

A route (which clients, with which QoS) is computed once for a topic name and kept until a subscription changes. A
message is encoded once for each QoS, and everybody who gets it shares those bytes. Imports backpressure, retained,
subscriptions and core.
"""

from collections.abc import Callable

from ..core.characters import unwanted
from ..core.codec import publish_head
from ..core.records import SUBSCRIBED, UNSUBSCRIBED
from ..core.text import check_topic_name
from ..store.base import StoreError
from .backpressure import STRICT, Backpressure
from .broker_store import BrokerStore
from .ledger import MESSAGE, ROUTE, ROUTE_CLIENT, Ledger, filter_cost
from .limits import LimitError, Limits
from .peer import ClientSession, HeldBack, Peer, Publishing
from .retained import RetainedMessages
from .stats import Stats, Watch
from .subscriptions import SubscriptionTree

GAP_TOPICS = b"$SYS/broker/clients/"  # what is said there of the gaps of sessions is kept as they are
GAP = b"/dropped"
SMALL = 1024  # bytes of a payload, above which output lists are also counted in bytes
STEPS = 8  # of a match of topic filters, which are one in the budget of a turn
HEADS_MAX = 16  # encoded heads kept with a route: one for each QoS and payload size


Group = tuple[int, list[ClientSession], int]  # those who get a message with the same QoS: it, they, how many


def is_bridge_state(topic: bytes) -> bool:
    """Whether it is $SYS/broker/connection/NAME/state, which a Mosquitto bridge publishes and has as its will: the one
    topic below $SYS that clients may publish.
    """
    levels = topic.split(b"/")
    return len(levels) == 5 and levels[:3] == [b"$SYS", b"broker", b"connection"] and levels[4] == b"state"


class Route:
    """Where messages of one topic name go. Valid until a subscription changes."""

    __slots__ = ("asks", "clients", "groups", "heads", "reserved", "stored", "strict", "topic")

    def __init__(self, topic: bytes, clients: dict[ClientSession, int], has_store: bool) -> None:
        self.topic = topic
        self.clients = clients  # granted QoS
        self.reserved = topic.startswith(b"$SYS/") and not is_bridge_state(topic)  # clients may not publish it
        self.strict = [client for client in clients if client.when_full in STRICT]
        # Whether there may be something against a message: no room, or whose topic it is.
        self.asks = has_store or bool(self.strict) or self.reserved
        self.stored = sum(client.store is not None and qos > 0 for client, qos in clients.items())
        self.groups: dict[int, list[Group]] = {}  # by QoS of the message
        self.heads: dict[int, tuple[bytes, int]] = {}  # with what the message counts; by payload size << 2 | QoS

    def group(self, qos: int) -> list[Group]:
        """Who gets a message published with `qos`, grouped by the QoS it is sent with: the lower one [MQTT-3.8.4-6]."""
        by_qos: dict[int, list[ClientSession]] = {}
        for client, granted in self.clients.items():
            by_qos.setdefault(min(qos, granted), []).append(client)
        groups = self.groups[qos] = [(granted, clients, len(clients)) for granted, clients in by_qos.items()]
        return groups

    def head(self, key: int) -> tuple[bytes, int]:
        """The encoded start of PUBLISH, DUP 0 [MQTT-3.3.1-3] and RETAIN 0 [MQTT-3.3.1-9], and the size in a queue."""
        if len(self.heads) == HEADS_MAX:
            self.heads.clear()
        head = publish_head((key & 3) << 1, self.topic, key >> 2)
        found = self.heads[key] = (head, len(head) + (key >> 2) + MESSAGE)
        return found


class _Routes(dict[bytes, Route]):
    """Routes by topic name; `find` makes those that are missing."""

    def __init__(self, find: Callable[[bytes], Route]) -> None:
        self._find = find

    def __missing__(self, topic: bytes) -> Route:
        return self._find(topic)


def _shown(topic: bytes) -> str:
    """A topic or filter for a log line: escaped, and not longer than it is worth."""
    text = ascii(topic.decode())
    return text if len(text) <= 100 else text[:100] + "...'"


class Router(Publishing):
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
        self._limits = limits
        self._near = limits.queues_bytes - limits.queues_bytes // 8  # bytes in all queues, near to their limit
        self._tight = False  # they are: a message may be too much for all of them together
        self._stats = stats
        self._watch = watch
        self._dirty = dirty
        self._store = store
        self._routes = _Routes(self._route)
        # Asked before each `publish`, and mostly no more than a look into a dictionary: ProtocolError or LimitError
        # unless messages may be published to a topic.
        self.check_topic = self._routes.__getitem__
        self._tree: SubscriptionTree[ClientSession] = SubscriptionTree()
        self.ledger = Ledger()
        self.retained = RetainedMessages(limits, self.ledger)
        self.backpressure = Backpressure(limits, stats, watch, self.ledger, dirty, busy)
        self.unwritten = (
            0  # bytes of QoS 0, of large messages, since the shell has written: it writes before they are too many
        )
        self.now = 0

    # -- subscriptions

    def subscribe(self, client: ClientSession, topic_filter: bytes, qos: int) -> int:
        """The return code for SUBACK: the granted QoS, or 0x80 [MQTT-3.8.4-5]. Retained messages: `send_retained`."""
        limits = self._limits
        if topic_filter.startswith(b"$share/"):
            return 0x80  # shared subscriptions came with MQTT 5: taken literally, it would be silent for ever
        if len(topic_filter) > limits.topic_bytes and not topic_filter.startswith(GAP_TOPICS):
            self._watch.hit("topic_bytes", client, "topic filter refused", self.now)
            return 0x80
        if not limits.control_characters and unwanted(topic_filter.decode()):  # 1.5.3: it MAY be refused
            self._watch.hit("control_characters", client, f"topic filter refused: {_shown(topic_filter)}", self.now)
            return 0x80
        if topic_filter.count(b"/") >= limits.topic_levels:
            self._watch.hit("topic_levels", client, "topic filter refused", self.now)
            return 0x80
        if topic_filter not in client.subscriptions:
            limit = self._lacks_room(client, topic_filter)
            if limit:
                self._watch.hit(limit, client, "topic filter refused", self.now)
                return 0x80
        self.restore(client, topic_filter, qos)
        if client.store:
            client.store.record(SUBSCRIBED, qos, topic_filter)
        client.deferred[topic_filter] = None  # also for a filter that was there already [MQTT-3.8.4-3]
        return qos

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

    def restore(self, client: ClientSession, topic_filter: bytes, qos: int) -> None:
        """A subscription that the broker has granted."""
        if topic_filter not in client.subscriptions:
            cost = filter_cost(topic_filter)
            client.filters_bytes += cost
            self.ledger.filters += cost
        client.subscriptions[topic_filter] = qos
        self._tree.add(topic_filter, client, qos)
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
            self._tree.remove(topic_filter, client)
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
        clients = tree.match(topic)
        self.work += (tree.steps - steps) // STEPS
        cost = ROUTE + HEADS_MAX * len(topic) + ROUTE_CLIENT * len(clients)
        if self.ledger.routes + cost > limits.routes_bytes:
            self._forget_routes()
        route = self._routes[topic] = Route(topic, clients, self._store is not None)
        self.ledger.routes += cost
        return route

    def say(self, topic: bytes, payload: bytes, qos: int = 0) -> None:
        """Publish, retained, what the broker says about itself; the limits of topics are not meant for it."""
        if topic not in self._routes:
            self._find(topic)
        self.publish(None, qos << 1 | 1, topic, payload)

    def publish(self, publisher: Peer | None, flags: int, topic: bytes, payload: bytes) -> None:
        """Add a message to the session state of everybody who subscribes to it [MQTT-4.5.0-1].

        `flags`: QoS << 1 | RETAIN. `publisher`: who is held back when a client cannot keep up; None: the broker.
        LimitError where the message is not taken, HeldBack (peer.py) where it has to wait: then nothing has been done.
        """
        route = self._routes[topic]
        stats = self._stats
        published = flags >> 1 & 3
        if flags & 1 or route.asks:
            if route.reserved and publisher is not None:
                stats.messages_received += 1
                stats.dropped_reserved += 1
                self._watch.hit("reserved", publisher, "published to $SYS; nobody gets it", self.now)  # [MQTT-3.3.5-2]
                return
            if not self._admit(route, publisher, flags, payload):
                return
            if flags & 1:
                self._retain(route, topic, payload, published)
        if publisher is not None:
            stats.messages_received += 1
        size = len(payload)
        dirty = self._dirty
        for qos, clients, count in route.groups.get(published) or route.group(published):
            if count > 1:
                self.work += count  # one is in the price of its packet
            key = size << 2 | qos
            head, cost = route.heads.get(key) or route.head(key)
            sent = 0
            if not qos:
                if size > SMALL:
                    self.unwritten += size * count
                message = (head, payload)
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

    def _retain(self, route: Route, topic: bytes, payload: bytes, published: int) -> None:
        self.retained.store(topic, payload, published)
        if self._store and (not route.reserved or (topic.startswith(GAP_TOPICS) and topic.endswith(GAP))):
            self._store.retain(topic, payload, published)

    def _admit(self, route: Route, publisher: Peer | None, flags: int, payload: bytes) -> bool:
        """Whether a message is taken: all that can forbid it is asked before anything is done about it, and before it
        is acknowledged. LimitError (QoS 1 and 2), or False and counted: QoS 0 and wills, which nobody repeats.
        """
        if route.reserved:
            return True
        topic = route.topic
        size = len(topic) + len(payload)
        published = flags >> 1 & 3
        name = ascii(topic.decode())
        limits = self._limits
        if flags & 1:
            limit = self.retained.refusal(topic, payload)
            if limit:
                allowed = getattr(limits, limit)
                text = f"retained message of {len(payload)} bytes for {name}: {limit} is {allowed}"
                return self._refuse(limit, publisher, published, f"{text}; what was retained before stays")
        if self._store:
            # Each session has a copy on the disk.
            copies = (route.stored if published else 0) + (flags & 1 and len(payload) > 0)
            if published and publisher is not None:
                copies = max(copies, 1)  # its packet identifier
            if copies:
                text = f"a message of {len(payload)} bytes for {name}"
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
        session = client.session
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
                topic, payload, qos = message
                qos = min(qos, client.subscriptions[topic_filter])
                head = publish_head(qos << 1 | 1, topic, len(payload))  # [MQTT-3.3.1-8]
                cost = len(head) + len(payload) + MESSAGE
                room -= cost
                if not qos:
                    peer.out += (head, payload)
                elif self._makes_room_for_retained(client, cost):
                    session.room -= cost
                    session.sizes.append(cost)
                    self.ledger.queued += cost
                    session.publish(head, payload)
                else:
                    continue
                self._stats.messages_sent += 1
                self._dirty[peer] = None

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

    def _makes_room_for_retained(self, client: ClientSession, cost: int) -> bool:
        if client.store and self._store and not self._store.fits(cost):
            self.backpressure.drop(client, "store", self.now)
            return False
        return not self.backpressure.lacks_room(client, cost) or self.backpressure.make_room(client, cost, self.now)

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
