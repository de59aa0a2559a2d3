"""Sums over all sessions, taken in slices: a look visits some of them, and when all have been visited the sums are of
that walk. So nothing is counted with each message, and no look takes longer because there are many sessions. Imports
client_session, ledger, limits, stats.

On its way it settles their queues (queue.py), and gives each its share of QoS 2 identifiers when all together have too
many.
"""

from ...core.session import WINDOW
from ..clients.client_session import ClientSession
from ..counting.ledger import IDENTIFIER, Ledger
from ..counting.stats import Watch
from ..limits import Limits

SLICE = 1000  # sessions in one look


class Census:
    """`look` once a second. `messages`: in all queues, when they were counted last."""

    def __init__(self, sessions: dict[bytes, ClientSession], ledger: Ledger, limits: Limits, watch: Watch) -> None:
        self.limits = limits
        self.messages = 0
        self._sessions = sessions
        self._ledger = ledger
        self._watch = watch
        self._left: list[ClientSession] = []  # who is to be visited on this walk
        self._messages = 0
        self._identifiers = 0
        self._most = limits.inbound  # identifiers that a session may have

    def look(self, now: int) -> None:
        """Visit the next ones."""
        left = self._left
        if not left:
            left = self._left = list(self._sessions.values())
            self._messages = self._identifiers = 0
        most = self._most
        for client in left[-SLICE:]:
            if self._sessions.get(client.client_id) is not client:
                continue  # it has ended meanwhile, and its account is closed
            session = client.session
            session.settle()
            session.inbound_max = most
            self._messages += session.queued
            self._identifiers += len(session.inbound)
        del left[-SLICE:]
        if not left:
            self.messages = self._messages
            self._share_identifiers(now)

    def _share_identifiers(self, now: int) -> None:
        limits = self.limits
        most = limits.inbound
        self._ledger.identifiers = IDENTIFIER * self._identifiers
        if self._ledger.identifiers > limits.identifiers_bytes:
            most = min(most, max(WINDOW, limits.identifiers_bytes // IDENTIFIER // max(1, len(self._sessions))))
            self._watch.hit("identifiers_bytes", "all clients", f"each may have {most}", now)
        if most != self._most:
            self._most = most
            for client in self._sessions.values():
                client.session.inbound_max = most
