"""Bugs in what the broker waits for, keeps, resumes and queues."""

import asyncio
from functools import partial
from typing import Any

from mqttlite.broker.clients.broker_store import BrokerStore
from mqttlite.broker.clients.client_session import ClientSession
from mqttlite.broker.clients.queue import Queue
from mqttlite.broker.connections.commit_gate import CommitGate
from mqttlite.broker.engine import Engine
from mqttlite.broker.limits import Limits
from mqttlite.broker.routing.router import Router
from mqttlite.core import records as r
from mqttlite.core.session import Session
from mqttlite.sim import scene
from mqttlite.store.tables import broker_blocks

from .planting import Change, Given, around, text, value
from .settings import few_identifiers, short_queue


def _with_a_commit_of_its_own(note: Any) -> Any:
    def noted(self: BrokerStore, session: int, kind: int, *args: Any, waits: bool = True) -> None:
        if kind == r.HELD:
            asyncio.get_running_loop().call_later(0.005, note, self, session, kind, *args)
        else:
            note(self, session, kind, *args, waits=waits)

    return noted


def _drop_when_full(count: int) -> Change:
    def wrap(publish: Any) -> Any:
        def published(self: Router, publisher: Any, flags: int, topic: bytes, payload: bytes, **more: Any) -> int:
            clients = self._routes[topic].clients
            if any(client.session.room < client.hold_room + 100 for client in clients):
                self._stats.dropped_queue_full += count
            else:
                publish(self, publisher, flags, topic, payload, **more)
            return 0

        return published

    return around(Router, "publish", wrap)


CHANGES: dict[str, Change | Given] = {
    "acknowledge before commit": value(CommitGate, "is_closed", False),
    "the gate forgets what it waits for": text(
        CommitGate._pass, {"store.commit()": "store.commit(); waiting += self._waiting; self._waiting.clear()"}
    ),
    "PUBCOMP passes the gate": Given(
        few_identifiers, text(ClientSession.tells_nothing, {"self.store is None and ": ""})
    ),
    "SUBACK before commit": text(BrokerStore.note, {"if waits": f"if waits and kind not in ({r.SUBSCRIBED}, BEGUN)"}),
    "sessions are not resumed": text(Engine._resume, {"clean or client.clean": "True or client.clean"}),
    "the received identifier has a commit of its own": around(BrokerStore, "note", _with_a_commit_of_its_own),
    "received identifiers are forgotten": text(Session.load, {"in state.held": "in ()"}),
    "the broker forgets what was released": value(broker_blocks, "released", lambda head: head),
    "subscriptions are not stored": text(BrokerStore.note, {"self._take(": f"kind == {r.SUBSCRIBED} or self._take("}),
    "nothing is queued for who is offline": around(
        Queue, "publish", lambda publish: lambda self, *message: self.out is None or publish(self, *message)
    ),
    "dropped when the queue is full": Given(short_queue, _drop_when_full(0)),
    "dropped and counted when the queue is full": Given(short_queue, _drop_when_full(1)),
    "a queue without room": value(scene, "Limits", partial(Limits, queue_bytes=50)),
}
