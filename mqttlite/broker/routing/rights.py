"""Rights on the way of a message, worked out when a route is made and kept with it: a route has no client in it that
may not receive its topic. What a connection may publish is in publishable.py. Both are thrown away when there is a new
guard (new_guard.py). Imports access, peer, publishable, shares, subscriptions.
"""

from collections.abc import Callable

from ..access.guard import PUBLISH, RECEIVE, Guard
from ..access.identity import NOBODY, Identity, of_source
from ..clients.client_session import ClientSession
from ..clients.peer import Peer
from ..clients.publishable import Publishable
from ..counting.ledger import Ledger
from ..limits import Limits
from ..messages.extras import source_of
from ..topics.subscriptions import Found
from .shares import Share
from .taker import Taker

Barred = frozenset[ClientSession]
SOURCES = 1024  # publishers that are remembered
NOBODY_BARRED: Barred = frozenset()


def may_receive(guard: Guard, client: ClientSession, topic: bytes) -> bool:
    """Whether messages of `topic` may go to the one to whom a session belongs."""
    return client.is_known and guard.may(client.owner or NOBODY, RECEIVE, topic)


def barred_of(guard: Guard, share: Share, topic: bytes) -> Barred:
    """The members of a share that may not receive `topic`."""
    if guard.is_open:
        return NOBODY_BARRED
    return frozenset([member for member in share.members if not may_receive(guard, member, topic)])


def keep_permitted(guard: Guard, found: "Found[ClientSession | Share | Taker]", topic: bytes) -> Barred:
    """Take out of a match who may not receive `topic`; those members of shares for whom the same holds."""
    barred: list[ClientSession] = []
    plain = found.plain
    for client in [each for each in plain if not may_receive(guard, each, topic)]:  # type: ignore[arg-type]
        del plain[client]  # the others are never plain
    for each in list(found.rich):
        if isinstance(each, Share):
            barred += barred_of(guard, each, topic)
        elif isinstance(each, ClientSession) and not may_receive(guard, each, topic):
            del found.rich[each]  # for takers it is asked when they hand out
    return frozenset(barred) if barred else NOBODY_BARRED


class Sources:
    """Who has published retained messages and wills: whether that is still allowed, asked when they go out. Those of
    nobody in particular (of before there were users, of the broker) go out.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, Identity | None] = {}
        self._guard: Guard | None = None

    def permits(self, guard: Guard, extra: bytes, topic: bytes) -> bool:
        """Whether a message with this extra may go out."""
        source = source_of(extra)
        if not source or guard.is_open:
            return True
        if guard is not self._guard or len(self._known) >= SOURCES:
            self._known.clear()
            self._guard = guard
        if source not in self._known:
            self._known[source] = guard.known(of_source(source))
        identity = self._known[source]
        return identity is not None and guard.may(identity, PUBLISH, topic)


def give_rights(peer: Peer, guard: Guard, check: Callable[[bytes], object], ledger: Ledger, limits: Limits) -> None:
    """What `peer` may publish is what `guard` says of its identity from now on. `check`: as Router.check_topic."""
    if peer.rights is not None:
        peer.rights.forget()
        peer.rights = None
    peer.check = check
    if not guard.is_open:
        peer.rights = Publishable(guard, peer.identity, check, ledger, limits)
        peer.check = peer.rights.__getitem__
