"""Queues of upstreams that the settings do not name any more. What is in one stays: it was accepted, and its upstream
may come back. But nothing is added to it, or it would be full one day, and hold up who publishes.
"""

import logging
from collections.abc import Iterable

from mqttlite.broker import Broker
from mqttlite.broker.clients.client_session import INSIDE_IDS
from mqttlite.broker.inside import end_session, enrol, session_of
from mqttlite.broker.queues.named_queue import NamedQueue

from ..settings.upstream import DEAD, dead_filter

log = logging.getLogger("mqttlite.gateway")


def leave(broker: Broker, names: Iterable[str]) -> list[str]:
    """See to all but these; the upstreams for which something is still there."""
    known = set(names)
    found: dict[str, None] = {}
    for client_id in list(broker.engine.sessions):
        name = client_id.removeprefix(INSIDE_IDS).decode()
        if not client_id.startswith(INSIDE_IDS) or name in known or " " in name:  # of no upstream: home/ways.py
            continue
        queued = _leave_queue(broker, name)
        if queued:
            found[name] = None
            log.warning(
                "upstream %s is not in the settings any more; what was queued for it stays (%d): it goes there when it "
                "is again, and mqttlite ctl remove '%s' deletes it",
                name,
                queued,
                client_id.decode(),
            )
    for queue in list(broker.engine.depot.queues.values()):
        name = queue.name.decode().removeprefix(DEAD)
        if queue.filter == dead_filter(name).encode() and name not in known and _leave_dead(broker, name, queue):
            found[name] = None
    return list(found)


def _leave_queue(broker: Broker, name: str) -> int:
    """How many messages are there for it."""
    client = session_of(broker, name)
    if client is None or client.peer is not None:
        return 0
    if client.subscriptions:
        enrol(broker, name, [])
    queued = client.session.queued
    if not queued:
        end_session(broker, name)
    return queued


def _leave_dead(broker: Broker, name: str, queue: NamedQueue) -> bool:
    """Whether there is anything that it has refused."""
    if not queue.items:
        broker.engine.depot.delete(queue.name)
        broker.changed()
        return False
    log.warning(
        "upstream %s is not in the settings any more; what it has refused stays (%d): it can be tried again when it "
        "is, a program can take it from $queue/%s, and mqttlite ctl delete queue %s deletes it",
        name,
        len(queue.items),
        queue.name.decode(),
        queue.name.decode(),
    )
    return True
