"""Bugs in what the broker waits for, keeps, resumes and queues."""

import asyncio
from functools import partial
from typing import Any

from mqttlite.broker import server
from mqttlite.broker.broker_store import BrokerStore
from mqttlite.broker.commit_gate import CommitGate
from mqttlite.broker.engine import Engine
from mqttlite.broker.limits import Limits
from mqttlite.broker.queue import Queue
from mqttlite.broker.router import Router
from mqttlite.core import records as r
from mqttlite.core.session import Session
from mqttlite.store import broker_tables

from .planting import Bug, Change, around, text, value
from .worlds import ONE, ONE_MANY, TWO, short_queue, under


def _with_a_commit_of_its_own(note: Any) -> Any:
    def noted(self: BrokerStore, session: int, kind: int, *args: Any) -> None:
        if kind == r.HELD:
            asyncio.get_running_loop().call_later(0.005, note, self, session, kind, *args)
        else:
            note(self, session, kind, *args)

    return noted


def _drop_when_full(count: int) -> Change:
    def wrap(publish: Any) -> Any:
        def published(self: Router, publisher: Any, flags: int, topic: bytes, payload: bytes) -> None:
            clients = self._routes[topic].clients
            if any(client.session.room < client.hold_room + 100 for client in clients):
                self._stats.dropped_queue_full += count
            else:
                publish(self, publisher, flags, topic, payload)

        return published

    return around(Router, "publish", wrap)


BUGS = [
    Bug(
        "acknowledge before commit",
        "The broker's output does not wait for the store.",
        "confirmed",
        under(ONE, "power off broker after disk 68"),
        value(CommitGate, "is_closed", False),
    ),
    Bug(
        "the gate forgets what it waits for",
        "The broker's output passes when a commit ends that does not have its records.",
        "confirmed",
        under(ONE_MANY, "power off broker @ event 202"),
        text(CommitGate._pass, {"store.commit()": "store.commit(); waiting += self._waiting; self._waiting.clear()"}),
    ),
    Bug(
        "SUBACK before commit",
        "The broker confirms a subscription that it forgets with its power.",
        "session",
        under(ONE, "power off broker before disk 68"),
        text(BrokerStore.note, {"kind != r.DONE": "kind not in (r.DONE, r.SUBSCRIBED, BEGUN)"}),
    ),
    Bug(
        "sessions are not resumed",
        "The broker begins a new session with every connection.",
        "session",
        under(ONE, "cut consumer close @ event 32"),
        text(Engine._resume, {"clean or client.clean": "True or client.clean"}),
    ),
    Bug(
        "the received identifier has a commit of its own",
        "The broker stores a message, and later that it has received it.",
        "twice",
        under(TWO, "power off broker @ event 38"),
        around(BrokerStore, "note", _with_a_commit_of_its_own),
    ),
    Bug(
        "received identifiers are forgotten",
        "After a restart, the broker delivers the repeat of a message.",
        "twice",
        under(TWO, "power off broker @ event 38"),
        text(Session.load, {"in state.held": "in ()"}),
    ),
    Bug(
        "the broker forgets what was released",
        "After a restart, the broker publishes again what it has sent PUBREL for.",
        "release",
        under(TWO, "kill broker @ event 56"),
        value(broker_tables, "released", lambda head: head),
    ),
    Bug(
        "subscriptions are not stored",
        "After a restart, the broker routes nothing to a session that it has kept.",
        "lost",
        under(ONE, "power off broker @ event 34"),
        text(BrokerStore.note, {"self._take(": "kind == r.SUBSCRIBED or self._take("}),
    ),
    Bug(
        "nothing is queued for who is offline",
        "A message for a client that is not connected is forgotten.",
        "lost",
        under(ONE, "cut consumer close @ event 32"),
        around(Queue, "publish", lambda publish: lambda self, *message: self.out is None or publish(self, *message)),
    ),
    Bug(
        "dropped when the queue is full",
        "What does not fit the queue of a connected client is dropped, without a word.",
        "lost",
        under(ONE_MANY),
        _drop_when_full(0),
        setting=short_queue,
    ),
    Bug(
        "dropped and counted when the queue is full",
        "What does not fit the queue of a connected client is dropped, although its publisher could wait.",
        "drop",
        under(ONE_MANY),
        _drop_when_full(1),
        setting=short_queue,
    ),
    Bug(
        "a queue without room",
        "The broker has no room for a message in a queue, and says so only in its counters and its log.",
        "drop",
        under(ONE, "cut consumer close @ event 32"),
        value(server, "Limits", partial(Limits, queue_bytes=50)),
    ),
]
