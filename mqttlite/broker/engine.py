"""The broker without sockets: clients connect, take over, leave and time out; what they publish goes to the router.

The shell calls `open`, `receive`, `set_writable`, `lost` and `tick`, none of which raises because of a client, and
after each of them looks at the peers in `dirty` (peer.py). A call does a bounded amount of work; while there are peers
in `busy`, the shell calls `go_on` after it has served the others. While somebody is held back (`backpressure.holding`),
it calls `end_holds` in time. `now` is in milliseconds. Imports router and what is below.
"""

import logging
import secrets
from collections.abc import Callable

from ..core.errors import MQTTError, ProtocolError
from ..core.greeting import IDENTIFIER_REJECTED, NOT_AUTHORISED, SERVER_UNAVAILABLE, Connect
from ..core.server import ServerConnection
from ..core.session import HELD, WINDOW
from ..store.broker_tables import BrokerState
from .broker_store import BrokerStore, SessionStore
from .ledger import IDENTIFIER
from .limits import HOLD, Limits
from .peer import ClientSession, Peer
from .router import Router, is_bridge_state
from .stats import Stats, Watch
from .status import Status

log = logging.getLogger("mqttlite.broker")

KEPT_BYTES = 4096  # of what was read last, in the parser of a connection that waits for more
TICK_MS = 1000  # between two looks at all deadlines, at most


def random_client_id() -> bytes:
    """A client identifier for a client that did not bring one: cannot be guessed, so it cannot be taken over."""
    return b"auto-" + secrets.token_hex(8).encode()


class Engine:
    """All clients, sessions and messages of one broker. `new_client_id` makes an identifier for who has none.
    `store`: where persistent sessions and retained messages are kept; `load` takes what it has kept.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        new_client_id: Callable[[], bytes] = random_client_id,
        store: BrokerStore | None = None,
    ) -> None:
        self.limits = limits = limits or Limits()
        self.stats = Stats()
        self.watch = Watch(self.stats)
        self.dirty: dict[Peer, None] = {}  # in the order in which they got something to do
        self.busy: dict[Peer, None] = {}  # with something left that could be done at once: `go_on`
        self.cut_off: list[Peer] = []  # closed, and what was written to them is to be thrown away at once
        self._store = store
        self.router = Router(limits, self.stats, self.watch, self.dirty, self.busy, store)
        self.ledger = self.router.ledger
        self.backpressure = self.router.backpressure
        self._behind = self.backpressure.behind
        self._overdue = self.backpressure.overdue
        # Straight to the router: each message takes this way.
        self.check_topic = self.router.check_topic
        self.on_publish = self.router.publish
        self.peers: dict[Peer, None] = {}
        self.half_open: dict[Peer, None] = {}  # of these, the ones without an accepted CONNECT; oldest first
        self.sessions: dict[bytes, ClientSession] = {}
        self.backpressure.sessions = self.sessions
        self._new_client_id = new_client_id
        self._status = Status(self.router, self.sessions, self.stats)

    # -- called by the shell

    def load(self, kept: BrokerState, now: int) -> None:
        """Go on from what the store has kept; before anything else. Session expiry counts from now."""
        self._at(now)
        assert self._store
        for client_id, (number, state) in kept.sessions.items():
            client = ClientSession(client_id, False, self.limits, self.ledger)
            client.session.log = self._reuse_log(client)
            client.store = client.session.store = SessionStore(self._store, client_id, client.session, number)
            client.session.load(state)
            client.heard = True
            client.offline_since = now
            self.sessions[client_id] = client
            for topic_filter, qos in state.subscriptions.items():
                self.router.restore(client, topic_filter, qos)
        for topic, payload, qos in kept.retained:
            self.router.retained.store(topic, payload, qos)
        self._status.load()

    def open(self, address: str, now: int) -> Peer:
        """Somebody opened a network connection."""
        self._at(now)
        peer = Peer(self, self.router, address, now)
        if len(self.peers) >= self.limits.connections:
            self.watch.hit("connections", address, "connection closed", now)
            peer.closed_because = "too many connections"
            self.dirty[peer] = None
            return peer
        self.peers[peer] = None
        self.half_open[peer] = None
        oldest = next(iter(self.half_open))
        if len(self.half_open) > self.limits.half_open and now - oldest.opened_at >= self.limits.half_open_ms:
            self.watch.hit("half_open", oldest.address, "connection without CONNECT closed", now)
            self._close(oldest, "no CONNECT, and others want to connect")
        return peer

    def receive(self, peer: Peer, data: bytes, now: int) -> None:
        """Bytes arrived from `peer`."""
        if peer.closed_because:
            return
        self.router.now = now
        self.dirty[peer] = None
        client = peer.client
        if client and not client.heard:
            client.heard = True
            if client.store:
                client.store.begin()
        peer.parser.feed(data)
        self._work(peer, now, len(data))
        if self._overdue:
            self._disconnect_overdue()

    def go_on(self, now: int) -> None:
        """A turn for each of those with something left to do, in order."""
        self._at(now)
        busy = list(self.busy)
        self.busy.clear()
        for peer in busy:
            if not peer.closed_because:
                self.dirty[peer] = None
                self._work(peer, now)
        self._disconnect_overdue()

    def _work(self, peer: Peer, now: int, size: int = 0) -> None:
        """Do what a turn allows of what has come from `peer`, `size` bytes just now, and of what waits for it."""
        try:
            peer.go_on(now, size)
        except Exception as error:  # whatever it is: it ends this connection and no other
            self._fail(peer, error)
            return
        if peer.finished:
            if peer.refused_because:
                self.stats.refused += 1
                self._close(peer, f"refused: {peer.refused_because}", logging.WARNING)
            else:
                self._close(peer, "disconnected")
            return
        client = peer.client
        if client and (client.deferred or client.search or (self._behind and client in self._behind)):
            self.router.catch_up(client)
            if self.router.takes_retained(client):
                self.busy[peer] = None
        if peer.more:
            self.busy[peer] = None
        parser = peer.parser  # its own affairs, but this is asked with each read
        read = parser._at
        if read < len(parser.buf) or parser._pieces or peer.received or peer.parked_bytes:
            self._count_received(peer, now)
        elif read > KEPT_BYTES:
            parser.feed(b"")  # lets go of what it has read last

    def _count_received(self, peer: Peer, now: int) -> None:
        """Something waits in `peer`, or did when it was looked at last."""
        waiting = peer.waiting_bytes
        self.ledger.received += waiting - peer.received
        peer.received = waiting
        if self.ledger.received > self.limits.received_bytes:
            most = max(self.peers, key=lambda each: each.received)
            self.watch.hit("received_bytes", most, "sends more than there is room for: closed", now)
            self._close(most, "half received or held back packets of all clients take too much, and it has most")

    def set_writable(self, peer: Peer, writable: bool, now: int) -> None:
        """The write buffer went above its limit, or below it again."""
        self._at(now)
        peer.writable = writable
        if writable:
            self._count_output(peer, 0)
            client = peer.client
            if client:
                self.router.catch_up(client)
                if self.router.takes_retained(client):
                    self.busy[peer] = None
        else:
            peer.mark = peer.taken()
            peer.marked_at = now
            if not peer.closed_because:
                self.count_output(peer)

    def count_output(self, peer: Peer) -> None:
        """Something that was written to `peer` has not left."""
        if peer.closed_because:
            return
        self._count_output(peer, peer.unwritten())
        if self.ledger.output > self.limits.output_bytes:
            most = max(self.peers, key=lambda each: each.standing, default=peer)
            if most.standing:
                # Now, and with its output: the shell may be about to write to a thousand others.
                self.watch.hit("output_bytes", most, "does not take its output: closed", self.router.now)
                self.cut_off.append(most)
                self._close(most, "the output of all clients takes too much, and it has most", logging.WARNING)

    def _count_output(self, peer: Peer, size: int) -> None:
        self.ledger.output += size - peer.standing
        peer.standing = size

    def end_holds(self, now: int) -> int | None:
        """Whoever has been held back for long enough goes on; in how many milliseconds to call again."""
        self._at(now)
        return self.backpressure.end_holds(now)

    def lost(self, peer: Peer, why: str, now: int) -> None:
        """The network connection is gone."""
        self._at(now)
        if not peer.closed_because:
            self._let_go(peer)
            if not peer.closed_because:
                self._close(peer, why)
            self._disconnect_overdue()
        peer.out.clear()
        self._count_output(peer, 0)
        self.dirty.pop(peer, None)

    def tick(self, now: int) -> int:
        """Close what is overdue; in how many milliseconds to call again."""
        self._at(now)
        wait_ms = TICK_MS
        for peer in list(self.peers):
            if peer.standing and peer.writable:
                self._count_output(peer, peer.unwritten())
            if not peer.writable and self.backpressure.stands(peer, now):
                self.watch.hit("min_rate", peer, "takes too little of its output", now)
                self._close(peer, "stalled: its output stands")
                continue
            client = peer.client
            if client and self.router.takes_retained(client):  # the store may have got room
                self.busy[peer] = None
            if peer.paused:  # its silence is our doing
                peer.received_at = now
                continue
            deadline = peer.deadline()
            if deadline is None:
                continue
            if deadline > now:
                wait_ms = min(wait_ms, deadline - now)
                continue
            try:
                peer.tick(now)
            except ProtocolError as error:
                self._fail(peer, error)
        for peer in self.backpressure.stalled(now):
            self.watch.hit("min_rate", peer, "takes too little of its queue", now)
            self._close(peer, "stalled: it is behind and takes too little")
        for client in list(self.sessions.values()):
            if client.peer is None and now - client.offline_since >= self.limits.session_expiry_ms:
                self.watch.hit("session_expiry_ms", client, "session removed", now)
                self._discard(client)
        self._share_identifiers()
        self.backpressure.end_holds(now)
        self.backpressure.look_for_room()
        self.backpressure.end_gaps(now)
        self._disconnect_overdue()
        self._status.update(now)
        return wait_ms

    def shut_down(self) -> None:
        """The broker stops: every connection is closed, without wills, since nobody is left to get them."""
        for peer in list(self.peers):
            peer.will = None
            self._close(peer, "the broker stops")

    # -- called by the core for a connection (core.server explains)

    def on_connect(self, connection: ServerConnection, connect: Connect) -> None:
        """A valid CONNECT."""
        peer = _peer(connection)
        if connect.will:
            self.check_topic(connect.will[0])
            if connect.will[0].startswith(b"$") and not is_bridge_state(connect.will[0]):
                peer.refuse(NOT_AUTHORISED)
                return
        if len(connect.client_id) > self.limits.client_id_bytes:
            self.watch.hit("client_id_bytes", peer, "CONNECT refused", self.router.now)
            peer.refuse(IDENTIFIER_REJECTED)  # [MQTT-3.1.3-9]
            return
        client_id = connect.client_id
        while not client_id or (not connect.client_id and client_id in self.sessions):
            client_id = self._new_client_id()  # [MQTT-3.1.3-6]
        before = self.sessions.get(client_id)
        if before and before.peer and not self._take_over(before, before.peer, peer):
            return
        client = self._resume(client_id, connect.clean_session)
        present = client is not None  # [MQTT-3.2.2-1] [MQTT-3.2.2-2] [MQTT-3.2.2-3]
        if client is None:
            limit = "" if connect.clean_session else self._lacks_room(client_id)
            if limit:
                self.watch.hit(limit, peer, "CONNECT refused: no room for one more persistent session", self.router.now)
                peer.refuse(SERVER_UNAVAILABLE)
                return
            client = ClientSession(client_id, connect.clean_session, self.limits, self.ledger, self._store)
            client.session.log = self._reuse_log(client)
            self.sessions[client_id] = client
        if before:
            client.takeovers = before.takeovers
        client.peer = peer
        peer.client = client
        self.half_open.pop(peer, None)
        self.stats.connections += 1
        kind = "clean session" if client.clean else "persistent session, resumed" if present else "persistent session"
        log.info("%s connected (%s, keep alive %d s)", client, kind, connect.keep_alive_s)
        session = client.session
        if 2 * len(session.inbound) > session.inbound_max:  # lives of a publisher without memory leave them behind
            session.earlier = [packet_id for packet_id, value in session.inbound.items() if value & 15 == HELD]
        peer.accept(session, present)
        self.backpressure.begin(client, self.router.now)
        if client.unsent:
            self.backpressure.queued(client, None, self.router.now)

    def on_subscribe(
        self, connection: ServerConnection, subscriptions: list[tuple[bytes, int]]
    ) -> tuple[bytes, Callable[[], None]]:
        """Each filter as if it had come alone [MQTT-3.8.4-4]; the return codes, and what to do after SUBACK."""
        client = _client(connection)
        codes = bytearray()
        tells = log.isEnabledFor(logging.DEBUG)
        for topic_filter, qos in subscriptions:
            code = self.router.subscribe(client, topic_filter, qos)
            codes.append(code)
            if tells:
                what = "subscription refused" if code == 0x80 else f"subscribed with QoS {code}"
                log.debug("%s: %s: %s", client, ascii(topic_filter.decode()), what)
        return bytes(codes), lambda: self.router.send_retained(client)

    def on_unsubscribe(self, connection: ServerConnection, topic_filters: list[bytes]) -> None:
        """Each filter as if it had come alone [MQTT-3.10.4-6]."""
        client = _client(connection)
        for topic_filter in topic_filters:
            self.router.unsubscribe(client, topic_filter)

    def on_disconnect(self, connection: ServerConnection) -> None:
        """Nothing to do: the core dropped the will and set `finished`, so `receive` closes the connection."""

    def _resume(self, client_id: bytes, clean: bool) -> ClientSession | None:
        """The session to go on with [MQTT-3.1.2-4]; one that must not go on is discarded [MQTT-3.1.2-6].

        A session whose CONNACK may have been lost does not go on either: the client would take "session present" for
        the session before it, and swallow new QoS 2 messages as repeats of messages of that one. There is nothing in it
        yet.
        """
        client = self.sessions.get(client_id)
        if client and (clean or client.clean or client.is_unheard_of):
            self._discard(client)
            return None
        return client

    # -- connections end

    def _take_over(self, client: ClientSession, old: Peer, new: Peer) -> bool:
        """Disconnect `old`, whose client identifier `new` has [MQTT-3.1.4-2]; False when `new` is refused instead."""
        now = self.router.now
        times = client.takeovers
        times[:] = [at for at in times if now - at < 60_000]
        if len(times) >= self.limits.takeovers_a_minute:
            self.watch.hit(
                "takeovers_a_minute", client, f"two clients share its identifier; refused {new.address}", now
            )
            new.refuse(SERVER_UNAVAILABLE)
            return False
        times.append(now)
        self.stats.takeovers += 1
        self._let_go(old)
        old.out.clear()
        self._close(old, f"taken over by {new.address}")
        return True

    def _let_go(self, peer: Peer) -> None:
        """The connection ends: what has waited came before that."""
        if peer.parked:
            try:
                peer.let_go()
            except Exception as error:
                self._fail(peer, error)

    def _fail(self, peer: Peer, error: Exception) -> None:
        """`error` ends the connection [MQTT-4.8.0-1]."""
        if isinstance(error, ProtocolError):
            self.stats.protocol_errors += 1
            self._close(peer, f"protocol error: {error}", logging.WARNING)
        elif isinstance(error, MQTTError):
            self.stats.limits["closed"] += 1
            self._close(peer, str(error), logging.WARNING)
        else:
            self.stats.failures += 1
            log.error("%s: unexpected error", peer, exc_info=error)
            self._close(peer, "unexpected error", logging.ERROR)

    def _close(self, peer: Peer, why: str, level: int = logging.INFO) -> None:
        """The connection has ended, for whatever reason. The will is published unless DISCONNECT has removed it."""
        log.log(level, "%s closed: %s", peer, why)
        peer.closed_because = why
        self.dirty[peer] = None
        self.peers.pop(peer, None)
        self.half_open.pop(peer, None)
        self.busy.pop(peer, None)
        self.backpressure.overdue.pop(peer, None)
        self.backpressure.gone(peer)
        peer.parked.clear()
        self.ledger.received -= peer.received
        peer.received = 0
        self._count_output(peer, 0)
        peer.end()
        client = peer.client
        if client is None:
            return
        peer.client = None
        client.peer = None
        client.offline_since = self.router.now
        if client.clean:
            self._discard(client)
        elif not self._is_waited_for(client):
            self.backpressure.forget(client)
        will, peer.will = peer.will, None  # [MQTT-3.1.2-10]
        if will:  # [MQTT-3.1.2-8]
            topic, payload, qos, retain = will
            self.stats.wills += 1
            self.publish(topic, payload, qos, retain)

    def _share_identifiers(self) -> None:
        """Count the QoS 2 identifiers; when there are too many, no session may have more than its share."""
        limits = self.limits
        ledger = self.ledger
        before = ledger.identifiers
        ledger.identifiers = IDENTIFIER * sum(len(client.session.inbound) for client in self.sessions.values())
        most = limits.inbound
        if ledger.identifiers > limits.identifiers_bytes:
            most = min(most, max(WINDOW, limits.identifiers_bytes // IDENTIFIER // len(self.sessions)))
            self.watch.hit("identifiers_bytes", "all clients", f"each may have {most}", self.router.now)
        elif before <= limits.identifiers_bytes:
            return
        for client in self.sessions.values():
            client.session.inbound_max = most

    def _is_waited_for(self, client: ClientSession) -> bool:
        """Whether publishers go on waiting although the client has gone: so its rule says."""
        return client.when_full == HOLD and bool(client.waiting)

    def _disconnect_overdue(self) -> None:
        """Disconnect who has come to the end of its budget. Their wills may bring others there."""
        overdue = self.backpressure.overdue
        while overdue:
            peer = next(iter(overdue))
            self._close(peer, overdue.pop(peer), logging.WARNING)

    def publish(self, topic: bytes, payload: bytes, qos: int = 0, retain: bool = False) -> None:
        """Publish a message that does not come over a connection: a will."""
        self.check_topic(topic)
        self.router.publish(None, qos << 1 | retain, topic, payload)

    def _reuse_log(self, client: ClientSession) -> Callable[[str], None]:
        """Counts and logs that a publisher, having lost its memory, has used a packet identifier again
        (core.reused_identifiers).
        """

        def log(text: str) -> None:
            client.session.reuses = 0
            self.watch.hit("reused_identifiers", client, text, self.router.now)

        return log

    def _discard(self, client: ClientSession) -> None:
        """The session ends, with everything that was queued for it."""
        self.router.end(client)
        del self.sessions[client.client_id]
        self._status.forget(client)

    def _lacks_room(self, client_id: bytes) -> str:
        """The name of the limit that forbids one more persistent session, or ""."""
        if sum(not client.clean for client in self.sessions.values()) >= self.limits.persistent_sessions:
            return "persistent_sessions"
        return "store" if self._store and not self._store.fits(len(client_id)) else ""

    def _at(self, now: int) -> None:
        self.router.now = now


def _peer(connection: ServerConnection) -> Peer:
    assert isinstance(connection, Peer)
    return connection


def _client(connection: ServerConnection) -> ClientSession:
    client = _peer(connection).client
    assert client is not None
    return client
