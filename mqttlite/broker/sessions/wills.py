"""Wills (3.1.2.5) that wait for their delay (5.0), which is never cut short but by the end of the session. Imports
peer, broker_store.

A will is in the store from CONNECT on, if there is a store: after a `kill -9`, the connection that it stands for is
gone, and its delay begins, or its session has ended. Section and statement numbers are those of 5.0.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple

from ...core.greeting import Connect
from ...core.properties import WILL_DELAY, without
from ...store.tables.broker_tables import WILL, Will
from ..access.guard import ALLOW_ALL, Guard
from ..access.identity import NOBODY, Identity, source
from ..bounds.deadlines import Deadlines
from ..clients.broker_store import BrokerStore
from ..clients.client_session import ClientSession
from ..clients.publishable import Publishable
from ..messages.extras import extra_of, source_of, with_source

log = logging.getLogger("mqttlite.broker")


class Waiting(NamedTuple):
    """A will that is published at `due` (ms), if its session is not resumed before."""

    due: int
    will: Will


def will_of(connect: Connect, clock: int, rights: Publishable | None) -> Will | None:
    """The will of a CONNECT. `rights`: of its client, where there are rules."""
    if not connect.will:
        return None
    topic, payload, qos, retain = connect.will
    block = without(connect.will_properties, WILL_DELAY)
    extra = extra_of(block, clock)
    if rights is not None:
        extra = with_source(extra, rights.source)
    return Will(topic, payload, qos << 1 | retain, connect.will_delay_s, extra)


class Wills:
    """All wills that wait. `publish` takes one. `guard`: who says at that time what may be published."""

    def __init__(
        self, publish: Callable[[Will], None], store: BrokerStore | None, guard: Callable[[], Guard] = lambda: ALLOW_ALL
    ) -> None:
        self._publish_it = publish
        self._store = store
        self._guard = guard
        self.waiting: dict[ClientSession, Waiting] = {}
        self._deadlines: Deadlines[ClientSession] = Deadlines()

    def keep(self, client: ClientSession, will: Will | None) -> None:
        """A connection begins: what was left of an earlier one is not published any more [MQTT-3.1.3-9]; its own will
        is remembered.
        """
        had = self.waiting.pop(client, None) is not None
        if self._store and (will or had or client.has_will):
            self._note(client, will)

    def connection_ended(self, client: ClientSession, will: Will | None, now: int) -> None:
        """`will`: None where it was deleted [MQTT-3.14.4-3]. Of the delay and the end of the session, what comes first
        [MQTT-3.1.3-9].
        """
        if will is None:
            if client.has_will:
                self._note(client, None)
        elif will.delay_s and not client.clean:
            due = now + will.delay_s * 1000
            self.waiting[client] = Waiting(due, will)
            self._deadlines.at(client, due)
        else:
            self._out(client, will)

    def session_ended(self, client: ClientSession) -> None:
        """What waits is published now [MQTT-3.1.2-8]."""
        waiting = self.waiting.pop(client, None)
        if waiting:
            self._publish(waiting.will, client.owner)

    def forget(self, client: ClientSession) -> None:
        """Its client is back before the delay was over [MQTT-3.1.3-9]."""
        self.waiting.pop(client, None)

    def look(self, now: int, wait_ms: int) -> int:
        """Publish what is due; in how many ms to look again, `wait_ms` at most."""
        for client in self._deadlines.until(now + wait_ms):
            waiting = self.waiting.get(client)
            if waiting is None:
                continue
            due, will = waiting
            if due > now:
                wait_ms = min(wait_ms, due - now)
                self._deadlines.at(client, due)
            else:
                del self.waiting[client]
                self._out(client, will)
        return wait_ms

    def _out(self, client: ClientSession, will: Will) -> None:
        if client.has_will:
            self._note(client, None)  # in the commit with the message
        self._publish(will, client.owner)

    def _publish(self, will: Will, owner: Identity | None) -> None:
        """`owner`: of its session. A will that does not say whose it is came when there were no rules: where there are
        some now, it is the owner's, and nobody's where that is not known.
        """
        if not (self._guard().is_open or source_of(will.extra)):
            will = will._replace(extra=with_source(will.extra, source(owner or NOBODY)))
        self._publish_it(will)

    def _note(self, client: ClientSession, will: Will | None) -> None:
        """A session that ends with its connection is not in the store; its will is, under a number of its own."""
        store = self._store
        assert store
        client.has_will = will is not None
        flags, topic, payload, extra = 0, b"", b"", b""
        if will:
            flags, topic, payload, extra = will.delay_s << 3 | will.flags, will.topic, will.payload, will.extra
        if client.store:
            client.store.record(WILL, flags, topic, payload, extra)
        elif client.will_number or will:
            if not client.will_number:
                if not store.has_room(len(topic) + len(payload) + len(extra)):
                    log.warning("%s: no room in the store: its will is lost if the broker is killed", client)
                    client.has_will = False
                    return
                client.will_number = store.new_session()
            store.note(client.will_number, WILL, flags, topic, payload, extra)

    def load(self, kept: dict[int, Will]) -> None:
        """Wills of sessions that have ended with the broker."""
        assert self._store
        for number, will in kept.items():
            self._store.note(number, WILL, 0)
            self._publish(will, None)
