"""Takes away what has expired, without anybody connecting: queued messages that were never sent, and retained ones
[MQTT-3.3.2-5]. Memory and disk get their room back. Imports router and what is below.

A queue says when its first message may expire at the earliest (`Queue.expires_at`), so that nothing is looked at while
nothing is due. What is due is looked for in turns, like all work of the broker.
"""

from collections.abc import Iterator
from itertools import islice

from ..clients.client_session import ClientSession
from ..counting.stats import Stats
from ..messages.extras import NEVER, deadline_of
from ..routing.router import Router

STEP = 16  # messages that are looked at for one of the budget of a turn


class Sweep:
    """`look` once a second."""

    def __init__(self, router: Router, stats: Stats, turn_work: int) -> None:
        self._router = router
        self._stats = stats
        self.turn_work = max(1, turn_work)
        self._search: Iterator[None] | None = None

    @property
    def is_timed(self) -> bool:
        """Whether something may expire."""
        return len(self._router.expiring) > 0 or self._router.retained.expires_at < NEVER

    def look(self) -> bool:
        """Search, as far as a turn allows; whether there is more to do at once."""
        search = self._search = self._search or self._everywhere()
        for _ in islice(search, self.turn_work):
            pass
        if next(search, self) is self:
            self._search = None
            return False
        return True

    def _everywhere(self) -> Iterator[None]:
        router = self._router
        for client in router.expiring.until(router.clock()):
            yield from self._queue(client)
        retained = router.retained
        if retained.expires_at <= router.clock():
            yield from self._retained()

    def _queue(self, client: ClientSession) -> Iterator[None]:
        """What was sent has to be finished [MQTT-4.3.3-7]."""
        session = client.session
        clock = self._router.clock()
        session.expires_at = NEVER  # what comes meanwhile says when
        least = NEVER
        seq = session.sent
        while seq < session.next:
            message = session.messages.get(seq)
            deadline = deadline_of(message[2]) if message else -1
            if deadline > clock:
                least = min(least, deadline)
            elif deadline >= 0 and seq >= session.sent and seq not in session.begun:
                session.drop(seq)
                self._stats.dropped_expired += 1
            seq += 1
            if not seq % STEP:
                yield
        session.expires_at = min(session.expires_at, least)
        if session.expires_at < NEVER:
            self._router.expiring.at(client, session.expires_at)
        self._router.catch_up(client)

    def _retained(self) -> Iterator[None]:
        router = self._router
        retained = router.retained
        clock = router.clock()
        retained.expires_at = NEVER
        least = NEVER
        for number, topic in enumerate(list(retained.timed)):
            message = retained.get(topic)
            deadline = deadline_of(message.extra) if message else -1
            if deadline > clock:
                least = min(least, deadline)
            elif deadline >= 0:
                router.forget_retained(topic)
            if not number % STEP:
                yield
        retained.expires_at = min(retained.expires_at, least)
