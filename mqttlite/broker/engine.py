"""The broker without sockets: clients connect, take over, leave and time out; what they publish goes to the router.

The shell calls `open`, `receive`, `set_writable`, `lost` and `tick`, none of which raises because of a client, and
after each of them looks at the peers in `dirty` (peer.py). A call does a bounded amount of work; while there are peers
in `busy`, the shell calls `go_on` after it has served the others. While somebody is held back (`backpressure.holding`),
it calls `end_holds` in time. `now` is in milliseconds. Imports sessions and what is below.
"""

import logging
from collections.abc import Callable

from ..core.codec import packet
from ..core.errors import MQTTError, ProtocolError
from ..core.packet_types import DISCONNECT
from ..core.properties import with_properties
from ..core.reason_codes import ANOTHER_SERVER, NOT_AUTHORISED, QUOTA_EXCEEDED, REFUSED, SHUTTING_DOWN, UNAVAILABLE
from .access.authentication import Authenticate, Refusal
from .access.guard import ALLOW_ALL, Guard
from .access.identity import Identity
from .access.pending import Question
from .bounds import progress
from .bounds.deadlines import Deadlines
from .clients import events
from .clients.broker_store import BrokerStore
from .clients.client_session import ClientSession
from .clients.pace import Pace
from .clients.parking import let_go
from .clients.peer import Peer
from .gates.buffers import Buffers
from .limits import HOLD, LimitError, Limits
from .listening.handshakes import spoken
from .packets.farewell import reason_of
from .packets.reason_strings import explained
from .packets.unsent import first_new
from .routing.router import Router
from .sessions import new_guard, new_limits
from .sessions.sessions import Sessions, random_client_id
from .sessions.sweep import Sweep
from .sessions.welcome import reference
from .sessions.wills import will_of

log = logging.getLogger("mqttlite.broker")

KEPT_BYTES = 4096  # of what was read last, in the parser of a connection that waits for more
SWEEP_MS = 10  # until the next look, while there is more to be swept
TICK_MS = 1000  # between two looks at all deadlines, at most
SUMS_MS = 500  # between two looks at sums over all sessions, at least, however near the next deadline is


class Engine(Sessions):
    """All clients, sessions and messages of one broker. `new_client_id` makes an identifier for who has none.
    `store`: where persistent sessions and retained messages are kept; restoring.py takes what it has kept.
    `authenticate`: who may connect (authentication.py); otherwise `guard` says so, and what all may do (access/).
    `server_reference`: another server, for clients for whom there is no room.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        new_client_id: Callable[[], bytes] = random_client_id,
        store: BrokerStore | None = None,
        authenticate: Authenticate | None = None,
        server_reference: str = "",
        guard: Guard = ALLOW_ALL,
        make_router: Callable[..., Router] = Router,
    ) -> None:
        limits = limits or Limits()
        Sessions.__init__(self, limits, new_client_id, store, authenticate, server_reference, guard, make_router)
        self.peers: dict[Peer, None] = {}  # all network connections
        self.deadlines: Deadlines[Peer] = Deadlines()  # of these, as they say themselves (`Peer.deadline`)
        self._summed_at = -SUMS_MS
        self._buffers = Buffers(limits, self.watch, self.router, self.peers, self._close, self._look_at)
        self._count_received, self.count_output = self._buffers.count_received, self._buffers.count_output
        self.cut_off = self._buffers.cut_off
        self._sweep = Sweep(self.router, self.stats, self.limits.turn_work)
        self.pace = Pace(self.limits, self.router)
        self._suspensions = new_guard.Suspensions(self.router)
        self._behind = self.backpressure.behind
        self._overdue = self.backpressure.overdue
        self._awake = self.depot.awake
        if store is None:
            self.depot.configure()  # else once it is known what there is already (restoring.py)

    # -- called by the shell

    def open(self, address: str, now: int) -> Peer:
        """Somebody opened a network connection."""
        self._at(now)
        self.stats.sockets += 1
        peer = Peer(self, self.router, address, now)
        peer.closed_because = self._entrance.refusal(peer, now)
        if peer.closed_because:
            self.dirty[peer] = None
            return peer
        self.peers[peer] = None
        self._entrance.entered(peer, now)
        self._look_at(peer)
        return peer

    def receive(self, peer: Peer, data: bytes, now: int) -> None:
        """Bytes arrived from `peer`."""
        if peer.closed_because:
            return
        self.router.now = now
        size = len(data)
        self.stats.bytes_received += size
        peer.read += size
        self.dirty[peer] = None
        client: ClientSession | None = peer.client
        if client and not client.heard:
            client.heard = True
            if client.store:
                client.store.begin(is_heard=True)
        peer.parser.feed(data)
        self._work(peer, now, len(data))
        if self._awake:
            self._serve()
        if self._overdue:
            self._disconnect_overdue()

    def go_on(self, now: int) -> None:
        """A turn for each of those with something left to do, in order."""
        self._at(now)
        busy = list(self.busy)
        self.busy.clear()
        self.pace.share(len(busy))
        for peer in busy:
            if not peer.closed_because:
                self.dirty[peer] = None
                self._work(peer, now)
        self._serve()
        self._disconnect_overdue()

    def _serve(self) -> None:
        """Named queues and streams hand out what can be sent at once."""
        for client in self.depot.pump():
            if client.peer:
                self.busy[client.peer] = None

    def answered(self, question: Question, answer: Identity | Refusal, now: int) -> None:
        """The shell has awaited a question of `pending`."""
        self._at(now)
        if self.pending.finish(question):
            self._answer(question, answer, now)

    def _answer(self, question: Question, answer: Identity | Refusal, now: int) -> None:
        peer = question.peer
        assert isinstance(peer, Peer)
        self.dirty[peer] = None
        try:
            self._admission.answered(peer, answer, question.of)
        except Exception as error:
            self._fail(peer, error)
            return
        peer.received_at = now
        self._work(peer, now)
        self._disconnect_overdue()

    def set_guard(self, guard: Guard, now: int) -> None:
        """Other users and rules from now on (new_guard.py)."""
        self._at(now)
        self._admission.take_guard(guard)
        clients = list(self.sessions.values())
        for peer in new_guard.take(self.router, clients, guard):
            why = "may not be here any more"
            told = f"{peer.identity.subject} {why}"
            self._close(peer, f"{peer.identity.text} {why}", logging.WARNING, NOT_AUTHORISED, told)
        self._suspensions.begin(clients)
        self._disconnect_overdue()

    def set_limits(self, limits: Limits, now: int) -> None:
        """Other limits from now on (new_limits.py)."""
        self._at(now)
        new_limits.take(self, limits)
        self._admission.take_limits(self.limits)
        self._sweep.turn_work = max(1, limits.turn_work)
        self.pace.take_limits(limits)

    def _work(self, peer: Peer, now: int, size: int = 0) -> None:
        """Do what a turn allows of what has come from `peer`, `size` bytes just now, and of what waits for it."""
        before = self.stats.messages_received
        try:
            peer.go_on(now, size)
        except Exception as error:  # whatever it is: it ends this connection and no other
            self._fail(peer, error)
            return
        if self.publish_rate.is_on and self.stats.messages_received > before:
            self.publish_rate.count(peer, self.stats.messages_received - before, now)
        if peer.finished:
            if peer.refused_because:
                self.stats.refused += 1
                self._close(peer, f"refused: {peer.refused_because}", logging.WARNING)
            else:
                self._close(peer, "disconnected")
            return
        client: ClientSession | None = peer.client
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

    def set_writable(self, peer: Peer, writable: bool, now: int) -> None:
        """The write buffer went above its limit, or below it again."""
        self._at(now)
        self._buffers.set_writable(peer, writable, now)
        client: ClientSession | None = peer.client
        if writable and client:
            self.router.catch_up(client)
            if self.router.takes_retained(client):
                self.busy[peer] = None
            self.depot.connected(client)
            self._serve()

    def end_holds(self, now: int) -> int | None:
        """Whoever has been held back for long enough goes on; in how many milliseconds to call again."""
        self._at(now)
        return self.backpressure.end_holds(now)

    def lost(self, peer: Peer, why: str, now: int, unsent: bytes = b"") -> None:
        """The network connection is gone. `unsent`: packets of it that never left."""
        self._at(now)
        if not peer.closed_because:
            self._let_go(peer)
            if not peer.closed_because:
                client: ClientSession | None = peer.client
                packet_id = first_new(unsent + b"".join(peer.out)) if client else 0
                if client and packet_id:
                    client.session.never_sent(packet_id)
                self._close(peer, why)
            self._serve()
            self._disconnect_overdue()
        peer.out.clear()
        self._buffers.stand(peer, 0)
        self.dirty.pop(peer, None)

    def tick(self, now: int) -> int:
        """Close what is overdue; in how many milliseconds to call again. What it costs grows with what is due and what
        stands, not with how many clients there are.
        """
        self._at(now)
        self._buffers.look()
        for peer in list(self._buffers.unwritable):
            if self.backpressure.stands(peer, now):
                self.watch.hit("min_rate", peer, "takes too little of its output", now)
                self._close(peer, "stalled: its output stands")
        for client in self.router.waiting_for_retained():  # the store may have got room
            if client.peer:
                self.busy[client.peer] = None
        wait_ms = self._end_silent(now)
        for question in self.pending.overdue(now, self.limits.authentication_ms):
            self.watch.hit("authentication_ms", question.peer.address, "no answer who it is: CONNECT refused", now)
            question.end()
            self._answer(question, Refusal(UNAVAILABLE, "the answer takes too long"), now)
        for peer in self.backpressure.stalled(now):
            self.watch.hit("min_rate", peer, "takes too little of its queue", now)
            self._close(peer, "stalled: it is behind and takes too little")
        wait_ms = self.wills.look(now, wait_ms)
        if self._sweep.look():
            wait_ms = min(wait_ms, SWEEP_MS)
        if self._suspensions.look():
            wait_ms = min(wait_ms, SWEEP_MS)
        self._end_expired(now)
        wait_ms = self.depot.look(now, wait_ms)
        self._serve()
        is_timed = bool(self.wills.waiting) or self._sweep.is_timed or bool(self.timed) or self.depot.is_timed
        self._keep_clock(now, is_timed)
        if now - self._summed_at >= SUMS_MS:
            self._summed_at = now
            self._census.look(now)
            self.budgets.look(self.peers, self.sessions.values(), now)
        wait_ms = min(wait_ms, self.publish_rate.release(now) or wait_ms)
        self.backpressure.end_holds(now)
        self.backpressure.look_for_room()
        self.backpressure.end_gaps(now)
        self._disconnect_overdue()
        self._status.update(now)
        return wait_ms

    def _end_silent(self, now: int) -> int:
        """Close the connections whose deadline is over; in how many milliseconds the next one may be."""
        wait_ms = TICK_MS
        for peer in self.deadlines.until(now + TICK_MS):
            if peer.paused:  # its silence is our doing
                peer.received_at = now
                self.deadlines.at(peer, now + TICK_MS)
                continue
            deadline = peer.deadline()
            if deadline is None:
                continue
            if deadline > now:
                wait_ms = min(wait_ms, deadline - now)
                self.deadlines.at(peer, deadline)
                continue
            try:
                peer.tick(now)
            except (ProtocolError, LimitError) as error:
                if not peer.is_connected or isinstance(error, LimitError):
                    self.watch.hit(progress.limit_of(peer), peer, f"{error}: closed", now)
                self._fail(peer, error)
            else:
                self._look_at(peer)
        return wait_ms

    def _look_at(self, peer: Peer) -> None:
        deadline = peer.deadline()
        if deadline is not None:
            self.deadlines.at(peer, deadline)

    def resumed(self, peer: Peer, now: int) -> None:
        """`peer` is read again: until now, its silence was our doing."""
        peer.paused = False
        peer.received_at = peer.packet_at = now

    def shut_down(self) -> None:
        """The broker stops: every connection is closed, without wills, since nobody is left to get them."""
        for peer in list(self.peers):
            peer.will = None
            self._close(peer, "the broker stops", reason=SHUTTING_DOWN)

    # -- called for the operator (operating/actions.py)

    def disconnect(self, client: ClientSession, why: str, reason: int, now: int) -> None:
        """End the connection of a client, if it has one. `reason`: what it is told, if it speaks 5.0."""
        self._at(now)
        peer = client.peer
        if peer is not None:
            self._let_go(peer)
            if not peer.closed_because:
                self._close(peer, why, logging.WARNING, reason)
            self._disconnect_overdue()

    def hand_over(self, client: ClientSession, owner: Identity, why: str, reason: int, now: int) -> None:
        """A session belongs to somebody else from now on; who is connected with it is not any more. What outlives its
        connection alone can be handed over.
        """
        self.disconnect(client, why, reason, now)
        self._own(client, owner)

    def remove(self, client: ClientSession, why: str, reason: int, now: int) -> None:
        """End a session, with what is queued for it and with its connection."""
        self.disconnect(client, why, reason, now)
        if self.sessions.get(client.client_id) is client:
            self._discard(client)
            self._disconnect_overdue()

    # -- connections end

    def _let_go(self, peer: Peer) -> None:
        """The connection ends: what has waited came before that."""
        if peer.parked:
            try:
                let_go(peer)
            except Exception as error:
                self._fail(peer, error)

    def _fail(self, peer: Peer, error: Exception) -> None:
        """`error` ends the connection [MQTT-4.8.0-1]."""
        if isinstance(error, ProtocolError):
            self.stats.protocol_errors += 1
            limit = progress.limit_behind(peer, error) if peer.client else ""
            if limit:
                self.watch.hit(limit, peer, f"{error}: closed", self.router.now)
            words = "" if peer.client else spoken(bytes(peer.parser.buf[:8]))
            self._close(peer, words or f"protocol error: {error}", logging.WARNING, reason_of(error), str(error))
        elif isinstance(error, Refusal):  # [MQTT-4.12.1-2]
            self._close(peer, f"not authenticated again: {error}", logging.WARNING, error.last_word, error.told)
        elif isinstance(error, MQTTError):
            self.stats.limits["closed"] += 1
            told = error.told if isinstance(error, LimitError) else ""
            self._close(peer, str(error), logging.WARNING, QUOTA_EXCEEDED, told)
        else:
            self.stats.failures += 1
            log.error("%s: unexpected error", peer, exc_info=error)
            self._close(peer, "unexpected error", logging.ERROR, REFUSED)

    def _close(self, peer: Peer, why: str, level: int = logging.INFO, reason: int = 0, told: str = "") -> None:
        """The connection has ended, for whatever reason. The will is published unless DISCONNECT has removed it.
        `reason`: what a client of 5.0 is told, and `told`: in words.
        """
        events.closed(peer, why, level, self.router.now)
        if reason:
            before = len(peer.out)
            self._tell(peer, reason)
            if told and len(peer.out) > before:
                peer.out[-1] = explained(peer.connect, peer.out[-1], told)
        peer.closed_because = why
        if peer.question:
            self.pending.drop(peer.question)
            peer.question = None
        rights = peer.rights
        if rights is not None:
            rights.forget()
        self.dirty[peer] = None
        self.peers.pop(peer, None)
        self.deadlines.forget(peer)
        self._entrance.left(peer)
        self.busy.pop(peer, None)
        self.backpressure.overdue.pop(peer, None)
        self.backpressure.gone(peer)
        peer.parked.clear()
        self._buffers.forget(peer)
        peer.end()
        client: ClientSession | None = peer.client
        if client is None:
            return
        peer.client = None
        client.peer = None
        self.stats.connected -= 1
        client.offline_since = self.router.now
        if client.store and not client.clean:
            client.store.offline(self.router.clock())
        will = will_of(peer.connect, self.router.clock(), rights) if peer.will and peer.connect else None
        peer.will = None  # [MQTT-3.1.2-10]
        if client.clean:
            self._discard(client)
        else:
            self._expires(client)
        if not client.clean and not self._is_waited_for(client):
            self.backpressure.forget(client)
        self.wills.connection_ended(client, will, self.router.now)  # [MQTT-3.1.2-8]

    def _tell(self, peer: Peer, reason: int) -> None:
        """A client of 5.0 is told why its connection ends; before CONNACK, in CONNACK [MQTT-3.14.0-1]."""
        if not peer.is5:
            if peer.wire.has_reasons and not peer.refused_because:
                code = UNAVAILABLE if reason == SHUTTING_DOWN else reason  # [MQTT-3.2.2-8]
                peer.out.append(peer.wire.encode_connack(False, code))
        elif peer.is_connected:
            if reason == SHUTTING_DOWN and self.server_reference and peer.connect:
                block = with_properties(reference(self.server_reference, peer.connect.packet_max), b"")
                peer.out.append(packet(DISCONNECT, bytes((ANOTHER_SERVER,)), block))
            else:
                peer.out.append(peer.wire.encode_disconnect(reason))

    def _is_waited_for(self, client: ClientSession) -> bool:
        """Whether publishers go on waiting although the client has gone: so its rule says."""
        return client.when_full == HOLD and bool(client.waiting)

    def _disconnect_overdue(self) -> None:
        """Disconnect who has come to the end of its budget. Their wills may bring others there."""
        overdue = self.backpressure.overdue
        while overdue:
            peer = next(iter(overdue))
            self._close(peer, overdue.pop(peer), logging.WARNING)
