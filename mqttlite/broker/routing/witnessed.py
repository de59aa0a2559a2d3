"""What the delivery ledger (mqttlite/ledger) is told by a broker: the router and the queues of one that has a ledger.
Without one, the plain classes are used, and no message costs anything for it. Imports router, queue.

A message is told of when it has an idempotency key and comes at QoS 1 or 2. Where a session is stored, "stored" and
what follows are noted when the store has committed.
"""

from typing import TYPE_CHECKING, Any

from ...core.packet_types import PUBACK, PUBREC
from ...core.reason_codes import REFUSED
from ...core.session import ASIDE, EXPIRED, IN_DOUBT, SPAN
from ...ledger.steps import ACCEPTED, ACKNOWLEDGED, ENDED, ENVELOPE, FORWARDED, STORED, Key, key_of, trace_of
from ..clients.broker_store import BrokerStore
from ..clients.client_session import ClientSession
from ..clients.peer import Peer
from ..clients.queue import Queue
from ..counting.ledger import Ledger as Account
from ..messages.batch import Batch
from ..messages.extras import deadline_of, properties_of
from .route import Route
from .router import Router

if TYPE_CHECKING:
    from ...core.records import State
    from ...store.tables.broker_blocks import Waiting

CAUSES = {EXPIRED: "expired", IN_DOUBT: "in doubt: its receiver has lost the session", ASIDE: "set aside"}


KNOWN_MAX = 4096  # keys that were read last: each is asked for some times on its way
EXTRA_MAX = 512  # bytes of properties, and of a key's own, in what they are known by
HEAD = 21  # bytes of an envelope beside its producer, at most

_known: dict[bytes, Key | None] = {}


def key_in(payload: bytes, extra: bytes) -> Key | None:
    """The key of a message as queues have it."""
    if extra:
        name = extra
    elif payload[:1] == ENVELOPE and len(payload) > 2:
        name = payload[: payload[2] + HEAD]  # has all of the envelope; what else is in it does no harm
    else:
        return None
    if name in _known:
        return _known[name]
    key = key_of(payload, properties_of(extra) if extra else b"")
    if len(name) <= EXTRA_MAX and not (extra and payload[:1] == ENVELOPE):
        if len(_known) >= KNOWN_MAX:
            _known.clear()
        _known[name] = key
    return key


class WitnessedRouter(Router):
    """As Router; `witness` is a mqttlite.ledger.Ledger."""

    def __init__(self, witness: Any, *parts: Any) -> None:  # of Router
        Router.__init__(self, *parts)
        self.witness = witness
        if self._store is not None:
            self._store.witness = witness

    def publish(self, publisher: Peer | None, flags: int, topic: bytes, payload: bytes, extra: bytes = b"") -> int:
        reason = Router.publish(self, publisher, flags, topic, payload, extra)
        # A guard that inspects messages has this one published from within: it is told of once.
        if flags > 1 and reason < REFUSED and publisher is not None and not self._inspected:
            key = key_in(payload, extra)
            if key is not None:
                self._tell(publisher, key, topic, payload, extra)
        return reason

    def publish_all(
        self, publisher: Any, flags: int, route: Route, payloads: list[bytes], whole: bytes, is_even: bool
    ) -> int:
        count = Router.publish_all(self, publisher, flags, route, payloads, whole, is_even)
        if flags:
            for payload in payloads[:count]:
                key = key_in(payload, b"")
                if key is not None:
                    self._tell(publisher, key, route.topic, payload, b"")
        return count

    def session_of(self, client_id: bytes, clean: bool, store: BrokerStore | None = None) -> ClientSession:
        def queue_of(inbound_max: int, size_max: int, account: Account) -> Queue:
            return WitnessedQueue(inbound_max, size_max, account, client_id, self)

        return ClientSession(client_id, clean, self.limits, self.ledger, store, queue_of)

    def _tell(self, publisher: Peer, key: Key, topic: bytes, payload: bytes, extra: bytes) -> None:
        client: ClientSession | None = publisher.client
        who = client.client_id if client else publisher.address.encode()
        trace = trace_of(properties_of(extra)) if extra else b""
        self.witness.note(ACCEPTED, key, who, self.now, topic, len(payload), trace)


class WitnessedQueue(Queue):
    """As Queue, of the client that is called `peer`. `router`: who knows the time and the witness."""

    __slots__ = ("_peer", "_router")

    def __init__(self, inbound_max: int, size_max: int, account: Account, peer: bytes, router: WitnessedRouter) -> None:
        Queue.__init__(self, inbound_max, size_max, account)
        self._peer = peer
        self._router = router

    def publish(self, head: bytes, payload: bytes, key: bytes = b"") -> int:
        named = key_in(payload, key)
        if named is not None and self.store:
            self._router.witness.wait_for_commit(STORED, named, self._peer)
        return Queue.publish(self, head, payload, key)

    def publish_all(self, batch: Batch) -> None:
        if self.store:
            for _, payload, extra in batch.messages:
                named = key_in(payload, extra)
                if named is not None:
                    self._router.witness.wait_for_commit(STORED, named, self._peer)
        Queue.publish_all(self, batch)

    def _send_batch(self, batch: Batch) -> bool:
        return False  # each is told of as it is sent

    def _pump(self) -> None:
        before = self.sent
        Queue._pump(self)
        for seq in range(before, self.sent):
            self._told(FORWARDED, seq)

    def _told(self, step: int, seq: int, cause: str = "") -> None:
        message = self.messages.get(seq)
        if message is not None:
            self._tell(step, message, cause)

    def _tell(self, step: int, message: tuple[bytes, bytes, bytes], cause: str = "") -> None:
        key = key_in(message[1], message[2])
        if key is not None:
            router = self._router
            router.witness.note_in_turn(step, key, self._peer, router.now, cause)

    def acknowledged(self, first: int, packet_id: int, reason: int = 0) -> None:
        seq = self.first + (packet_id - 1 - self.first) % SPAN
        message = self.messages.get(seq) if seq < self.sent and reason < REFUSED else None
        Queue.acknowledged(self, first, packet_id, reason)
        if message is not None and first in (PUBACK, PUBREC):
            self._tell(ACKNOWLEDGED, message)

    def acknowledged_all(self, first: int, packet_id: int, count: int) -> bool:
        start = self.first + (packet_id - 1 - self.first) % SPAN
        told = [self.messages.get(seq) for seq in range(start, start + count)] if first in (PUBACK, PUBREC) else []
        if not Queue.acknowledged_all(self, first, packet_id, count):
            return False
        for message in told:
            if message is not None:
                self._tell(ACKNOWLEDGED, message)
        return True

    def load_paged(self, state: "State", waiting: "list[Waiting]", sent: int = -1) -> None:
        Queue.load_paged(self, state, waiting, sent)
        for message in self.messages.values():  # what was noted of them in the last second of that life is lost
            self._tell(STORED, message)

    def drop(self, seq: int) -> None:
        message = self.messages.get(seq)
        is_over = message is not None and 0 <= deadline_of(message[2]) <= self._router.clock()
        self._told(ENDED, seq, "expired" if is_over else "dropped")
        Queue.drop(self, seq)

    def _finish(self, seq: int, outcome: int) -> None:
        if outcome:
            cause = CAUSES.get(outcome) or f"refused, reason code {outcome:#04x}"
            self._told(ENDED, seq, cause)
        Queue._finish(self, seq, outcome)
