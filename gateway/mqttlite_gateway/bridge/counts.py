"""What became of the messages of an uplink, of the bridge or a sink, and how its queue is: one form for whoever looks.
Imports age, rate, settings.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from mqttlite.broker.clients.client_session import ClientSession
from mqttlite.core.session import EXPIRED, RELEASED

from ..settings.upstream import UpstreamSettings
from .age import Ages
from .rate import Drained


@dataclass
class Counts:
    """Since the start. `acknowledged`: the other side has them; `dropped`: by cause, beside what the broker drops."""

    sent: int = 0
    acknowledged: int = 0
    refused: int = 0
    expired: int = 0
    received: int = 0
    dropped: "Counter[str]" = field(default_factory=Counter)
    drained: Drained = field(default_factory=Drained)

    def finished(self, seq: int, outcome: int) -> None:
        """As Session.on_finished, of the queue."""
        if outcome == EXPIRED:
            self.expired += 1

    def described(
        self,
        settings: UpstreamSettings,
        client: ClientSession | None,
        ages: Ages,
        now_ms: int,
        clock_ms: int,
        has_met: bool,
    ) -> dict[str, Any]:
        """What Uplink.describe has alike of all kinds. `now_ms`: of the counts; `clock_ms`: of the ages; `has_met`: as
        of `in_doubt`.
        """
        session = client.session if client else None
        if session:
            session.settle()
        oldest_ms = ages.oldest_ms(first_of(client), session.next, clock_ms) if client and session else 0
        return {
            "name": settings.name,
            "url": settings.shown_url,
            "queued": session.queued if session else 0,
            "queued_bytes": session.bytes if session else 0,
            "oldest_s": oldest_ms // 1000,
            "in_doubt": in_doubt(client, settings.inflight, has_met),
            "drained_a_second": self.drained.a_second(now_ms),
            "sent": self.sent,
            "acknowledged": self.acknowledged,
            "refused": self.refused,
            "expired": self.expired,
            "dropped": dict(self.dropped + client.dropped if client else self.dropped),
            "received": self.received,
        }


def first_of(client: ClientSession) -> int:
    """The number of the oldest message that waits; of the next one, where none does: the last may have been dropped."""
    session = client.session
    return session.first if session.queued else session.next


def in_doubt(client: ClientSession | None, inflight: int, has_met: bool) -> dict[str, int]:
    """How many messages are between two packets: sent and not acknowledged, released and not confirmed; after a
    restart, as many as may be. `inflight`: how many there are at most. `has_met`: whether the session has ever been
    joined with the other side; before that nothing of it was sent.
    """
    found = {"sent": 0, "released": 0}
    if client is not None and has_met:
        session = client.session
        begun = max(session.sent, min(session.sent_before, session.next, session.first + inflight))
        for seq in range(session.first, begun):
            message = session.messages.get(seq)
            if message is not None:
                found["released" if message[0][0] & 6 == RELEASED else "sent"] += 1
    return found
