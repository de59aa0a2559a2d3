"""A client's session at the broker: the core's session state, its subscriptions, and its connection while it has one.

Persistent sessions live in the broker's store, if it has one. Imports core.session, durable; knows nothing of routing.
"""

from typing import TYPE_CHECKING

from ..core.session import Session
from .durable import SessionStore

if TYPE_CHECKING:
    from .durable import BrokerStore
    from .peer import Peer


class ClientSession:
    """Session state (4.1) of one client identifier [MQTT-3.1.3-2]. `clean`: it ends with its network connection."""

    __slots__ = (
        "behind_bytes",
        "clean",
        "client_id",
        "deferred",
        "heard",
        "mark",
        "marked_at",
        "offline_since",
        "peer",
        "state",
        "store",
        "subscriptions",
        "takeovers",
        "waiting",
    )

    def __init__(self, client_id: bytes, clean: bool, inbound_max: int, durable: "BrokerStore | None" = None) -> None:
        self.client_id = client_id
        self.clean = clean
        self.state = Session(inbound_max=inbound_max)
        self.store: SessionStore | None = None
        if durable and not clean:
            self.store = self.state.store = SessionStore(durable, client_id, self.state)
        self.subscriptions: dict[bytes, int] = {}  # granted QoS by topic filter
        self.peer: Peer | None = None  # None: offline
        self.heard = False  # a packet has come after CONNACK: the client knows that it has this session
        self.offline_since = 0  # ms
        self.takeovers: list[int] = []  # when (ms), during the last minute
        self.deferred: dict[bytes, None] = {}  # filters whose retained messages have yet to be sent
        # Owned by flow.Flow:
        self.behind_bytes = 0  # of messages accepted and not sent; an upper bound while connected
        self.waiting: dict[Peer, None] = {}  # publishers that are not read until this client has caught up
        self.mark: tuple[int, ...] = ()  # how far the client had got ...
        self.marked_at = 0  # ... at this time (ms)

    @property
    def is_unheard_of(self) -> bool:
        """Whether the client may never have received CONNACK for this session, and nothing is in it."""
        state = self.state
        return not (self.heard or self.subscriptions or state.inbound or state.messages)

    @property
    def unsent(self) -> int:
        """Messages accepted for the client and not sent yet."""
        return self.state.next - self.state.sent

    def __str__(self) -> str:
        where = " at " + self.peer.address if self.peer else " (offline)"
        return ascii(self.client_id.decode()) + where
