"""Users or rules have changed, while the broker runs or while it did not: what becomes of connections, subscriptions
and messages that are queued. Imports router and what is below.

- A connection whose user is gone is closed; another one has the groups that its user has now, and its right to publish
  is asked for again, topic by topic.
- A session stays with the one to whom it belongs, also when there is no such user any more: then it gets nothing until
  there is one again, or it expires.
- A subscription without a right is suspended: it gets nothing until there is one again. (Its client believes that it
  has it.) All routes are made again, without those who may not receive their topics.
- What is queued is looked at when it leaves: a long queue costs a new rule nothing.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

from ..access.guard import SUBSCRIBE, Guard
from ..access.identity import NOBODY
from ..clients.client_session import ClientSession
from ..clients.peer import Peer
from ..routing.rights import give_rights
from ..routing.router import Router
from ..routing.shares import PREFIX, parted

WORK = 4  # what a subscription is in the budget of a turn


def take(router: Router, clients: Iterable[ClientSession], guard: Guard) -> list[Peer]:
    """`guard` says from now on who may what; those whose connections have to end. Of subscriptions: Suspensions."""
    router.guard = guard
    gone: list[Peer] = []
    for client in clients:
        _recognise(router, client)
        peer = client.peer
        if peer is None:
            continue
        if not client.is_known or not guard.stays(peer.identity):
            gone.append(peer)
        elif client.owner is not None:
            peer.identity = client.owner
            give_rights(peer, guard, router.check_topic, router.ledger, router.limits)
    router.forget_routes()
    return gone


def reconsider(router: Router, client: ClientSession) -> None:
    """The rules are others, or the one to whom a session belongs has got others."""
    _recognise(router, client)
    for _ in _suspend(router, client):
        pass


class Suspensions:
    """Which subscriptions new rules suspend, and which go on: in turns, where there are many. What may not be received
    is in no route meanwhile.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._search: Iterator[None] = iter(())

    def begin(self, clients: Iterable[ClientSession]) -> None:
        """The rules are others: a turn at once, the others with `look`."""
        self._search = self._everywhere(clients)
        self.look()

    def look(self) -> bool:
        """A turn; whether there is more to do."""
        for _ in islice(self._search, max(1, self._router.limits.turn_work // WORK)):
            pass
        return next(self._search, self) is not self

    def _everywhere(self, clients: Iterable[ClientSession]) -> Iterator[None]:
        for client in clients:
            yield from _suspend(self._router, client)


def _recognise(router: Router, client: ClientSession) -> None:
    guard = router.guard
    if client.owner is not None:
        known = guard.known(client.owner)
        client.is_known = known is not None
        client.owner = known or client.owner
    session = client.session
    if session.first < session.next and not guard.is_open:  # some may be on the disk alone
        client.recheck = session.next
        router.form_of(client)


def _suspend(router: Router, client: ClientSession) -> Iterator[None]:
    for topic_filter in list(client.subscriptions):
        guard = router.guard
        wanted = parted(topic_filter)[1] if topic_filter.startswith(PREFIX) else router.collected(topic_filter)
        if not wanted or topic_filter not in client.subscriptions:
            continue  # of a queue that there is not any more; or it has ended
        if client.is_known and (guard.is_open or guard.may(client.owner or NOBODY, SUBSCRIBE, wanted)):
            router.resume(client, topic_filter)
        else:
            router.suspend(client, topic_filter)
        yield
