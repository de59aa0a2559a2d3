"""Messages: from a topic name to the clients that subscribe to it, into their sessions and output.

A route (which clients, with which QoS) is computed once for a topic name and kept until a subscription changes. A
message is encoded once for each QoS, and everybody who gets it shares those bytes. Imports flow, retained,
subscriptions and core.
"""

from ..core.characters import unwanted
from ..core.codec import publish_head
from ..core.text import check_topic_name
from ..store.records import SUBSCRIBED, UNSUBSCRIBED
from .durable import BrokerStore
from .flow import Flow
from .limits import LimitError, Limits
from .peer import Peer
from .retained import RetainedMessages
from .sessions import ClientSession
from .stats import Stats, Watch
from .subscriptions import SubscriptionTree

HEADS_MAX = 16  # encoded heads kept with a route: one for each QoS and payload size


def is_bridge_state(topic: bytes) -> bool:
    """Whether it is $SYS/broker/connection/NAME/state, which a Mosquitto bridge publishes and has as its will: the one
    topic below $SYS that clients may publish.
    """
    levels = topic.split(b"/")
    return len(levels) == 5 and levels[:3] == [b"$SYS", b"broker", b"connection"] and levels[4] == b"state"


class Route:
    """Where messages of one topic name go. Valid until a subscription changes."""

    __slots__ = ("clients", "heads", "plans", "reserved", "topic")

    def __init__(self, topic: bytes, clients: dict[ClientSession, int]) -> None:
        self.topic = topic
        self.clients = clients  # granted QoS
        self.reserved = topic.startswith(b"$SYS/") and not is_bridge_state(topic)  # clients may not publish it
        self.plans: dict[int, list[tuple[int, list[ClientSession]]]] = {}  # by QoS of the message
        self.heads: dict[int, bytes] = {}  # by payload size << 2 | QoS

    def plan(self, qos: int) -> list[tuple[int, list[ClientSession]]]:
        """Who gets a message published with `qos`, grouped by the QoS it is sent with: the lower one [MQTT-3.8.4-6]."""
        groups: dict[int, list[ClientSession]] = {}
        for client, granted in self.clients.items():
            groups.setdefault(min(qos, granted), []).append(client)
        plan = self.plans[qos] = list(groups.items())
        return plan

    def head(self, key: int) -> bytes:
        """The encoded start of PUBLISH, DUP 0 [MQTT-3.3.1-3] and RETAIN 0 [MQTT-3.3.1-9]."""
        if len(self.heads) == HEADS_MAX:
            self.heads.clear()
        head = self.heads[key] = publish_head((key & 3) << 1, self.topic, key >> 2)
        return head


def _shown(topic: bytes) -> str:
    """A topic or filter for a log line: escaped, and not longer than it is worth."""
    text = ascii(topic.decode())
    return text if len(text) <= 100 else text[:100] + "...'"


class Router:
    """Subscriptions, retained messages, and the way of a message. `now` (ms) is kept up to date by the engine."""

    def __init__(
        self, limits: Limits, stats: Stats, watch: Watch, dirty: dict[Peer, None], durable: BrokerStore | None = None
    ) -> None:
        self._limits = limits
        self._stats = stats
        self._watch = watch
        self._dirty = dirty
        self._durable = durable
        self._routes: dict[bytes, Route] = {}
        self._tree: SubscriptionTree[ClientSession] = SubscriptionTree()
        self.retained = RetainedMessages(limits)
        self.flow = Flow(limits, watch, dirty)
        self.now = 0

    # -- subscriptions

    def subscribe(self, client: ClientSession, topic_filter: bytes, qos: int) -> int:
        """The return code for SUBACK: the granted QoS, or 0x80 [MQTT-3.8.4-5]. Retained messages: `send_retained`."""
        limits = self._limits
        if topic_filter.startswith(b"$share/"):
            return 0x80  # shared subscriptions came with MQTT 5: taken literally, it would be silent for ever
        if len(topic_filter) > limits.topic_bytes:
            self._watch.hit("topic_bytes", client, "topic filter refused", self.now)
            return 0x80
        if not limits.control_characters and unwanted(topic_filter.decode()):  # 1.5.3: it MAY be refused
            self._watch.hit("control_characters", client, f"topic filter refused: {_shown(topic_filter)}", self.now)
            return 0x80
        if topic_filter.count(b"/") >= limits.topic_levels:
            self._watch.hit("topic_levels", client, "topic filter refused", self.now)
            return 0x80
        if len(client.subscriptions) >= limits.filters and topic_filter not in client.subscriptions:
            self._watch.hit("filters", client, "topic filter refused", self.now)
            return 0x80
        self.restore(client, topic_filter, qos)
        if client.store:
            client.store.record(SUBSCRIBED, qos, topic_filter)
        client.deferred[topic_filter] = None  # also for a filter that was there already [MQTT-3.8.4-3]
        return qos

    def restore(self, client: ClientSession, topic_filter: bytes, qos: int) -> None:
        """A subscription that the broker has granted."""
        client.subscriptions[topic_filter] = qos
        self._tree.add(topic_filter, client, qos)
        self._routes.clear()

    def unsubscribe(self, client: ClientSession, topic_filter: bytes) -> None:
        """Nothing new is added for this filter [MQTT-3.10.4-2]; what the session has already is still delivered."""
        if client.subscriptions.pop(topic_filter, None) is not None:
            client.deferred.pop(topic_filter, None)
            if client.store:
                client.store.record(UNSUBSCRIBED, 0, topic_filter)
            self._tree.remove(topic_filter, client)
            self._routes.clear()

    def end(self, client: ClientSession) -> None:
        """The session ends, with its subscriptions and everything that was queued for it."""
        if client.store:
            client.store.end()
            client.store = client.state.store = None
        for topic_filter in list(client.subscriptions):
            self.unsubscribe(client, topic_filter)

    # -- messages

    def check_topic(self, topic: bytes) -> None:
        """ProtocolError or LimitError unless messages may be published to `topic`; asked before each `publish`."""
        if topic not in self._routes:
            check_topic_name(topic)
            limits = self._limits
            if len(topic) > limits.topic_bytes:
                raise LimitError(f"topic name of {len(topic)} bytes; at most {limits.topic_bytes} are accepted here")
            if not limits.control_characters and (found := unwanted(topic.decode())):  # 1.5.3: MAY close
                self._stats.limits["control_characters"] += 1
                raise LimitError(
                    f"topic name {_shown(topic)} has {found}, for which subscribers may close their connection; "
                    "the limit control_characters lets it pass"
                )
            if topic.count(b"/") >= limits.topic_levels:
                raise LimitError(f"topic name with more than {limits.topic_levels} levels")
            if len(self._routes) >= limits.routes:
                self._routes.clear()
            self._routes[topic] = Route(topic, self._tree.match(topic))

    def publish(self, publisher: Peer | None, flags: int, topic: bytes, payload: bytes) -> None:
        """Add a message to the session state of everybody who subscribes to it [MQTT-4.5.0-1].

        `flags`: QoS << 1 | RETAIN. `publisher`: who has to wait when a client cannot keep up; None: the broker.
        """
        route = self._routes[topic]
        stats = self._stats
        flow = self.flow
        published = flags >> 1 & 3
        if publisher is not None:
            stats.messages_received += 1
            if route.reserved:
                stats.dropped_reserved += 1
                self._watch.hit("reserved", publisher, "published to $SYS; nobody gets it", self.now)  # [MQTT-3.3.5-2]
                return
        if published and self._durable and publisher is not None and not self._durable.fits(len(topic) + len(payload)):
            raise LimitError(f"the store {self._durable.path} is full: a message from {publisher} was not taken")
        if flow.overfull:
            flow.refuse_overfull(list(route.clients), publisher)
        if flags & 1:
            limit = self.retained.store(topic, payload, published)
            if self._durable and not route.reserved:
                self._durable.retain(topic, b"" if limit else payload, published)
            if limit:
                self._watch.hit(limit, publisher or "the broker", "message delivered, but not retained", self.now)
        size = len(payload)
        dirty = self._dirty
        for qos, clients in route.plans.get(published) or route.plan(published):
            key = size << 2 | qos
            head = route.heads.get(key) or route.head(key)
            if not qos:
                message = (head, payload)
                for client in clients:
                    peer = client.peer
                    if peer is not None and peer.writable:
                        peer.out.extend(message)
                        dirty[peer] = None
                        stats.messages_sent += 1
                    else:
                        self._drop_qos0(client)
                continue
            for client in clients:
                peer = client.peer
                if peer is None:
                    self._queue_offline(client, head, payload)
                    continue
                state = client.state
                state.publish(head, payload)
                dirty[peer] = None
                stats.messages_sent += 1
                if state.sent < state.next or not peer.writable:
                    flow.queued(client, size + len(head), publisher, self.now)

    def _drop_qos0(self, client: ClientSession) -> None:
        if client.peer is None:
            self._stats.dropped_offline += 1
        else:
            self._stats.dropped_slow += 1
            self._watch.hit("write_buffer_bytes", client, "is slow: QoS 0 message dropped", self.now)

    def _queue_offline(self, client: ClientSession, head: bytes, payload: bytes) -> None:
        """For a client that will be back [MQTT-3.1.2-5]; its queue full, the newest is dropped (decision 0002)."""
        limits = self._limits
        size = len(head) + len(payload)
        if len(client.state.messages) >= limits.queue_messages or client.behind_bytes + size > limits.queue_bytes:
            self._stats.dropped_queue_full += 1
            self._watch.hit("queue_messages", client, "queue is full: message dropped", self.now)
        else:
            client.behind_bytes += size
            client.state.publish(head, payload)
            self._stats.messages_sent += 1

    def send_retained(self, client: ClientSession) -> None:
        """Send the retained messages of new subscriptions [MQTT-3.3.1-6]; `catch_up` goes on when the client cannot."""
        peer = client.peer
        while client.deferred and peer is not None and peer.writable and client not in self.flow.behind:
            topic_filter = next(iter(client.deferred))
            del client.deferred[topic_filter]
            granted = client.subscriptions[topic_filter]
            for topic, payload, qos in self.retained.matching(topic_filter):
                qos = min(qos, granted)
                head = publish_head(qos << 1 | 1, topic, len(payload))  # [MQTT-3.3.1-8]
                self._stats.messages_sent += 1
                if qos:
                    client.state.publish(head, payload)
                    if client.unsent:
                        self.flow.queued(client, len(head) + len(payload), None, self.now)
                else:
                    peer.out += (head, payload)
            self._dirty[peer] = None

    def catch_up(self, client: ClientSession) -> None:
        """Something of what is queued for `client` has gone: let those go on who wait for it, then what is deferred."""
        if client not in self.flow.behind or self.flow.caught_up(client, self.now):
            self.send_retained(client)
