"""Bugs in what the session tells its store, and in what waits for it."""

import asyncio
from typing import Any

from mqttlite.broker.broker_store import BrokerStore
from mqttlite.client.base import BaseClient
from mqttlite.core import records as r
from mqttlite.core import session as core
from mqttlite.core.session import Session
from mqttlite.store.sqlite import SqliteStore

from .register import Patch, mutation
from .taking import unannounced, unless
from .worlds import ONE, TWO, TWO_MANY, TWO_TWO, few_identifiers


@mutation(
    "publish returns before the commit",
    "The client accepts a message that only its memory has.",
    "lost",
    ONE,
    "kill producer before disk 70",
)
def _(patch: Patch) -> None:
    patch.set(BaseClient, "publish", BaseClient.enqueue)


@mutation(
    "packets leave before the commit",
    "The client writes PUBLISH and PUBREL while what they tell of is not durable.",
    "release",
    TWO_TWO,
    "kill producer @ event 49",
)
def _(patch: Patch) -> None:
    patch.set(Session, "wanted", property(lambda self: False, lambda self, value: None))


@mutation(
    "PUBREL before RELEASED is durable",
    "The client releases a message before it is durable that it must not be published again.",
    "twice",
    TWO,
    "power off producer @ event 42",
)
def _(patch: Patch) -> None:
    patch.around(Session, "_record", unannounced(r.RELEASED))


@mutation(
    "RELEASED is not stored",
    "After a restart, a message is published again although PUBREL was sent.",
    "twice",
    TWO,
    "kill producer @ event 46",
)
def _(patch: Patch) -> None:
    patch.around(Session, "_record", unless((r.RELEASED,), 0))


@mutation(
    "PUBCOMP before FREED is durable",
    "The consumer completes an exchange and, after a power cut, takes the next message under the identifier for a"
    " repeat.",
    "lost",
    TWO_MANY,
    "power off consumer before disk 247",
    setting=few_identifiers,
)
def _(patch: Patch) -> None:
    patch.around(Session, "_record", unannounced(r.FREED))


@mutation(
    "FREED is not stored",
    "The broker keeps a received identifier after PUBREL.",
    "leak",
    TWO,
)
def _(patch: Patch) -> None:
    patch.around(BrokerStore, "note", unless((r.FREED,), 1))


@mutation(
    "DONE is never stored by the broker",
    "The broker keeps messages that are acknowledged.",
    "leak",
    ONE,
)
def _(patch: Patch) -> None:
    patch.around(BrokerStore, "note", unless((r.DONE,), 1))


@mutation(
    "DONE is never stored by the client",
    "The producer keeps messages that are acknowledged.",
    "leak",
    ONE,
)
def _(patch: Patch) -> None:
    patch.around(SqliteStore, "record", unless((r.DONE,), 0))


@mutation(
    "a message is finished when it is sent",
    "A QoS 1 message is forgotten before PUBACK.",
    "lost",
    ONE,
    "cut before packet 7 reset",
)
def _(patch: Patch) -> None:
    def finish(session: Session, seq: int) -> None:
        if seq in session.messages:
            session._finish(seq, 0)

    def wrap(pump: Any) -> Any:
        def pumped(self: Session) -> None:
            pump(self)
            for seq, message in self.messages.items():
                if seq < self.sent and message[0][0] & 6 == core.SENT1:
                    asyncio.get_running_loop().call_soon(finish, self, seq)

        return pumped

    patch.around(Session, "_pump", wrap)
