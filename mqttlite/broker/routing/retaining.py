"""Retained messages, as they are kept, and sent to who subscribes. Imports subscribing, retained, rights."""

from ..clients.broker_store import BrokerStore
from ..clients.client_session import ClientSession
from ..clients.peer import Peer
from ..counting.ledger import MESSAGE
from ..counting.stats import Stats, Watch
from ..limits import Limits
from ..messages.extras import deadline_of, with_source
from ..messages.retained import RetainedMessages
from .delivery import QOS
from .rights import Sources
from .route import Route
from .subscribing import GAP_TOPICS, Subscribing

GAP = b"/dropped"


class Retaining(Subscribing):
    """Beside subscriptions, what is retained for their topics."""

    def __init__(
        self,
        limits: Limits,
        stats: Stats,
        watch: Watch,
        dirty: dict[Peer, None],
        busy: dict[Peer, None],
        store: BrokerStore | None = None,
    ) -> None:
        Subscribing.__init__(self, limits, stats, watch, dirty, busy, store)
        self.retained = RetainedMessages(limits, self.ledger)
        self._sources = Sources()

    def _retain(
        self, route: Route, publisher: Peer | None, topic: bytes, payload: bytes, published: int, extra: bytes
    ) -> None:
        source = publisher.rights.source if publisher is not None and publisher.rights is not None else self.source
        if source and payload:
            extra = with_source(extra, source)
        self.retained.store(topic, payload, published, extra)
        if self._store and (not route.reserved or (topic.startswith(GAP_TOPICS) and topic.endswith(GAP))):
            self._store.retain(topic, payload, published, extra)

    def forget_retained(self, topic: bytes) -> None:
        """The retained message of a topic has expired."""
        self.retained.store(topic, b"", 0)
        if self._store:
            self._store.retain(topic, b"", 0)

    def send_retained(self, client: ClientSession) -> None:
        """Send the retained messages of new subscriptions [MQTT-3.3.1-6], as many as a turn allows and as the client
        takes at once; whoever looks at `client.deferred` and `client.search` goes on.
        """
        peer = client.peer
        enough = self.work + self.turn_work
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
                if not (self.may_receive(client, topic) and self._sources.permits(self.guard, extra, topic)):
                    continue
                extra = with_source(extra, b"") if extra else extra
                cost = len(topic) + len(payload) + len(extra) + MESSAGE
                room -= cost
                value = client.subscriptions[topic_filter]
                if not qos or not value & QOS or self._has_room_for_retained(client, cost):
                    self.to_one(client, [value], None, qos << 1, topic, payload, extra, True)  # [MQTT-3.3.1-8]

    def waiting_for_retained(self) -> list[ClientSession]:
        """Those who take retained messages, and have not been sent all of them."""
        for client in list(self._retaining):
            if not (client.search or client.deferred):
                del self._retaining[client]
        return [client for client in self._retaining if self.takes_retained(client)]

    def takes_retained(self, client: ClientSession) -> bool:
        """Whether there are retained messages to be sent to `client`, and it takes them at once."""
        peer = client.peer
        return (
            bool(client.search or client.deferred)
            and peer is not None
            and peer.writable
            and not peer.has_request
            and client.unsent == 0
            and (client.session.settle() > self._limits.retained_message_bytes or not client.session.queued)
        )

    def _has_room_for_retained(self, client: ClientSession, cost: int) -> bool:
        if client.store and self._store and not self._store.fits(cost):
            self.backpressure.drop(client, "store", self.now)
            return False
        return True
