"""A client's session at the broker: the core's session state, its subscriptions, and its connection while it has one.

Persistent sessions live in the broker's store, if it has one. Imports core.session, broker_store, ledger, limits; knows
nothing of routing.
"""

from collections import Counter, deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..core.records import HELD as _HELD
from ..core.session import FREE, HANDLED, INBOUND, Session
from .broker_store import SessionStore
from .ledger import MESSAGE, Ledger
from .limits import Limits

if TYPE_CHECKING:
    from ..core.records import State
    from .broker_store import BrokerStore
    from .peer import Peer
    from .retained import Retained


class Queue(Session):
    """The core's session with an account: what it has accepted for its client, and not finished, has a size.

    `room`: bytes left of its budget; below 0 after a restart with a smaller one. Whoever calls `publish` takes the size
    of the message from it and from the ledger, and appends it to `sizes`. What is finished is given back when somebody
    calls `settle`, not with each message: most of the time nobody needs to know.
    """

    __slots__ = ("_ledger", "_oldest", "_settled", "room", "size_max", "sizes")

    def __init__(self, inbound_max: int, size_max: int, ledger: Ledger) -> None:
        Session.__init__(self, inbound_max=inbound_max)
        self.size_max = size_max
        self.room = size_max
        self.sizes: deque[int] = deque()  # of the messages from `_settled` on
        self._settled = self.next  # the first message that counts
        self._ledger = ledger
        self._oldest = 0  # no message below this one can be dropped

    def take(self, first: int, packet_id: int, digest: int) -> None:
        """`received` and `handled` in one step, for a message under an identifier that stands for nothing: a broker has
        handled it as soon as it is routed. `first`: first byte of its PUBLISH. The rows are the table's.
        """
        row = INBOUND[INBOUND[FREE << 8 | first & 0xFE] & 0xFF00 | HANDLED]
        after = row >> 8
        if after:
            self.inbound[packet_id] = digest << 4 | after
            self._record(_HELD, digest << 16 | packet_id)
        self._send(row & 0xFF, packet_id)

    @property
    def bytes(self) -> int:
        """What it holds; more than that when it is not settled."""
        return self.size_max - self.room

    @property
    def finished(self) -> int:
        """How many messages have ended until now."""
        return self.next - len(self.messages)

    def load(self, state: "State") -> None:
        """As in the core."""
        Session.load(self, state)
        messages = self.messages
        self._settled = self.first
        for seq in range(self.first, self.next):
            message = messages.get(seq)
            self.sizes.append(len(message[0]) + len(message[1]) + MESSAGE if message else 0)
        size = sum(self.sizes)
        self.room -= size
        self._ledger.queued += size

    def settle(self) -> int:
        """Give back what is finished, but for what is behind a message that is not; the room that there is."""
        first = self.first if self.messages else self.next
        if first <= self._settled:
            return self.room
        sizes = self.sizes
        size = 0
        for _ in range(first - self._settled):
            size += sizes.popleft()
        if size:
            self.room += size
            self._ledger.queued -= size
        self._settled = first
        return self.room

    def drop_oldest(self) -> bool:
        """Give up the oldest message that its client cannot have seen; False when there is none.

        What was sent stays [MQTT-4.4.0-1]: at QoS 2 its handshake has to end, and its identifier must not come to a new
        message before. What may have been sent on an earlier connection can go only at QoS 1.
        """
        self.settle()
        seq = max(self._oldest, self.sent)
        while seq < self.next:
            message = self.messages.get(seq)
            if message and (seq >= self.sent_before or message[0][0] & 6 == 2):
                self._oldest = seq + 1
                self._finish(seq, 0)
                if seq >= self._settled:
                    size = self.sizes[seq - self._settled]
                    self.sizes[seq - self._settled] = 0
                    self.room += size
                    self._ledger.queued -= size
                return True
            seq += 1
            self._oldest = seq  # not to be looked at again: whoever drops one message drops thousands
        return False

    def forget(self) -> None:
        """The session ends: its account is closed."""
        self._ledger.queued -= self.bytes
        self.room = self.size_max


class ClientSession:
    """Session state (4.1) of one client identifier [MQTT-3.1.3-2]. `clean`: it ends with its network connection."""

    __slots__ = (
        "clean",
        "client_id",
        "deferred",
        "dropped",
        "filters_bytes",
        "gap_at",
        "gap_from",
        "heard",
        "held_since",
        "hold_left",
        "hold_room",
        "mark",
        "marked_at",
        "offline_since",
        "peer",
        "search",
        "session",
        "store",
        "subscriptions",
        "takeovers",
        "told",
        "waiting",
        "when_full",
    )

    def __init__(
        self, client_id: bytes, clean: bool, limits: Limits, ledger: Ledger, store: "BrokerStore | None" = None
    ) -> None:
        rule = limits.rule_for(client_id)
        size_max = rule.max_bytes or limits.queue_bytes
        self.client_id = client_id
        self.clean = clean
        self.session = Queue(limits.inbound, size_max, ledger)
        self.store: SessionStore | None = None
        if store and not clean:
            self.store = self.session.store = SessionStore(store, client_id, self.session)
        self.subscriptions: dict[bytes, int] = {}  # granted QoS by topic filter
        self.filters_bytes = 0  # what they count in the ledger
        self.peer: Peer | None = None  # None: offline
        self.heard = False  # a packet has come after CONNACK: the client knows that it has this session
        self.offline_since = 0  # ms
        self.takeovers: list[int] = []  # when (ms), during the last minute
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

    @property
    def is_unheard_of(self) -> bool:
        """Whether the client may never have received CONNACK for this session, and nothing is in it."""
        session = self.session
        return not (self.heard or self.subscriptions or session.inbound or session.messages)

    @property
    def unsent(self) -> int:
        """Messages accepted for the client and not sent yet."""
        return self.session.next - self.session.sent

    def __str__(self) -> str:
        where = " at " + self.peer.address if self.peer else " (offline)"
        return ascii(self.client_id.decode()) + where
