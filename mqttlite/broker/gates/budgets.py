"""Bytes by holder (a user, else an address) and in all: who is over its budget pays. Imports addresses, client_session,
peer, ledger, limits, stats.

Each kind of growth has a bound of its own (ledger.py), of a session or connection and of all together. Beside these, a
holder with many of them has one for everything it has, and so has the broker. No sum is kept up to date with each
message: a holder cannot have more than all have together, so as long as that is less than a holder may have, nobody is
looked at; then once a second.

Who is over it: its connections that hold most go, as far as what they hold goes with them; the queues of its sessions
take nothing more until there is room again (what was accepted stays, and new messages are dealt with as their rule
says). When all together are over `memory_bytes`, cached routes go first, then it is the holder with most.
"""

from collections.abc import Callable, Iterable

from ..bounds.addresses import is_local
from ..clients.client_session import ClientSession
from ..clients.peer import Peer
from ..counting.ledger import IDENTIFIER, Ledger
from ..counting.stats import Watch
from ..limits import Limits

Held = dict[str, int]


class Budgets:
    """`close(peer, why)` ends a connection; `forget_routes()` gives up the cached ones."""

    def __init__(
        self,
        limits: Limits,
        ledger: Ledger,
        watch: Watch,
        close: Callable[[Peer, str], None],
        forget_routes: Callable[[], None],
    ) -> None:
        self._limits = limits
        self._ledger = ledger
        self._watch = watch
        self._close = close
        self._forget_routes = forget_routes
        self.full: dict[ClientSession, None] = {}  # sessions whose queues take nothing more

    def look(self, peers: Iterable[Peer], sessions: Iterable[ClientSession], now: int) -> None:
        """Once a second."""
        limits = self._limits
        ledger = self._ledger
        least = min(limits.address_bytes, limits.user_bytes, limits.memory_bytes)
        if ledger.total <= least:
            if self.full:
                self._let_grow()
            return
        if ledger.total > limits.memory_bytes and ledger.routes:
            self._watch.hit("memory_bytes", "all clients", "cached routes are forgotten", now)
            self._forget_routes()
        peers, sessions = list(peers), list(sessions)
        held = _by_holder(peers, sessions)
        is_full = False
        for holder, size in held.items():
            limit = "user_bytes" if holder.startswith("user ") else "address_bytes"
            if size > getattr(limits, limit) and (limit == "user_bytes" or not is_local(holder)):
                is_full = True
                self._reduce(holder, size, limit, peers, sessions, now)
        if ledger.total > limits.memory_bytes and held:
            is_full = True
            most = max(held, key=lambda holder: held[holder])
            self._reduce(most, ledger.total, "memory_bytes", peers, sessions, now)
        if self.full and not is_full:
            self._let_grow()

    def _reduce(
        self, holder: str, size: int, limit: str, peers: list[Peer], sessions: list[ClientSession], now: int
    ) -> None:
        most = getattr(self._limits, limit)
        left = size - most
        for peer in sorted(peers, key=_held_by, reverse=True):
            goes = _held_by(peer)
            if left <= 0 or not goes:
                break
            if holder_of(peer) == holder and not peer.closed_because:
                self._watch.hit(limit, peer, f"closed: it holds {goes} of the {size} bytes of its owner", now)
                self._close(peer, f"what its owner holds takes too much ({limit}), and it has most of it")
                left -= goes
        if left > 0:
            self._watch.hit(limit, holder, f"holds {size} bytes: its queues take nothing more", now)
            for client in sessions:
                if client.holder == holder and client not in self.full:
                    self.full[client] = None
                    session = client.session
                    session.settle()
                    session.size_max -= max(0, session.room)
                    session.room = min(0, session.room)

    def _let_grow(self) -> None:
        for client in self.full:
            client.take_limits(self._limits)
        self.full.clear()

    def ended(self, client: ClientSession) -> None:
        """The session is over."""
        self.full.pop(client, None)


def holder_of(peer: Peer) -> str:
    """Whose a connection is."""
    user = peer.identity.user
    return peer.origin if user is None else f"user {user}"


def _held_by(peer: Peer) -> int:
    """What goes with a connection."""
    client = peer.client
    size = peer.received + peer.standing
    return size + _held_in(client) if client and client.clean else size


def _held_in(client: ClientSession) -> int:
    return client.session.bytes + client.filters_bytes + IDENTIFIER * len(client.session.inbound)


def _by_holder(peers: Iterable[Peer], sessions: Iterable[ClientSession]) -> Held:
    held: Held = {}
    for peer in peers:
        holder = holder_of(peer)
        held[holder] = held.get(holder, 0) + peer.received + peer.standing
    for client in sessions:
        client.session.settle()
        held[client.holder] = held.get(client.holder, 0) + _held_in(client)
    return held
