"""A message to one client after the other, each with the options of its subscriptions: what 5.0 has of that, and
shared subscriptions. Messages without such options go to all at once, in router.py. Imports backpressure, forms,
shares, extras and core.

Section and statement numbers are those of 5.0.
"""

from ...core.codec import publish_head, topic_of
from ..access.guard import ALLOW_ALL, Guard
from ..bounds.deadlines import Deadlines
from ..clients.broker_store import BrokerStore
from ..clients.client_session import ClientSession
from ..clients.forms import Form
from ..clients.peer import Peer
from ..clients.publishing import Publishing
from ..counting.ledger import MESSAGE, Ledger
from ..counting.stats import Stats, Watch
from ..limits import Limits
from ..messages.extras import NEVER, with_identifiers, with_share
from .backpressure import Backpressure
from .rights import NOBODY_BARRED, Barred, may_receive
from .shares import Share
from .taker import Taker

# Subscription options (3.8.3.1)
QOS = 3
NO_LOCAL = 4
RETAIN_AS_PUBLISHED = 8
RETAIN_HANDLING = 0x30
IDENTIFIER = 8  # bits that the subscription identifier is above the options

Rich = dict["ClientSession | Share | Taker", list[int]]


class Delivery(Publishing):
    """Gives messages to clients, into their sessions and output. `now` is kept up to date by the engine; `epoch` added
    to it is the broker's clock, which goes on after a restart.
    """

    def __init__(
        self,
        limits: Limits,
        stats: Stats,
        watch: Watch,
        dirty: dict[Peer, None],
        busy: dict[Peer, None],
        store: BrokerStore | None = None,
    ) -> None:
        self.limits = self._limits = limits
        self.take_limits(limits)
        self._tight = False  # they are: a message may be too much for all of them together
        self._stats = stats
        self._watch = watch
        self._dirty = dirty
        self._store = store
        self.ledger = Ledger()
        self.backpressure = Backpressure(limits, stats, watch, self.ledger, dirty, busy)
        self.now = 0
        self.epoch = 0
        self.expiring: Deadlines[ClientSession] = Deadlines()  # queues in which something may expire (broker's clock)
        self.guard: Guard = ALLOW_ALL
        self.source = b""  # whose will, or message for later, is being published, as it is kept with a retained one
        self.is_timed = False  # a message with a deadline has come
        self.lifted: dict[ClientSession, None] = {}  # sessions inside that have QoS 0 queued, as QoS 1

    def session_of(self, client_id: bytes, clean: bool, store: BrokerStore | None = None) -> ClientSession:
        """A session that is new, or that `store` has kept."""
        return ClientSession(client_id, clean, self.limits, self.ledger, store)

    def may_receive(self, client: ClientSession, topic: bytes) -> bool:
        """Whether a message of this topic may go to `client`."""
        return self.guard.is_open or may_receive(self.guard, client, topic)

    def take_limits(self, limits: Limits) -> None:
        """Others from now on."""
        self._near = limits.queues_bytes - limits.queues_bytes // 8  # bytes in all queues, near to their limit

    def clock(self) -> int:
        """The broker's time, in ms."""
        return self.now + self.epoch

    def form_of(self, client: ClientSession) -> Form:
        """How messages go to `client` from now on: it is connected, or gets one with an extra."""
        peer = client.peer
        session = client.session

        def dropped(cause: str) -> None:
            setattr(self._stats, cause, getattr(self._stats, cause) + 1)

        if peer is None or not peer.is5 or peer.connect is None:
            form = Form(session, self.clock, dropped)
        else:
            connect = peer.connect
            form = Form(session, self.clock, dropped, True, connect.packet_max, connect.topic_alias_max)
        client.form = form
        session.form = form.numbered
        session.is_plain5 = form.is_plain
        if client.recheck:
            self._recheck(client, form)
        return form

    def _recheck(self, client: ClientSession, form: Form) -> None:
        """What is queued now is sent if its client may still receive it."""
        session = client.session
        if session.first >= client.recheck:
            client.recheck = 0
            return

        def numbered(seq: int, message: tuple[bytes, bytes, bytes]) -> tuple[bytes, ...] | None:
            if seq >= client.recheck or self.may_receive(client, topic_of(message[0])):
                return form.numbered(seq, message)
            if message[2] and (message[0][0] & 6 == 2 or seq >= session.sent_before) and self.pass_on(message):
                return session.withdraw(seq)
            self._stats.dropped_denied += 1
            self._watch.hit("receive_denied", client, "may not receive what is queued for it any more", self.now)
            return session.withdraw(seq)

        session.form = numbered
        session.is_plain5 = False

    def pass_on(self, message: tuple[bytes, bytes, bytes]) -> bool:
        """What one member of a share cannot have goes to another one, if there is one that may."""
        return False

    def to_all(
        self,
        rich: Rich,
        publisher: Peer | None,
        flags: int,
        topic: bytes,
        payload: bytes,
        extra: bytes,
        barred: Barred = NOBODY_BARRED,
    ) -> None:
        """To each of `rich` as its subscriptions say. `flags`: QoS << 1 | RETAIN, as published. `barred`: members of
        shares that may not receive it.
        """
        for client, values in rich.items():
            share = b""
            if isinstance(client, Taker):
                self.work += 1
                client.take(publisher, flags, topic, payload, extra)
                continue
            if isinstance(client, Share):
                share = client.name
                member = client.next(flags >> 1 & 3, barred)
                if member is None:
                    self._stats.dropped_offline += 1
                    continue
                values = [client.members[member]]
                client = member
            elif publisher is not None and client is publisher.client:
                values = [value for value in values if not value & NO_LOCAL]  # [MQTT-3.8.3-3]
                if not values:
                    continue
            self.work += 1
            self.to_one(client, values, publisher, flags, topic, payload, with_share(extra, share) if share else extra)

    def to_one(
        self,
        client: ClientSession,
        values: list[int],
        publisher: Peer | None,
        flags: int,
        topic: bytes,
        payload: bytes,
        extra: bytes,
        is_new: bool = False,
    ) -> bool:
        """One copy for all subscriptions that match, with the highest QoS and all identifiers [MQTT-3.3.4-2]. `is_new`:
        a retained message for a new subscription. Whether it was taken.
        """
        qos = options = 0
        identifiers = []
        for value in values:
            options |= value
            qos = max(qos, value & QOS)
            if value >> IDENTIFIER:
                identifiers.append(value >> IDENTIFIER)
        qos = min(qos, flags >> 1 & 3)  # [MQTT-3.8.4-8]
        if not qos and client in self.lifted:  # nobody is held back for QoS 0, so there may be no room
            store = self._store
            qos = int(store is None or store.has_room(len(topic) + len(payload) + len(extra) + MESSAGE))
        retain = 1 if is_new else flags & 1 if options & RETAIN_AS_PUBLISHED else 0  # [MQTT-3.3.1-12] [MQTT-3.3.1-13]
        if identifiers:
            extra = with_identifiers(extra, identifiers)
        return self.give(client, publish_head(qos << 1 | retain, topic, len(payload)), payload, extra, publisher)

    def give(
        self, client: ClientSession, head: bytes, payload: bytes, extra: bytes, publisher: Peer | None = None
    ) -> bool:
        """A message as the session keeps it; whether it was taken."""
        session = client.session
        peer = client.peer
        if not head[0] & 6:
            return self.send(client, head, payload, extra)
        cost = len(head) + len(payload) + len(extra) + MESSAGE
        if (session.room < cost or self._tight) and not self.backpressure.make_room(client, cost, self.now):
            return False
        if extra:
            if client.form is None:
                self.form_of(client)
            session.may_expire(extra)
            if session.expires_at < NEVER:
                self.expiring.at(client, session.expires_at)
        session.room -= cost
        session.sizes.append(cost)
        self.ledger.queued += cost
        self._tight = self.ledger.queued > self._near
        session.publish(head, payload, extra)
        self._stats.messages_sent += 1
        if peer is not None:
            self._dirty[peer] = None
            if session.sent < session.next or not peer.writable:
                self.backpressure.queued(client, publisher, self.now)
        return True

    def send(self, client: ClientSession, head: bytes, payload: bytes, extra: bytes) -> bool:
        """A message at QoS 0; whether it was taken."""
        peer = client.peer
        if peer is None:
            self._stats.dropped_offline += 1
            return False
        if not peer.writable:
            self.backpressure.drop(client, "write_buffer_bytes", self.now)
            return False
        form = client.form
        if extra and form is None:
            form = self.form_of(client)
        pieces = form.pieces(head, payload, extra) if form else (head, payload)
        if pieces is None:
            return False
        peer.out.extend(pieces)
        self._dirty[peer] = None
        self._stats.messages_sent += 1
        return True
