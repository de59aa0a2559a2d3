"""Bytes that stand: read from a connection and not done yet, written to it and not gone yet. Where all of them take too
much, the connection with most ends for the others. Imports router, peer, limits, stats.

Both are counted when somebody looks: what was read, after each turn that leaves something of it; what was written, when
the shell says that not all of it has left, and once a second after that.
"""

import logging
from collections.abc import Callable

from ..clients.peer import Peer
from ..counting.stats import Watch
from ..limits import Limits
from ..routing.router import Router


class Buffers:
    """Of `peers`. `close(peer, why, level)` ends one; `look_at(peer)`: its deadline may have come nearer."""

    def __init__(
        self,
        limits: Limits,
        watch: Watch,
        router: Router,
        peers: dict[Peer, None],
        close: Callable[[Peer, str, int], None],
        look_at: Callable[[Peer], None],
    ) -> None:
        self._limits = limits
        self._ledger = router.ledger
        self._watch = watch
        self._router = router
        self._peers = peers
        self._close = close
        self._look_at = look_at
        self.cut_off: list[Peer] = []  # closed, and what was written to them is to be thrown away at once
        self.unwritable: dict[Peer, None] = {}  # whose write buffer is above its limit
        self._standing: dict[Peer, None] = {}  # of whose output the ledger has something

    def count_received(self, peer: Peer, now: int) -> None:
        """Something waits in `peer`, or did when it was looked at last."""
        waiting = peer.waiting_bytes
        self._ledger.received += waiting - peer.received
        peer.received = waiting
        had = peer.packet_had
        if not had or peer.received_at >= now:  # another packet than the one that was not complete before
            peer.packet_at, peer.packet_had = now, peer.incomplete
            if not had and peer.packet_had:
                self._look_at(peer)
        if self._ledger.received > self._limits.received_bytes:
            most = max(self._peers, key=lambda each: each.received)
            self._watch.hit("received_bytes", most, "sends more than there is room for: closed", now)
            why = "half received or held back packets of all clients take too much, and it has most"
            self._close(most, why, logging.INFO)

    def count_output(self, peer: Peer) -> None:
        """Something that was written to `peer` has not left."""
        if peer.closed_because:
            return
        self.stand(peer, peer.unwritten())
        if self._ledger.output > self._limits.output_bytes:
            most = max(self._peers, key=lambda each: each.standing, default=peer)
            if most.standing:
                # Now, and with its output: the shell may be about to write to a thousand others.
                self._watch.hit("output_bytes", most, "does not take its output: closed", self._router.now)
                self.cut_off.append(most)
                self._close(most, "the output of all clients takes too much, and it has most", logging.WARNING)

    def stand(self, peer: Peer, size: int) -> None:
        """So much of the output of `peer` has not left."""
        self._ledger.output += size - peer.standing
        peer.standing = size
        if size:
            self._standing[peer] = None
        else:
            self._standing.pop(peer, None)

    def set_writable(self, peer: Peer, writable: bool, now: int) -> None:
        """Its write buffer went above its limit, or below it again."""
        peer.writable = writable
        if writable:
            self.unwritable.pop(peer, None)
            self.stand(peer, 0)
            return
        peer.mark = peer.taken()
        peer.marked_at = now
        if not peer.closed_because:
            self.unwritable[peer] = None
            self.count_output(peer)

    def forget(self, peer: Peer) -> None:
        """The connection has ended."""
        self.unwritable.pop(peer, None)
        self._ledger.received -= peer.received
        peer.received = 0
        self.stand(peer, 0)

    def look(self) -> None:
        """Once a second: some of it may have left."""
        for peer in list(self._standing):
            if peer.writable:
                self.stand(peer, peer.unwritten())
