"""Users or rules have changed while the broker runs: what becomes of connections, sessions and routes. Imports sessions
and what is below; engine.py calls it.

- A connection whose user is gone is closed; another one has the groups that its user has now, and its right to publish
  is asked for again, topic by topic.
- A session stays with the one to whom it belongs. What it has subscribed to stays, too: routes are made again, without
  those who may not receive their topics, and with them again when they may.
"""

from .access.guard import Guard
from .peer import Peer
from .rights import give_rights
from .sessions import Sessions


def take(engine: Sessions, guard: Guard) -> list[Peer]:
    """`guard` says from now on who may what; those whose connections have to end for it."""
    router = engine.router
    router.guard = guard
    gone: list[Peer] = []
    for client in list(engine.sessions.values()):
        peer = client.peer
        if client.owner is not None:
            client.owner = guard.known(client.owner)
        if peer is None:
            continue
        identity = guard.known(peer.identity)
        if identity is None or not guard.stays(peer.identity):
            gone.append(peer)
            continue
        peer.identity = client.owner = identity
        give_rights(peer, guard, engine.check_topic, engine.ledger, engine.limits)
    router.forget_routes()
    return gone
