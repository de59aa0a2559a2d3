"""Who comes with CONNECT, and what becomes of its session and its will, until the session ends. Imports router."""

import logging
import secrets
from collections.abc import Callable

from ...core.errors import MQTTError, ProtocolError
from ...core.greeting import IDENTIFIER_REJECTED, MQTT_5_0, NOT_AUTHORISED, SERVER_UNAVAILABLE, Connect
from ...core.properties import identifier_of
from ...core.reason_codes import (
    ANOTHER_SERVER,
    BAD_TOPIC,
    NO_SUBSCRIPTION,
    PACKET_TOO_LARGE,
    QUOTA_EXCEEDED,
    REFUSED,
    TAKEN_OVER,
)
from ...core.server import ServerConnection
from ...core.session import HELD
from ...store.tables.broker_tables import CLOCK, Will
from ..access.authentication import Authenticate
from ..access.guard import ALLOW_ALL, PUBLISH, Guard
from ..access.identity import Identity, claims, encoded, owns, placed
from ..bounds.addresses import is_local
from ..bounds.deadlines import Deadlines
from ..bounds.properties import excess
from ..clients import events
from ..clients.broker_store import BrokerStore
from ..clients.client_session import ClientSession
from ..clients.peer import Peer
from ..clients.publishable import shown
from ..counting.stats import Stats, Watch
from ..gates import hoards
from ..gates.budgets import Budgets, holder_of
from ..gates.entrance import Entrance
from ..gates.logins import Logins
from ..gates.publish_rate import PublishRate
from ..gates.takeovers import Takeovers
from ..limits import Denied, Limits
from ..messages.extras import NEVER
from ..packets.long_requests import check_answer
from ..queues.depot import Depot
from ..routing.delivery import IDENTIFIER as IDENTIFIER_BITS
from ..routing.delivery import NO_LOCAL
from ..routing.rights import give_rights
from ..routing.route import is_bridge_state
from ..routing.router import Router
from ..routing.shares import PREFIX
from ..topics.names import SUBSCRIBED as NAMED
from . import new_guard
from .admission import Admission
from .census import Census
from .status import Status
from .welcome import expiry_ms, expiry_of, keep_alive_of, properties, reference
from .wills import Wills, will_of

log = logging.getLogger("mqttlite.broker")

CLOCK_MS = 10_000  # at most so much of the time is lost in a crash: deadlines come later by as much ...
CLOCK_LATER_MS = 60_000  # ... and by so much when nothing came that expires


def random_client_id() -> bytes:
    """A client identifier for a client that did not bring one: cannot be guessed, so it cannot be taken over."""
    return b"auto-" + secrets.token_hex(8).encode()


class Sessions:
    """All sessions of one broker: what Engine (engine.py, which explains its arguments) knows of them."""

    def __init__(
        self,
        limits: Limits,
        new_client_id: Callable[[], bytes],
        store: BrokerStore | None,
        authenticate: Authenticate | None,
        server_reference: str,
        guard: Guard,
        make_router: Callable[..., Router],
    ) -> None:
        self.limits = limits
        self.server_reference = server_reference.encode()
        self.stats = Stats()
        self.watch = Watch(self.stats)
        self._logins = Logins(limits, self.watch)
        self._entrance = Entrance(limits, self.watch, self._make_room)
        self.half_open = self._entrance.half_open  # connections without CONNECT; oldest first
        self._admission = Admission(authenticate, guard, limits, self._logins, self._enter, self._entrance.asked)
        self.pending, self.vouched = self._admission.pending, self._admission.vouched  # for the shell
        self.on_auth = self._admission.packet
        self.dirty: dict[Peer, None] = {}  # in the order in which they got something to do
        self.busy: dict[Peer, None] = {}  # with something left that could be done at once: `go_on`
        self._store = store
        self.router = make_router(limits, self.stats, self.watch, self.dirty, self.busy, store)
        self.router.guard = guard
        self.ledger = self.router.ledger
        self.backpressure = self.router.backpressure
        self.check_topic = self.router.check_topic  # straight to the router: each message takes this way
        self.on_publish = self.router.publish_with
        self._takeovers = Takeovers(limits)
        self.budgets = Budgets(limits, self.ledger, self.watch, self._make_room, self.router.forget_routes)
        self.publish_rate = PublishRate(limits, self.backpressure, self.watch)
        self.sessions: dict[bytes, ClientSession] = {}
        self.backpressure.sessions = self.sessions
        self.wills = Wills(self._publish_will, store, lambda: self.router.guard)
        self._census = Census(self.sessions, self.ledger, limits, self.watch)
        self._status = Status(self.router, self.sessions, self.stats, self._census)
        self.timed: dict[ClientSession, None] = {}  # sessions without a connection, whose end their client has chosen
        self._expiring: Deadlines[ClientSession] = Deadlines()  # all without one
        self.depot = Depot(self.router, limits, self.stats, self.watch, store)
        self._new_client_id = new_client_id
        self._clock_at = 0  # ms; when the store was told the clock last

    def _let_go(self, peer: Peer) -> None:
        """The connection ends: what has waited came before that."""
        raise NotImplementedError

    def _close(self, peer: Peer, why: str, level: int = logging.INFO, reason: int = 0, told: str = "") -> None:
        """The connection has ended."""
        raise NotImplementedError

    def _look_at(self, peer: Peer) -> None:
        """The deadline of `peer` may have come nearer."""
        raise NotImplementedError

    def on_connect(self, connection: ServerConnection, connect: Connect) -> None:
        """A valid CONNECT."""
        self._admission.connect(_peer(connection), connect, self.router.now)

    def _enter(self, peer: Peer, connect: Connect, words: bytes) -> None:
        """A client that may connect. `words`: properties of CONNACK about its authentication."""
        guard = self.router.guard
        now = self.router.now
        if len(connect.client_id) > self.limits.client_id_bytes:
            self.watch.hit("client_id_bytes", peer, "CONNECT refused", self.router.now)
            most = self.limits.client_id_bytes
            why = f"a client identifier of {len(connect.client_id)} bytes; at most {most} are accepted here"
            peer.refuse(IDENTIFIER_REJECTED, why=why)  # [MQTT-3.1.3-9]
            return
        client_id = connect.client_id
        while not client_id or (not connect.client_id and client_id in self.sessions):
            client_id = self._new_client_id()  # [MQTT-3.1.3-6]
        identity = peer.identity = placed(peer.identity, peer.address, client_id)
        if connect.will and not self._takes_will(peer, connect, connect.will):
            return
        before = self.sessions.get(client_id)
        if before and not owns(before.owner, identity):
            text = f"{before} belongs to another user; refused {identity.text}"
            self.watch.hit("session_owner", peer, text, now)
            peer.refuse(NOT_AUTHORISED, why=f"{identity.subject} may not have this client identifier; choose another")
            return
        if before and before.peer and not self._take_over(before, before.peer, peer):
            return
        clean, expiry_ms = expiry_of(connect, self.limits)
        block = properties(connect, client_id, self.limits, is_local(peer.origin)) + words
        if not self._is_heard(peer, connect, block):
            return
        client = self._resume(client_id, connect.clean_session)
        present = client is not None  # [MQTT-3.2.2-1] [MQTT-3.2.2-2] [MQTT-3.2.2-3]
        if client is None:
            limit = "" if clean else self._lacks_room(client_id, peer)
            if limit:
                self.watch.hit(limit, peer, "CONNECT refused: no room for one more persistent session", self.router.now)
                self._refuse_for_room(peer)
                return
            client = self.router.session_of(client_id, clean, self._store)
            client.session.log = self._reuse_log(client)
            self.sessions[client_id] = client
            client.home = before.home if before else peer.origin
        else:
            client.returned = True
        self._own(client, identity)
        client.peer = peer
        client.clean = clean
        peer.client = client
        give_rights(peer, guard, self.check_topic, self.ledger, self.limits)
        peer.is5 = connect.level == MQTT_5_0
        keep_alive_s = keep_alive_of(connect, self.limits, is_local(peer.origin))
        peer.keep_alive_ms = keep_alive_s * 1500  # [MQTT-3.1.2-22]
        self.router.speaks(client, connect)
        self._entrance.connected(peer, self.router.now)
        self.timed.pop(client, None)
        self.stats.connected += 1
        self.stats.connections += 1
        kind = "clean session" if client.clean else "persistent session, resumed" if present else "persistent session"
        events.connected(peer, kind, keep_alive_s)
        session = client.session
        if 2 * len(session.inbound) > session.inbound_max:  # lives of a publisher without memory leave them behind
            session.earlier = [packet_id for packet_id, value in session.inbound.items() if value & 15 == HELD]
        if client.store:
            client.store.outlives(1 if clean else expiry_ms)
            if present:
                client.store.offline(0)
        client.expiry_ms = expiry_ms
        self.wills.keep(client, will_of(connect, self.router.clock(), peer.rights))
        if peer.is5 or client.form or client.recheck:
            self.router.form_of(client)
        peer.accept(session, present, block)
        self._look_at(peer)
        self._begin(client)

    def _begin(self, client: ClientSession) -> None:
        """A client takes what is there for it from now on."""
        self.backpressure.begin(client, self.router.now)
        self.depot.connected(client)
        if client.unsent:
            self.backpressure.queued(client, None, self.router.now)

    def _takes_will(self, peer: Peer, connect: Connect, will: tuple[bytes, bytes, int, bool]) -> bool:
        """Whether a client may have its will, which counts as a message that it publishes; if not, it is refused."""
        guard, now = self.router.guard, self.router.now
        topic, payload, qos, retain = will
        self.check_topic(topic)
        if topic.startswith(b"$") and not is_bridge_state(topic):
            log.warning("%s: its will topic %s is the broker's own: CONNECT refused", peer, shown(topic))
            peer.refuse(NOT_AUTHORISED, why=f"the will topic {shown(topic)} is the broker's own; choose another")
            return False
        if not guard.is_open and not guard.may(peer.identity, PUBLISH, topic):
            text = f"may not have a will for {shown(topic)}"
            self.watch.hit("will_denied", peer, f"{peer.identity.text} {text}: CONNECT refused", now)
            peer.refuse(NOT_AUTHORISED, why=f"{peer.identity.subject} {text}: the broker's rules do not allow it")
            return False
        limit = excess(connect.will_properties, self.limits)
        if limit:
            self.watch.hit(limit, peer, f"its will for {shown(topic)} has too many properties: CONNECT refused", now)
            why = f"the will for {shown(topic)} has too many properties: {limit} is {getattr(self.limits, limit)}"
            peer.refuse(QUOTA_EXCEEDED, why=why)
            return False
        if guard.inspects:
            found = guard.inspect(peer.identity, qos << 1 | retain, topic, payload)
            if found is None:
                self.watch.hit("inspection", peer, f"its will for {shown(topic)} is not taken: CONNECT refused", now)
                peer.refuse(NOT_AUTHORISED, why=f"the will for {shown(topic)} is not taken after inspection")
                return False
            connect.will = (topic, found[1], qos, bool(found[0] & 1))
        return True

    def _own(self, client: ClientSession, identity: Identity) -> None:
        """A session belongs to who has connected to it."""
        before, client.owner = client.owner, identity
        if client.store:
            client.store.owned(encoded(identity))
        if before != identity and self.router.guard is not ALLOW_ALL:
            new_guard.reconsider(self.router, client)
            self.router.forget_routes_of(client)

    def _is_heard(self, peer: Peer, connect: Connect, block: bytes) -> bool:
        """Whether the client takes a packet as large as its CONNACK [MQTT-3.1.2-24]; if not, it is refused."""
        if not connect.packet_max:
            return True
        limits = self.limits
        size = len(peer.wire.encode_connack(False, 0, limits.inbound, limits.packet_bytes, block))
        if size > connect.packet_max:
            peer.refuse(PACKET_TOO_LARGE, why=f"this client's Maximum Packet Size has to be {size} at least")
            if len(peer.out[-1]) > connect.packet_max:
                peer.out.pop()
            return False
        return True

    def _refuse_for_room(self, peer: Peer) -> None:
        """There is no room; a client of 5.0 is told of another server where there is one (3.2.2.3.16)."""
        connect = peer.connect
        if self.server_reference and connect and connect.level == MQTT_5_0:
            peer.refuse(ANOTHER_SERVER, reference(self.server_reference, connect.packet_max))
        else:
            why = "the broker has no room for one more persistent session; try again later, or ask for none"
            peer.refuse(SERVER_UNAVAILABLE, why=f"{why} (Session Expiry Interval 0)")

    def on_subscribe(
        self, connection: ServerConnection, subscriptions: list[tuple[bytes, int]], block: bytes = b""
    ) -> tuple[bytes, Callable[[], None]]:
        """Each filter as if it had come alone [MQTT-3.8.4-4]; the return codes, and what to do after SUBACK."""
        client = _client(connection)
        check_answer(connection, len(subscriptions))
        identifier = identifier_of(block) << IDENTIFIER_BITS if block else 0
        codes = bytearray()
        tells = log.isEnabledFor(logging.DEBUG)
        for topic_filter, options in subscriptions:
            if options & NO_LOCAL and topic_filter.startswith(PREFIX):
                raise ProtocolError("MQTT-3.8.3-4", "No Local for a shared subscription")
            if topic_filter.startswith(NAMED):
                code = self.depot.subscribe(client, topic_filter, identifier | options, block)
            else:
                code = self.router.subscribe(client, topic_filter, identifier | options)
            codes.append(code if code < REFUSED or client.speech else REFUSED)
            if tells:
                what = "subscription refused" if code >= REFUSED else f"subscribed with QoS {code}"
                log.debug("%s: %s: %s", client, ascii(topic_filter.decode()), what)
        return bytes(codes), lambda: self._subscribed(client, codes)

    def _subscribed(self, client: ClientSession, codes: bytes | bytearray) -> None:
        """SUBACK has been sent."""
        if client.peer and client.speech and max(codes) >= REFUSED:
            client.peer.explain()
        self.router.send_retained(client)

    def on_unsubscribe(self, connection: ServerConnection, topic_filters: list[bytes]) -> bytes:
        """Each filter as if it had come alone [MQTT-3.10.4-6]; the reason codes."""
        client = _client(connection)
        check_answer(connection, len(topic_filters))
        codes = bytearray()
        for topic_filter in topic_filters:
            codes.append(0 if topic_filter in client.subscriptions else NO_SUBSCRIPTION)
            self.router.unsubscribe(client, topic_filter)
            self.depot.unsubscribe(client, topic_filter)
        return bytes(codes)

    def on_refused(self, peer: Peer, error: Exception, reason: int) -> None:
        """A message of a client is not taken, and its connection goes on: in 5.0 it is told so, and in 3.1.1 a message
        that it may not publish is acknowledged, or ends the connection, as the guard says [MQTT-3.3.5-2].
        """
        if isinstance(error, Denied):
            self.stats.dropped_denied += 1
            self.watch.hit("publish_denied", peer, str(error), self.router.now)
            if self.router.guard.closes_denied and not peer.is5:
                raise error
            return
        log.warning("%s: %s: %s", peer, "message refused" if reason != BAD_TOPIC else "topic name refused", error)

    def on_disconnect(self, connection: ServerConnection) -> None:
        """The core dropped the will and set `finished`, so `receive` closes the connection; the session may end at
        another time than CONNECT said (5.0).
        """
        client = _client(connection)
        self.depot.leaves(client)
        connect = connection.connect
        if client.speech and connect and not client.clean:
            client.clean, client.expiry_ms = expiry_ms(connect.session_expiry_s, self.limits)
            if client.store:
                client.store.outlives(1 if client.clean else client.expiry_ms)

    def _resume(self, client_id: bytes, clean: bool) -> ClientSession | None:
        """The session to go on with [MQTT-3.1.2-4]; one that must not go on is discarded [MQTT-3.1.2-6].

        A session whose CONNACK may have been lost does not go on either: the client would take "session present" for
        the session before it, and swallow new QoS 2 messages as repeats of messages of that one. There is nothing in it
        yet; a will that waits is not published, for its client is back.
        """
        client = self.sessions.get(client_id)
        if client and (clean or client.clean or client.is_unheard_of):
            if not clean and not client.clean:
                self.wills.forget(client)
            self._discard(client)
            return None
        return client

    def _take_over(self, client: ClientSession, old: Peer, new: Peer) -> bool:
        """Disconnect `old`, whose client identifier `new` has [MQTT-3.1.4-2]; False when `new` is refused instead."""
        now = self.router.now
        if claims(client.owner, new.identity):  # who somebody is decides, and then the address
            client.home = new.origin
        elif not self._takeovers.may(client, old.origin, new.origin, now):
            self.watch.hit(
                "takeovers_a_minute", client, f"two clients share its identifier; refused {new.address}", now
            )
            why = "too many connections take this client identifier from each other; each client needs its own"
            new.refuse(SERVER_UNAVAILABLE, why=why)
            return False
        self.stats.takeovers += 1
        self._let_go(old)
        old.out.clear()
        told = "another connection has come with this client identifier; each client needs its own"
        self._close(old, f"taken over by {new.address}", reason=TAKEN_OVER, told=told)
        return True

    def _publish_will(self, will: Will) -> None:
        try:
            self.check_topic(will.topic)
        except MQTTError as error:  # the limits are others than when it came, before a restart
            self.stats.dropped_refused += 1
            log.warning("a will is dropped: %s", error)
            return
        self.stats.wills += self.router.publish_will(will.flags, will.topic, will.payload, will.extra)

    def _keep_clock(self, now: int, is_timed: bool) -> None:
        """The store is told what time it is, while there is something that will expire: soon after a message that does
        has come, and later now and then (`is_timed`).
        """
        wait_ms = CLOCK_MS if self.router.is_timed else CLOCK_LATER_MS
        if self._store and (is_timed or self.router.is_timed) and now - self._clock_at >= wait_ms:
            self._clock_at = now
            self.router.is_timed = False
            self._store.note(0, CLOCK, self.router.clock(), waits=False)

    def _reuse_log(self, client: ClientSession) -> Callable[[str], None]:
        """Counts and logs that a publisher, having lost its memory, has used a packet identifier again
        (core.reused_identifiers).
        """

        def log(text: str) -> None:
            client.session.reuses = 0
            self.watch.hit("reused_identifiers", client, text, self.router.now)

        return log

    def _expires(self, client: ClientSession) -> None:
        """A session without a connection: its time has begun."""
        if client.expiry_ms:
            self.timed[client] = None
        self._expiring.at(client, self._expires_at(client))

    def _expires_at(self, client: ClientSession) -> int:
        return NEVER if client.is_inside else client.offline_since + (client.expiry_ms or self.limits.session_expiry_ms)

    def _end_expired(self, now: int) -> None:
        for client in self._expiring.until(now):
            if client.peer is None and self._expires_at(client) > now:
                self._expiring.at(client, self._expires_at(client))
            elif client.peer is None:
                self.watch.hit("session_expiry_ms", client, "session removed", now)
                self.stats.expired += 1
                self._discard(client)

    def _discard(self, client: ClientSession) -> None:
        """The session ends, with everything that was queued for it."""
        del self.sessions[client.client_id]
        self.timed.pop(client, None)
        self._expiring.forget(client)
        self.wills.session_ended(client)
        self.depot.ended(client)
        self.budgets.ended(client)
        self.router.end(client)
        self._status.forget(client)

    def _lacks_room(self, client_id: bytes, peer: Peer) -> str:
        """The name of the limit that forbids one more persistent session, or ""; another one may end for it."""
        kept = [client for client in self.sessions.values() if not client.clean]
        most = self.limits.sessions_per_user
        holder = holder_of(peer)
        if most and peer.identity.user is not None:
            own = [client for client in kept if client.holder == holder]
            if len(own) >= most and not self._ends_one(own, "sessions_per_user", peer, holder):
                return "sessions_per_user"
        if len(kept) >= self.limits.persistent_sessions and not self._ends_one(
            kept, "persistent_sessions", peer, holder
        ):
            return "persistent_sessions"
        return "store" if self._store and not self._store.fits(len(client_id)) else ""

    def _make_room(self, peer: Peer, why: str) -> None:
        """A connection ends for others."""
        self._close(peer, why, logging.WARNING, QUOTA_EXCEEDED)

    def _ends_one(self, of: list[ClientSession], limit: str, peer: Peer, holder: str) -> bool:
        """Whether one of these sessions has ended for one of `peer`."""
        now = self.router.now
        spare = hoards.spare(of, holder, now)
        if spare is None:
            return False
        what = f"its session ends, with {spare.session.queued} messages, for one of {peer.address}"
        self.watch.hit(limit, spare, what, now)
        if self.sessions.get(spare.client_id) is spare:
            self._discard(spare)
        return True

    def _at(self, now: int) -> None:
        self.router.now = now


def _peer(connection: ServerConnection) -> Peer:
    assert isinstance(connection, Peer)
    return connection


def _client(connection: ServerConnection) -> ClientSession:
    client: ClientSession | None = _peer(connection).client
    assert client is not None
    return client
