"""Queues of upstreams that the settings do not name any more. What is in one stays: it was accepted, and its upstream
may come back. But nothing is added to it, or it would be full one day, and hold up who publishes.
"""

import logging
from collections.abc import Iterable

from mqttlite.broker import Broker
from mqttlite.broker.client_session import INSIDE_IDS
from mqttlite.broker.inside import Connection, end_session, session_of, subscribe

log = logging.getLogger("mqttlite.gateway")


def leave(broker: Broker, names: Iterable[str]) -> list[str]:
    """See to all but these; the upstreams for which something is still there."""
    known = set(names)
    found = []
    for client_id in list(broker.engine.sessions):
        name = client_id.removeprefix(INSIDE_IDS).decode()
        if not client_id.startswith(INSIDE_IDS) or name in known or " " in name:  # of no upstream: home/ways.py
            continue
        client = session_of(broker, name)
        if client is None or client.peer is not None:
            continue
        if client.subscriptions:
            connection = Connection(broker, lambda packets: None, lambda why: None)
            connection.connect(name)
            subscribe(connection, [])
            connection.close()
        queued = client.session.queued
        if not queued:
            end_session(broker, name)
            continue
        found.append(name)
        log.warning(
            "upstream %s is not in the settings any more; what was queued for it stays (%d): it goes there when it is "
            "again, and mqttlite ctl remove '%s' deletes it",
            name,
            queued,
            client_id.decode(),
        )
    return found
