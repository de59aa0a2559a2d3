"""Subscriptions, and the routes that follow from them: which clients, with which QoS, get what is published to a topic
name. Imports delivery, retained, subscriptions.

A route is computed once for a topic name and kept until a subscription changes that matches it.
"""

from collections.abc import Callable

from ...core.characters import unwanted
from ...core.errors import ProtocolError
from ...core.greeting import MQTT_5_0, Connect
from ...core.reason_codes import BAD_FILTER, NOT_AUTHORISED, QUOTA_EXCEEDED
from ...core.records import SUBSCRIBED, UNSUBSCRIBED
from ...core.text import check_topic_name
from ..access.guard import SUBSCRIBE
from ..access.identity import NOBODY
from ..bounds import wildcards
from ..clients.broker_store import BrokerStore
from ..clients.client_session import BY_FORM, PLAIN4, PLAIN5, ClientSession
from ..clients.peer import Peer
from ..clients.publishable import shown
from ..counting.ledger import filter_cost
from ..counting.stats import Stats, Watch
from ..limits import LimitError, Limits
from ..topics.names import DELAYED_PREFIX, inner
from ..topics.subscriptions import PLAIN, Found, SubscriptionTree
from .delivery import QOS, RETAIN_HANDLING, Delivery
from .repeats import Repeats
from .rights import NOBODY_BARRED, keep_permitted
from .route import Route, Routes
from .shares import PREFIX, Share, ShareError, parted
from .taker import Taker

GAP_TOPICS = b"$SYS/broker/clients/"  # what is said there of the gaps of sessions is kept as they are
RIGHTS_WORK = 2  # what the question whether a client may receive a topic is in the budget of a turn
LEVEL_WORK = 4  # what a level of a new topic filter is in the budget of a turn: a node of the tree is made for it
STEPS = 8  # of a match of topic filters, which are one in the budget of a turn


def tell(client: ClientSession, why: str) -> None:
    """Why a topic filter is refused, in words for its client; a SUBSCRIBE of 5.0 is answered with them."""
    if client.peer:
        client.peer.why = why


class Subscribing(Delivery):
    """Who subscribes to what."""

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
        self._routes = Routes(self._route, self.ledger)
        # Asked before each `publish`, and mostly no more than a look into a dictionary: ProtocolError or LimitError
        # unless messages may be published to a topic.
        self.check_topic = self._routes.__getitem__
        self._tree: SubscriptionTree[ClientSession | Share | Taker] = SubscriptionTree()
        self._shares: dict[bytes, Share] = {}  # by topic filter
        self.repeats: Repeats | None = None  # None: not looked for
        self.later: Callable[[bytes], Taker] | None = None  # what a topic leads to that begins with $delayed/
        self.collected: Callable[[bytes], bytes] = inner  # what $queue/... and $stream/... collect; b"": nothing
        self.resumed: Callable[[ClientSession], None] | None = None  # told of clients whose subscriptions go on
        self.subscriptions = 0  # how many there are, ...
        self.shared_subscriptions = 0  # ... and of the shared ones, by client
        self._wildcards = 0  # topic filters that count as such (bounds.wildcards)
        self._retaining: dict[ClientSession, None] = {}  # who has not been sent all retained messages

    def is_denied(self, client: ClientSession, topic_filter: bytes, matched: bytes) -> bool:
        """Whether the rules do not let `client` subscribe to what `matched` matches; it is told so, and the log."""
        owner = client.owner or NOBODY
        if self.guard.is_open or self.guard.may(owner, SUBSCRIBE, matched):
            return False
        text = f"may not subscribe to {shown(topic_filter)}"
        self._watch.hit("subscribe_denied", client, f"{owner.text} {text}", self.now)
        tell(client, f"{owner.subject} {text}: the broker's rules do not allow it")
        return True

    def subscribe(self, client: ClientSession, topic_filter: bytes, value: int, matched: bytes = b"") -> int:
        """The reason code for SUBACK: the granted QoS, or from 0x80 on [MQTT-3.8.4-5]. `value`: as in subscriptions.py.
        `matched`: what it matches, where that is another. Retained messages: `send_retained`.
        """
        limits = self._limits
        matched = matched or topic_filter
        if topic_filter.startswith(PREFIX):
            try:
                _, matched = parted(topic_filter)
            except ShareError as error:
                if client.speech:
                    raise ProtocolError("MQTT-4.8.2-1", str(error)) from None
                return BAD_FILTER
        if len(topic_filter) > limits.topic_bytes and not topic_filter.startswith(GAP_TOPICS):
            self._watch.hit("topic_bytes", client, "topic filter refused", self.now)
            tell(client, f"a topic filter of {len(topic_filter)} bytes; at most {limits.topic_bytes} are accepted here")
            return BAD_FILTER
        if not limits.control_characters and (found := unwanted(topic_filter.decode())):  # 1.5.3: it MAY be refused
            self._watch.hit("control_characters", client, f"topic filter refused: {shown(topic_filter)}", self.now)
            tell(client, f"topic filter {shown(topic_filter)} has {found}, which is not accepted here")
            return BAD_FILTER
        levels = matched.count(b"/") + 1
        if levels > limits.topic_levels:
            self._watch.hit("topic_levels", client, "topic filter refused", self.now)
            tell(client, f"a topic filter with {levels} levels; at most {limits.topic_levels} are accepted here")
            return BAD_FILTER
        if self.is_denied(client, topic_filter, matched):
            return NOT_AUTHORISED
        is_new = topic_filter not in client.subscriptions
        if is_new:
            limit = self._lacks_room(client, topic_filter)
            if limit:
                self._watch.hit(limit, client, "topic filter refused", self.now)
                tell(client, f"no room for one more topic filter: {shown(topic_filter)} ({limit})")
                return QUOTA_EXCEEDED
            self.work += LEVEL_WORK * levels
        kept = value & ~RETAIN_HANDLING
        self.restore(client, topic_filter, kept)
        if client.store:
            client.store.record(SUBSCRIBED, kept, topic_filter)
        handling = value & RETAIN_HANDLING
        # Also for a filter that was there already, unless the client says otherwise
        # [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11] of 5.0; never for a shared one (4.8.2)
        if matched is topic_filter and (not handling or (handling == 0x10 and is_new)):
            client.deferred[topic_filter] = None
            self._retaining[client] = None
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
        return wildcards.lacks_room(client.wildcards, self._wildcards, limits) if wildcards.counts(topic_filter) else ""

    def restore(self, client: ClientSession, topic_filter: bytes, value: int) -> None:
        """A subscription that the broker has granted."""
        known = client.subscriptions.get(topic_filter, -1)
        if known == value and topic_filter not in client.suspended:
            return
        if known < 0:
            cost = filter_cost(topic_filter)
            client.filters_bytes += cost
            self.ledger.filters += cost
            self._count(client, topic_filter, 1)
        client.subscriptions[topic_filter] = value
        client.suspended.pop(topic_filter, None)
        self._plant(client, topic_filter, value)

    def _plant(self, client: ClientSession, topic_filter: bytes, value: int) -> None:
        matched = topic_filter
        if topic_filter.startswith(PREFIX):
            _, matched = parted(topic_filter)
            share = self._shares.get(topic_filter)
            if share is None:
                share = self._shares[topic_filter] = Share(topic_filter)
                self._tree.add(matched, share, PLAIN + 1)
            share.members[client] = value
        else:
            self._tree.add(topic_filter, client, value)
        self._forget_routes(matched)

    def unsubscribe(self, client: ClientSession, topic_filter: bytes) -> None:
        """Nothing new is added for this filter [MQTT-3.10.4-2]; what the session has already is still delivered."""
        if client.subscriptions.pop(topic_filter, None) is not None:
            cost = filter_cost(topic_filter)
            client.filters_bytes -= cost
            self.ledger.filters -= cost
            self._count(client, topic_filter, -1)
            client.deferred.pop(topic_filter, None)
            if client.search and client.search[0] == topic_filter:
                client.search = None
            if client.store:
                client.store.record(UNSUBSCRIBED, 0, topic_filter)
            if topic_filter in client.suspended:
                del client.suspended[topic_filter]
            else:
                self._uproot(client, topic_filter)

    def _uproot(self, client: ClientSession, topic_filter: bytes) -> None:
        matched = topic_filter
        if topic_filter.startswith(PREFIX):
            matched = self._leave(client, topic_filter)
        else:
            self._tree.remove(topic_filter, client)
        self._forget_routes(matched)

    def suspend(self, client: ClientSession, topic_filter: bytes) -> None:
        """A subscription for which there is no right any more gets nothing until there is one (`resume`)."""
        if topic_filter not in client.suspended:
            client.suspended[topic_filter] = None
            client.deferred.pop(topic_filter, None)
            if client.search and client.search[0] == topic_filter:
                client.search = None
            self._uproot(client, topic_filter)

    def resume(self, client: ClientSession, topic_filter: bytes) -> None:
        """There is a right again."""
        if topic_filter in client.suspended:
            del client.suspended[topic_filter]
            self._plant(client, topic_filter, client.subscriptions[topic_filter])
            if self.resumed is not None:
                self.resumed(client)

    def add_taker(self, topic_filter: bytes, taker: Taker) -> None:
        """`taker` gets what a filter matches from now on."""
        self._tree.add(topic_filter, taker, PLAIN + 1)
        self._forget_routes(topic_filter)

    def remove_taker(self, topic_filter: bytes, taker: Taker) -> None:
        """It gets it no more."""
        self._tree.remove(topic_filter, taker)
        self._forget_routes(topic_filter)

    def _count(self, client: ClientSession, topic_filter: bytes, count: int) -> None:
        if wildcards.counts(topic_filter):
            client.wildcards += count
            self._wildcards += count
        if topic_filter.startswith(PREFIX):
            self.shared_subscriptions += count
        else:
            self.subscriptions += count

    def _leave(self, client: ClientSession, topic_filter: bytes) -> bytes:
        """The filter that was shared."""
        share = self._shares[topic_filter]
        _, matched = parted(topic_filter)
        del share.members[client]
        if not share.members:
            del self._shares[topic_filter]
            self._tree.remove(matched, share)
        return matched

    def speaks(self, client: ClientSession, connect: Connect) -> None:
        """How a client is spoken to from now on."""
        speech = PLAIN4
        if connect.level == MQTT_5_0:
            speech = BY_FORM if connect.packet_max or connect.topic_alias_max else PLAIN5
        if client.speech != speech:
            client.speech = speech
            for topic_filter in client.subscriptions:
                if not topic_filter.startswith(PREFIX):
                    self._forget_routes(topic_filter)

    def forget_routes_of(self, client: ClientSession) -> None:
        """What decides about the client is another."""
        for topic_filter in client.subscriptions:
            matched = parted(topic_filter)[1] if topic_filter.startswith(PREFIX) else topic_filter
            self._forget_routes(matched)

    def _forget_routes(self, topic_filter: bytes) -> None:
        """Those of topics that a filter matches."""
        self.work += self._routes.forget_matching(topic_filter) // STEPS

    def forget_routes(self) -> None:
        """All of them: what decides about them is another."""
        self._routes.forget_all()

    # -- routes

    def _route(self, topic: bytes) -> Route:
        """The route of a topic that has none yet. ProtocolError or LimitError where no client may publish to it."""
        check_topic_name(topic)
        limits = self._limits
        if len(topic) > limits.topic_bytes:
            self._watch.counted("topic_bytes")
            raise LimitError(f"topic name of {len(topic)} bytes; at most {limits.topic_bytes} are accepted here")
        if not limits.control_characters and (found := unwanted(topic.decode())):  # 1.5.3: MAY close
            self._watch.counted("control_characters")
            raise LimitError(
                f"topic name {shown(topic)} has {found}, for which subscribers may close their connection; "
                "the limit control_characters lets it pass"
            )
        if topic.count(b"/") >= limits.topic_levels:
            self._watch.counted("topic_levels")
            raise LimitError(f"topic name with more than {limits.topic_levels} levels")
        return self._find(topic)

    def _find(self, topic: bytes) -> Route:
        tree = self._tree
        steps = tree.steps
        if self.later is not None and topic.startswith(DELAYED_PREFIX):
            found: Found[ClientSession | Share | Taker] = Found()
            found.rich[self.later(topic)] = [PLAIN + 1]
        else:
            found = tree.match(topic)
        self.work += (tree.steps - steps) // STEPS
        barred = NOBODY_BARRED
        if not self.guard.is_open:
            self.work += RIGHTS_WORK * (len(found.plain) + len(found.rich))
            barred = keep_permitted(self.guard, found, topic)
        clients: dict[ClientSession, int] = found.plain  # type: ignore[assignment]  # the others are never plain
        route = Route(topic, clients, found.rich, self._store is not None or self.repeats is not None, barred)
        if self.guard.inspects:
            route.is_plain = False
            route.asks = True
        if self.ledger.routes + route.cost > self._limits.routes_bytes:
            self._routes.forget_all()
            self._watch.counted("routes_bytes")
        self._routes.keep(route)
        return route
