"""What a store has kept of sessions, wills and retained messages, as a broker begins with it. Imports sessions."""

from ...store.tables.broker_tables import CLOCK, BrokerState, Will
from ..access.guard import ALLOW_ALL
from ..access.identity import decoded
from ..clients.broker_store import SessionStore
from ..clients.client_session import ClientSession
from ..messages.extras import NEVER
from . import new_guard
from .sessions import Sessions


def load(engine: Sessions, kept: BrokerState, now: int, wall: int = 0) -> None:
    """Go on from what the store has kept; before anything else. `wall`: the machine's clock (ms), 0 where it has
    none: the broker's goes on from what the store has seen of it, so no deadline comes early.
    """
    engine._at(now)
    store = engine._store
    assert store
    lost: list[tuple[ClientSession, Will]] = []
    clock = max([wall, kept.clock, *(times.offline for times in kept.times.values())])
    engine.router.epoch = clock - now
    store.note(0, CLOCK, clock, waits=False)
    for client_id, (number, state) in kept.sessions.items():
        client = engine.router.session_of(client_id, False)
        client.session.log = engine._reuse_log(client)
        client.store = client.session.store = SessionStore(store, client_id, client.session, number)
        times = kept.times[number]
        client.store.load(times, kept.owners.get(number, b""))
        client.expiry_ms, offline, sent, client.heard = times.expiry_ms, times.offline, times.sent, times.heard == 1
        client.session.load_paged(state, kept.waiting.get(number, []), sent if offline else -1)
        # One that was connected when the broker was killed is offline from now on.
        client.offline_since = now - (clock - offline if offline else 0)
        if not offline:
            client.store.offline(clock)
        engine.sessions[client_id] = client
        engine._expires(client)
        if number in kept.owners:
            client.owner = decoded(kept.owners[number], client_id)
        if any(message[2] for message in state.messages.values()):
            engine.router.form_of(client)
        for topic_filter, qos in state.subscriptions.items():
            engine.router.restore(client, topic_filter, qos)
        client.session.begun = kept.started.get(number, set())
        if client.session.expires_at < NEVER:
            engine.router.expiring.at(client, client.session.expires_at)
        if number in kept.wills:
            client.has_will = True
            lost.append((client, kept.wills[number]))
    for topic, payload, qos, extra in kept.retained:
        engine.router.retained.store(topic, payload, qos, extra)
    numbers = {engine.sessions[client_id]: number for client_id, (number, _) in kept.sessions.items()}
    engine.depot.load(kept.queues, numbers)
    for client in engine.sessions.values() if engine.router.guard is not ALLOW_ALL else ():
        new_guard.reconsider(engine.router, client)
    engine._status.load()
    engine.wills.load({number: will for number, will in kept.wills.items() if number not in kept.times})
    for client, will in lost:
        engine.wills.connection_ended(client, will, client.offline_since)
