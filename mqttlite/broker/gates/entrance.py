"""Network connections as they open: how many there may be, of one address and in all, and who makes room for others.
Imports addresses, rates, peer, limits, stats.

- Too many in a second are closed at once. In all, those addresses have the last half of what there is that have not
  come lately: a flood from a few does not keep the others out.
- Of connections without CONNECT, the oldest of the address with most of them goes before a newcomer is refused, once it
  has had `half_open_ms`; at once, where there is no connection left.
- At the end of `connections`, one goes of the address with most of them: without CONNECT, then without subscriptions
  and never heard of after CONNECT, then silent for longest. A newcomer from that very address gets no more room than an
  idle one of its own leaves.
"""

from collections.abc import Callable, Iterable

from ..bounds.addresses import is_local
from ..bounds.rates import Rate
from ..clients.peer import Peer
from ..counting.stats import Watch
from ..limits import Limits

BURST_S = 10  # an access point that was away, or a broker: all its clients come at once


class Entrance:
    """`close(peer, why)` ends a connection."""

    def __init__(self, limits: Limits, watch: Watch, close: Callable[[Peer, str], None]) -> None:
        self._limits = limits
        self._watch = watch
        self._close = close
        self.take_limits()
        self.connections: dict[str, dict[Peer, None]] = {}  # by address, the oldest first
        self.half_open: dict[Peer, None] = {}  # those without CONNECT, the oldest first ...
        self._half_open: dict[str, dict[Peer, None]] = {}  # ... and by address
        self.count = 0

    def take_limits(self) -> None:
        """The limits are others: counting begins anew."""
        each, all_ = self._limits.connects_per_address, self._limits.connects_a_second
        self._rate = Rate(60 * each, BURST_S * each)
        self._rate_of_all = Rate(60 * all_, all_)

    # -- a connection opens

    def refusal(self, peer: Peer, now: int) -> str:
        """Why `peer` cannot stay; "": it can, and others may have been closed for it."""
        key = peer.origin
        return self._too_often(peer, key, now) or self._too_many(peer, key, now)

    def _too_often(self, peer: Peer, key: str, now: int) -> str:
        limits = self._limits
        if is_local(key):
            return ""
        if limits.connects_per_address and not self._rate.take(key, now):
            self._watch.hit("connects_per_address", peer.address, "connection closed", now)
            return "its address connects too often"
        if limits.connects_a_second:
            left = self._rate_of_all.left("", now)
            is_first = self._rate.left(key, now) >= BURST_S * limits.connects_per_address - 1
            if left <= 0 or (2 * left <= limits.connects_a_second and not is_first):
                self._watch.hit("connects_a_second", peer.address, "connection closed", now)
                return "too many connections in a second"
            self._rate_of_all.owe("", now, 1)
        return ""

    def _too_many(self, peer: Peer, key: str, now: int) -> str:
        limits = self._limits
        own = self.connections.get(key, {})
        most = limits.connections_per_address
        if most and len(own) >= most and not is_local(key):
            idle = self._idle(own, now)
            if idle is None:
                self._watch.hit("connections_per_address", peer.address, f"connection closed, above {most}", now)
                return "too many connections of its address"
            self._give_way(idle, "connections_per_address", peer, now)
        if self.count >= limits.connections:
            spare = self._spare(key, now)
            if spare is None:
                self._watch.hit("connections", peer.address, f"connection closed, above {limits.connections}", now)
                return "too many connections"
            self._give_way(spare, "connections", peer, now)
        return ""

    def _give_way(self, spare: Peer, limit: str, newcomer: Peer, now: int) -> None:
        self._watch.hit(limit, spare, f"closed, to let {newcomer.address} in", now)
        self._close(spare, f"it makes room for {newcomer.address} ({limit})")

    def entered(self, peer: Peer, now: int) -> None:
        """`peer` stays, without CONNECT until now."""
        key = peer.origin
        self.count += 1
        self.connections.setdefault(key, {})[peer] = None
        self.half_open[peer] = None
        own = self._half_open.setdefault(key, {})
        own[peer] = None
        limits = self._limits
        while len(self.half_open) > limits.half_open and self._end_oldest(_most(self._half_open), "half_open", now):
            pass
        if not is_local(key):
            while len(own) > limits.half_open_per_address and self._end_oldest(own, "half_open_per_address", now):
                pass

    def _end_oldest(self, of: dict[Peer, None], limit: str, now: int) -> bool:
        oldest = next(iter(of))
        if now - oldest.opened_at < self._limits.half_open_ms:
            return False
        most = getattr(self._limits, limit)
        self._watch.hit(limit, oldest.address, f"connection without CONNECT closed, above {most}", now)
        self._close(oldest, "no CONNECT, and others want to connect")
        return True

    # -- who makes room

    def _spare(self, key: str, now: int) -> Peer | None:
        """Whose connection ends for a newcomer from `key`; None: nobody's."""
        if len(self.half_open) > self._limits.half_open:
            return next(iter(_most(self._half_open)))
        fullest = _most(self.connections)
        if self._is_fuller(fullest, key):
            return min(fullest, key=_worth)
        return self._idle(self.connections.get(key, {}), now)

    def _is_fuller(self, other: dict[Peer, None], key: str) -> bool:
        """Whether `other`, another address, has more than `key` would have."""
        own = self.connections.get(key, {})
        return other is not own and len(other) > len(own) + 1

    def _idle(self, own: Iterable[Peer], now: int) -> Peer | None:
        least = min(own, key=_worth, default=None)
        if least is None or (least.client and now - least.received_at < self._limits.half_open_ms):
            return None
        return least

    # -- what becomes of it

    def asked(self, peer: Peer) -> None:
        """Its CONNECT has come, and takes time to be answered: how many wait for that has bounds of its own."""
        self._is_no_more_half_open(peer)

    def connected(self, peer: Peer, now: int) -> None:
        """Its CONNECT is accepted."""
        peer.connected_at = now
        self._is_no_more_half_open(peer)

    def _is_no_more_half_open(self, peer: Peer) -> None:
        if peer in self.half_open:
            del self.half_open[peer]
            own = self._half_open[peer.origin]
            del own[peer]
            if not own:
                del self._half_open[peer.origin]

    def left(self, peer: Peer) -> None:
        """It is closed."""
        self._is_no_more_half_open(peer)
        own = self.connections.get(peer.origin)
        if own and peer in own:
            del own[peer]
            self.count -= 1
            if not own:
                del self.connections[peer.origin]


def _most(by_key: dict[str, dict[Peer, None]]) -> dict[Peer, None]:
    return max(by_key.values(), key=len, default={})


def _worth(peer: Peer) -> tuple[bool, bool, bool, int]:
    client = peer.client
    if client is None:
        return False, False, False, peer.opened_at
    return True, bool(client.subscriptions), peer.received_at > peer.connected_at, peer.received_at
