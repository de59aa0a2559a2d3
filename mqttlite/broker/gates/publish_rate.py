"""Messages a second of a client, or of a user with all its clients: off by default. Imports rates, backpressure, peer,
limits, stats.

Nobody is closed for it and nothing is dropped: PUBLISH alone is held back, as it is for a slow subscriber. What came in
one read is taken as it is, up to a turn; then its publishers wait until it is paid for.
"""

from ..bounds.rates import Rate
from ..clients.peer import Peer
from ..clients.publishing import StoreRoom
from ..counting.stats import Watch
from ..limits import Limits
from ..routing.backpressure import Backpressure


class PublishRate:
    """`count` after each turn in which a connection has published."""

    def __init__(self, limits: Limits, backpressure: Backpressure, watch: Watch) -> None:
        self._limits = limits
        self._backpressure = backpressure
        self._watch = watch
        self._held: dict[str, StoreRoom] = {}
        self.take_limits()

    def take_limits(self) -> None:
        """The limits are others: counting begins anew."""
        most = self._limits.publishes_a_second
        self.is_on = most > 0
        self._rate = Rate(60 * most, most)
        self.release(0)

    def count(self, peer: Peer, number: int, now: int) -> None:
        """`peer` has published so many messages."""
        user = peer.identity.user
        key = f"client {peer.client.client_id!a}" if user is None and peer.client else f"user {user}"
        self._rate.owe(key, now, number)
        if self._rate.left(key, now) > 0 or peer.closed_because:
            return
        room = self._held.get(key)
        if room is None:
            room = self._held[key] = StoreRoom()
        if peer not in room.waiting:
            self._backpressure.hold_for(room, peer)
            most = self._limits.publishes_a_second
            self._watch.hit("publishes_a_second", peer, f"its PUBLISH is held back, above {most}", now)

    def release(self, now: int) -> int | None:
        """Those go on that have paid; in how many ms the next ones will have, None: nobody waits."""
        wait_ms = None
        for key in list(self._held):
            left_ms = self._rate.wait_ms(key, now) if self.is_on else 0
            if left_ms <= 0:
                self._backpressure.let_go_on(self._held.pop(key))
            else:
                wait_ms = left_ms if wait_ms is None else min(wait_ms, left_ms)
        return wait_ms
