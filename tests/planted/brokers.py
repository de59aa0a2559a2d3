"""Bugs in what the broker waits for, keeps, resumes and queues."""

import asyncio
from functools import partial
from typing import Any

from mqttlite.broker import server
from mqttlite.broker.broker_store import BrokerStore
from mqttlite.broker.commit_gate import CommitGate
from mqttlite.broker.engine import Engine
from mqttlite.broker.limits import Limits
from mqttlite.broker.router import Router
from mqttlite.broker.sessions import Queue
from mqttlite.core import records as r
from mqttlite.core.records import State
from mqttlite.core.session import Session
from mqttlite.store import broker_tables
from mqttlite.store.base import StoreError
from mqttlite.store.broker_tables import BEGUN

from .planting import Patch
from .register import ONE, ONE_MANY, TWO, mutation
from .settings import short_queue
from .taking import not_wanted, unless


@mutation(
    "acknowledge before commit",
    "The broker's output does not wait for the store.",
    "confirmed",
    ONE,
    "power off broker after disk 68",
)
def _(patch: Patch) -> None:
    patch.set(CommitGate, "is_closed", False)


@mutation(
    "the gate forgets what it waits for",
    "The broker's output passes when a commit ends that does not have its records.",
    "confirmed",
    ONE_MANY,
    "power off broker @ event 202",
)
def _(patch: Patch) -> None:
    async def pass_all(self: Any) -> None:
        try:
            self._store.wanted = False
            await self._store.commit()
            waiting, self._waiting = self._waiting, []
            self.bytes = 0
            for write, data, close in waiting:
                write(data, close)
        except StoreError as error:
            self._waiting.clear()
            self._failed(error)
        finally:
            self._task = None

    patch.set(CommitGate, "_pass", pass_all)


@mutation(
    "SUBACK before commit",
    "The broker confirms a subscription that it forgets with its power.",
    "session",
    ONE,
    "power off broker before disk 68",
)
def _(patch: Patch) -> None:
    patch.around(BrokerStore, "note", not_wanted(BEGUN, r.SUBSCRIBED))


@mutation(
    "sessions are not resumed",
    "The broker begins a new session with every connection.",
    "session",
    ONE,
    "cut consumer close @ event 32",
)
def _(patch: Patch) -> None:
    def wrap(resume: Any) -> Any:
        return lambda self, client_id, clean: resume(self, client_id, True)

    patch.around(Engine, "_resume", wrap)


@mutation(
    "the received identifier has a commit of its own",
    "The broker stores a message, and later that it has received it.",
    "twice",
    TWO,
    "power off broker @ event 38",
)
def _(patch: Patch) -> None:
    def wrap(note: Any) -> Any:
        def noted(self: BrokerStore, session: int, kind: int, *args: Any) -> None:
            if kind == r.HELD:
                asyncio.get_running_loop().call_later(0.005, note, self, session, kind, *args)
            else:
                note(self, session, kind, *args)

        return noted

    patch.around(BrokerStore, "note", wrap)


@mutation(
    "received identifiers are forgotten",
    "After a restart, the broker delivers the repeat of a message.",
    "twice",
    TWO,
    "power off broker @ event 38",
)
def _(patch: Patch) -> None:
    def wrap(load: Any) -> Any:
        def loaded(self: Session, state: State) -> None:
            state.held.clear()
            load(self, state)

        return loaded

    patch.around(Session, "load", wrap)


@mutation(
    "the broker forgets what was released",
    "After a restart, the broker publishes again what it has sent PUBREL for.",
    "release",
    TWO,
    "kill broker @ event 56",
)
def _(patch: Patch) -> None:
    patch.set(broker_tables, "released", lambda head: head)


@mutation(
    "subscriptions are not stored",
    "After a restart, the broker routes nothing to a session that it has kept.",
    "lost",
    ONE,
    "power off broker @ event 34",
)
def _(patch: Patch) -> None:
    patch.around(BrokerStore, "note", unless((r.SUBSCRIBED,), 1))


@mutation(
    "nothing is queued for who is offline",
    "A message for a client that is not connected is forgotten.",
    "lost",
    ONE,
    "cut consumer close @ event 32",
)
def _(patch: Patch) -> None:
    def wrap(publish: Any) -> Any:
        return lambda self, *message: self.next if self.out is None else publish(self, *message)

    patch.around(Queue, "publish", wrap)


@mutation(
    "dropped when the queue is full",
    "What does not fit the queue of a connected client is dropped, without a word.",
    "lost",
    ONE_MANY,
    setting=short_queue,
)
def _(patch: Patch) -> None:
    _drop_when_full(patch, 0)


@mutation(
    "dropped and counted when the queue is full",
    "What does not fit the queue of a connected client is dropped, although its publisher could wait.",
    "drop",
    ONE_MANY,
    setting=short_queue,
)
def _(patch: Patch) -> None:
    _drop_when_full(patch, 1)


def _drop_when_full(patch: Patch, count: int) -> None:
    def wrap(publish: Any) -> Any:
        def published(self: Router, publisher: Any, flags: int, topic: bytes, payload: bytes) -> None:
            clients = self._routes[topic].clients
            if any(client.session.room < client.hold_room + 100 for client in clients):
                self._stats.dropped_queue_full += count
            else:
                publish(self, publisher, flags, topic, payload)

        return published

    patch.around(Router, "publish", wrap)


@mutation(
    "a queue without room",
    "The broker has no room for a message in a queue, and says so only in its counters and its log.",
    "drop",
    ONE,
    "cut consumer close @ event 32",
)
def _(patch: Patch) -> None:
    patch.set(server, "Limits", partial(Limits, queue_bytes=50))
