"""A route: which clients get what is published to a topic name, with which QoS, and how that looks encoded. Imports
delivery and core.
"""

from collections.abc import Callable

from ...core.codec import publish_head
from ..clients.client_session import ClientSession
from ..counting.ledger import MESSAGE, ROUTE, ROUTE_CLIENT, Ledger
from ..topics.names import RESERVED
from ..topics.topic_tree import TopicTree
from .backpressure import STRICT
from .delivery import Rich
from .rights import NOBODY_BARRED, Barred
from .taker import Taker

HEADS_MAX = 16  # encoded heads kept with a route: one for each QoS and payload size

# Those who get a message with the same QoS: it, they, how many; at QoS 0, how they are spoken to
Group = tuple[int, list[ClientSession], int, int]


def is_bridge_state(topic: bytes) -> bool:
    """Whether it is $SYS/broker/connection/NAME/state, which a Mosquitto bridge publishes and has as its will: the one
    topic below $SYS that clients may publish.
    """
    levels = topic.split(b"/")
    return len(levels) == 5 and levels[:3] == [b"$SYS", b"broker", b"connection"] and levels[4] == b"state"


class Route:
    """Where messages of one topic name go. Valid until a subscription changes that matches it."""

    __slots__ = (
        "asks",
        "barred",
        "clients",
        "cost",
        "fan",
        "groups",
        "heads",
        "is_plain",
        "reserved",
        "rich",
        "stored",
        "strict",
        "takers",
        "topic",
    )

    def __init__(
        self,
        topic: bytes,
        clients: dict[ClientSession, int],
        rich: Rich,
        has_store: bool,
        barred: Barred = NOBODY_BARRED,
    ) -> None:
        self.topic = topic
        self.cost = ROUTE + HEADS_MAX * len(topic) + ROUTE_CLIENT * (len(clients) + len(rich))  # in the ledger
        self.clients = clients  # granted QoS
        self.barred = barred  # members of shares that may not receive it
        self.rich = rich  # those whose subscriptions have options, shares, and takers
        # Clients may not publish it.
        self.reserved = topic.startswith(RESERVED) or (topic.startswith(b"$SYS/") and not is_bridge_state(topic))
        self.takers = [taker for taker in rich if isinstance(taker, Taker)]
        optioned = [client for client in rich if isinstance(client, ClientSession)]
        self.strict = [client for client in [*clients, *optioned] if client.when_full in STRICT]
        # Whether there may be something about a message: whose topic it is, how it is wanted, nobody wants it ...
        self.is_plain = bool(clients) and not (self.strict or self.reserved or rich)
        self.asks = has_store or not self.is_plain  # ... or no room
        self.stored = sum(client.store is not None and qos > 0 for client, qos in clients.items()) + len(rich)
        self.fan = max(1, len(clients))  # how many get a message
        self.groups: dict[int, list[Group]] = {}  # by QoS of the message
        self.heads: dict[int, tuple[bytes, int]] = {}  # with what the message counts; by payload size << 2 | QoS

    def group(self, qos: int) -> list[Group]:
        """Who gets a message published with `qos`, grouped by the QoS it is sent with: the lower one [MQTT-3.8.4-6]."""
        alike: dict[tuple[int, int], list[ClientSession]] = {}
        for client, granted in self.clients.items():
            sent = min(qos, granted)
            alike.setdefault((sent, 0 if sent else client.speech), []).append(client)
        groups = self.groups[qos] = [(sent, clients, len(clients), speech) for (sent, speech), clients in alike.items()]
        return groups

    def head(self, key: int) -> tuple[bytes, int]:
        """The encoded start of PUBLISH, DUP 0 [MQTT-3.3.1-3] and RETAIN 0 [MQTT-3.3.1-9], and the size in a queue."""
        if len(self.heads) == HEADS_MAX:
            self.heads.clear()
        head = publish_head((key & 3) << 1, self.topic, key >> 2)
        found = self.heads[key] = (head, len(head) + (key >> 2) + MESSAGE)
        return found


class Routes(dict[bytes, Route]):
    """Routes by topic name; `find` makes those that are missing. A route is never changed: who has one may go on with
    it, and the next message finds another.
    """

    def __init__(self, find: Callable[[bytes], Route], ledger: Ledger) -> None:
        self._find = find
        self._ledger = ledger
        self._tree: TopicTree[Route] = TopicTree()  # the same

    def __missing__(self, topic: bytes) -> Route:
        return self._find(topic)

    def keep(self, route: Route) -> None:
        """Until it is forgotten."""
        self[route.topic] = route
        self._tree.put(route.topic, route)
        self._ledger.routes += route.cost

    def forget(self, topic: bytes) -> None:
        """The route of one topic."""
        route = self.pop(topic, None)
        if route is not None:
            self._tree.remove(topic)
            self._ledger.routes -= route.cost

    def forget_matching(self, topic_filter: bytes) -> int:
        """The routes of all topics that a filter matches; in how many steps they were found."""
        if not self:
            return 0
        if b"+" not in topic_filter and b"#" not in topic_filter:
            self.forget(topic_filter)
            return 1
        found = list(self._tree.matching(topic_filter))
        for route in found:
            if route is not None:
                self.forget(route.topic)
        return len(found)

    def forget_all(self) -> None:
        """Every route."""
        self.clear()
        self._tree = TopicTree()
        self._ledger.routes = 0
