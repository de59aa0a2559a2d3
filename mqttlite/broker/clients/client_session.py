"""A client's session, with everything that the broker knows of it; its network connection is in peer.py, and they know
each other. Persistent ones live in the broker's store, if it has one. Imports queue, broker_store, ledger, limits.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ...core.packet_types import PUBCOMP
from ..access.identity import Identity
from ..counting.ledger import Ledger
from ..limits import Limits
from ..packets.answers import are_all
from .broker_store import SessionStore
from .queue import Queue

if TYPE_CHECKING:
    from ..messages.retained import Retained
    from .broker_store import BrokerStore
    from .forms import Form
    from .peer import Peer


# How a client is spoken to: in 3.1.1; in 5.0; in 5.0 with limits of its own, so that each message has to be looked at
PLAIN4, PLAIN5, BY_FORM = range(3)

INSIDE_IDS = b"$bridge/"  # client identifiers that begin so are for programs in the broker's process (inside.py)


class ClientSession:
    """Session state (4.1) of one client identifier [MQTT-3.1.3-2]. `clean`: it ends with its network connection."""

    __slots__ = (
        "clean",
        "client_id",
        "deferred",
        "dropped",
        "expiry_ms",
        "filters_bytes",
        "form",
        "gap_at",
        "gap_from",
        "has_will",
        "heard",
        "held_since",
        "hold_left",
        "hold_room",
        "home",
        "is_known",
        "mark",
        "marked_at",
        "offline_since",
        "owner",
        "peer",
        "recheck",
        "returned",
        "search",
        "session",
        "speech",
        "store",
        "subscriptions",
        "suspended",
        "told",
        "waiting",
        "when_full",
        "wildcards",
        "will_number",
    )

    def __init__(
        self,
        client_id: bytes,
        clean: bool,
        limits: Limits,
        ledger: Ledger,
        store: "BrokerStore | None" = None,
        queue_of: Callable[[int, int, Ledger], Queue] = Queue,
    ) -> None:
        rule = limits.rule_for(client_id)
        size_max = rule.max_bytes or limits.queue_bytes
        self.client_id = client_id
        self.clean = clean
        self.expiry_ms = 0  # how long it outlives its connection; 0: as long as the limits say
        self.speech = 0  # how its client is spoken to: one of those below
        self.has_will = False  # in the store ...
        self.will_number = 0  # ... under this number, where the session is not
        self.session = queue_of(limits.inbound, size_max, ledger)
        self.store: SessionStore | None = None
        if store and not clean:
            self.store = self.session.store = SessionStore(store, client_id, self.session)
        self.form: Form | None = None  # of its session
        self.subscriptions: dict[bytes, int] = {}  # by topic filter: granted QoS and options (subscriptions.py)
        self.wildcards = 0  # topic filters that count as such (bounds.wildcards)
        self.filters_bytes = 0  # what they count in the ledger
        self.peer: Peer | None = None  # None: offline
        self.heard = False  # a packet has come after CONNACK: the client knows that it has this session
        self.offline_since = 0  # ms
        self.home = ""  # the address (bounds.addresses) that it was made from
        self.returned = False  # its client has come back to it
        self.owner: Identity | None = None  # to whom it belongs; None: not known, of before there were owners
        self.is_known = True  # there is still such a user
        self.recheck = 0  # of what is queued, messages below this number are checked again before they are sent
        self.suspended: dict[bytes, None] = {}  # filters for which there is no right now
        self.deferred: dict[bytes, None] = {}  # filters whose retained messages have yet to be sent
        self.search: tuple[bytes, Iterator[Retained | None]] | None = None  # the filter whose turn it is
        # Owned by backpressure.Backpressure:
        self.when_full = rule.when_full
        self.hold_left = limits.hold_ms  # for how long publishers may still be held back for this client (ms)
        # With less room than this they are; a queue that is short is not full before they are.
        self.hold_room = size_max - min(limits.hold_bytes, size_max // 2)
        self.held_since = 0  # ms; since when they are, while `waiting` has some
        self.waiting: dict[Peer, None] = {}  # publishers whose PUBLISH waits for this client
        self.mark = 0  # how far the client had got ...
        self.marked_at = 0  # ... at this time (ms)
        self.dropped: Counter[str] = Counter()  # messages by cause (the name of a limit)
        self.gap_from = -1  # how many were dropped before the gap that has not ended; -1: there is none
        self.gap_at = 0  # ms; when the last one was dropped
        self.told = 0  # how many its subscriber has been told of

    def take_limits(self, limits: Limits) -> None:
        """Others from now on, and other rules for queues. What is queued stays."""
        rule = limits.rule_for(self.client_id)
        size_max = rule.max_bytes or limits.queue_bytes
        self.session.room += size_max - self.session.size_max
        self.session.size_max = size_max
        self.when_full = rule.when_full
        self.hold_left = min(self.hold_left, limits.hold_ms) if self.waiting else limits.hold_ms
        self.hold_room = size_max - min(limits.hold_bytes, size_max // 2)

    @property
    def is_inside(self) -> bool:
        """Whether a program in this process has it: it ends when that says so, and takes as long as that needs."""
        return self.client_id.startswith(INSIDE_IDS)

    @property
    def is_unheard_of(self) -> bool:
        """Whether the client may never have received CONNACK for this session, and nothing is in it."""
        session = self.session
        return not (self.heard or self.subscriptions or session.inbound or session.queued)

    @property
    def holder(self) -> str:
        """Whose it is, where it counts how many they have, and how much: a user, else an address. Of a session that was
        there before the broker nobody knows the address: it is by itself.
        """
        if self.owner is not None and self.owner.user is not None:
            return f"user {self.owner.user}"
        return self.home or f"client {self.client_id!a}"

    @property
    def has_content(self) -> bool:
        """Whether something would be lost with it."""
        return bool(self.session.queued or self.session.inbound)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in it, nor will be."""
        return not (self.subscriptions or self.session.queued or self.session.inbound or self.has_will)

    def tells_nothing(self, packets: bytes) -> bool:
        """Whether these tell of nothing that is stored: PUBCOMP alone, to a session that is not. (Its message was
        durable before PUBREC left.)
        """
        return self.store is None and are_all(PUBCOMP, packets)

    @property
    def unsent(self) -> int:
        """Messages accepted for the client and not sent yet."""
        return self.session.next - self.session.sent

    def __str__(self) -> str:
        where = " at " + self.peer.address if self.peer else " (offline)"
        return ascii(self.client_id.decode()) + where
