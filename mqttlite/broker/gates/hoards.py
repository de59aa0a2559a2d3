"""Persistent sessions when there is no room for one more: which of those that are there ends for it. Imports
client_session, limits.

A stranger can make as many as connections, and would keep them for a week. So one goes that is of least worth to
anybody, of the owner (user, else address) with most of them:

1. in which there is nothing, whoever's it is: its client loses nothing;
2. in which nothing is queued, that its client has never come back to; then that it has come back to;
3. in which something is queued, of another owner that has more than the newcomer, or that has been away for an hour.

Within these, the one that has been away for longest. One that is connected never ends.
"""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..clients.client_session import ClientSession

LONG_MS = 3600 * 1000


def spare(sessions: "Iterable[ClientSession]", newcomer: str, now: int) -> "ClientSession | None":
    """Who makes room for a session of `newcomer` (`holder_of`); None: nobody."""
    away = []
    counts: Counter[str] = Counter()
    for client in sessions:
        if client.clean or client.is_inside:
            continue
        if client.peer is None:
            if client.is_empty:
                return client  # they stand in the order in which they came
            away.append(client)
        counts[client.holder] += 1
    most = max(counts.values(), default=0)
    found = [client for client in away if counts[client.holder] >= most]
    chosen = min(found, key=_worth, default=None)
    if chosen is None or not chosen.has_content:
        return chosen
    others = [client for client in found if client.holder != newcomer and counts[client.holder] > counts[newcomer] + 1]
    chosen = min(others, key=_worth, default=None) or min(found, key=_worth)
    if chosen.holder != newcomer and chosen in others:
        return chosen
    return chosen if now - chosen.offline_since >= LONG_MS else None


def _worth(client: "ClientSession") -> tuple[bool, bool, int]:
    return client.has_content, client.returned, client.offline_since
