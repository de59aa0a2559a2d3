"""What queues, streams and all else here work with: the router, the store, counters. Imports delivery."""

from ..clients.broker_store import BrokerStore
from ..clients.client_session import ClientSession
from ..counting.stats import Stats, Watch
from ..limits import Limits
from .delivery import Delivery
from .taker import Lender


class Means:
    """`awake`: clients that may take more of what they read here, and queues in which something has come back."""

    def __init__(
        self, router: Delivery, limits: Limits, stats: Stats, watch: Watch, store: BrokerStore | None = None
    ) -> None:
        self.router = router
        self.limits = limits
        self.stats = stats
        self.watch = watch
        self.store = store
        self.count = 0  # of named queues and streams
        self.awake: dict[ClientSession | Lender, None] = {}

    def note(
        self,
        owner: int,
        kind: int,
        number: int,
        head: bytes = b"",
        payload: bytes = b"",
        extra: bytes = b"",
        waits: bool = False,
    ) -> None:
        """A record for the store (queue_tables.py). `waits`: nothing may tell of it before it is durable."""
        if self.store:
            self.store.note(owner, kind, number, head, payload, extra, waits)

    def is_full(self, held: int, cost: int, fan: int = 1) -> bool:
        """Whether named queues and streams have no room for `cost` bytes more in one that holds `held`: what is below
        its fair share may go on growing, lest one of them takes it all. `fan`: in how many they are to be.
        """
        bound = self.limits.named_bytes
        return self.router.ledger.named + cost * fan > bound and held + cost > bound // max(1, self.count)

    def is_free(self, client: ClientSession, cost: int) -> bool:
        """Whether a message of `cost` bytes could be sent to `client` at once: so nothing waits for it in memory."""
        peer = client.peer
        if peer is None or not peer.writable or peer.has_request:
            return False
        session = client.session
        return (
            session.unfinished < session.window
            and session.sent == session.next
            and not self.router.backpressure.lacks_room(client, cost)
        )
