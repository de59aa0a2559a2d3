"""Bugs about ends that have lost their memory: identifiers that are used again, sessions and stores that are lost."""

from typing import Any

from mqttlite.core import earlier_life
from mqttlite.core import session as core
from mqttlite.core.reused_identifiers import REUSED
from mqttlite.core.session import INBOUND, Session
from mqttlite.store.broker_tables import BrokerTables

from .register import Patch, mutation
from .worlds import LOSE, REUSE, TWO, repeats_without_dup


@mutation(
    "new content under a held identifier is swallowed",
    "A publisher that has lost its memory uses an identifier again, and the broker takes the message for a repeat.",
    "confirmed",
    REUSE,
    "kill producer @ event 32",
)
def _(patch: Patch) -> None:
    patch.row(REUSED, core.HELD << 8 | core.PUBLISH2 | core.OTHER, core.HELD << 8 | 0x50)


@mutation(
    "contents are not compared",
    "As before, because the broker knows nothing of a message's content.",
    "confirmed",
    REUSE,
    "kill producer @ event 32",
)
def _(patch: Patch) -> None:
    patch.around(
        Session, "received", lambda received: lambda self, first, packet_id, _=0: received(self, first, packet_id)
    )


@mutation(
    "the digest is forgotten with the process",
    "After a restart, the broker has identifiers, and does not know which contents they stand for.",
    "confirmed",
    REUSE,
    "kill producer @ event 28",
    "kill broker @ event 35",
)
def _(patch: Patch) -> None:
    def wrap(load: Any) -> Any:
        def loaded(self: BrokerTables, connection: Any) -> Any:
            kept = load(self, connection)
            for _, state in kept.sessions.values():
                state.held = dict.fromkeys(state.held, 0)
            return kept

        return loaded

    patch.around(BrokerTables, "load", wrap)


@mutation(
    "a repeat without DUP is delivered",
    "The broker takes whatever comes without DUP for a new message, and some publishers never set it.",
    "twice",
    TWO,
    "cut before packet 8 reset",
    setting=repeats_without_dup,
)
def _(patch: Patch) -> None:
    patch.row(INBOUND, core.HELD << 8 | core.PUBLISH2, core.TAKEN2 << 8 | core.DELIVER)


@mutation(
    "that identifiers are cleared is stored as something else",
    "After the loss of its store and a restart, a producer releases the identifier of a message that is on its way.",
    "twice",
    LOSE,
    "lose producer disk @ event 50",
    "kill producer @ event 86",
)
def _(patch: Patch) -> None:
    patch.set(earlier_life, "_CLEARING", 13)


@mutation(
    "that nothing is to be cleared is stored as something else",
    "A producer whose session is new to the broker releases, after a restart, the identifier of a message on its way.",
    "twice",
    TWO,
    "kill producer @ event 40",
)
def _(patch: Patch) -> None:
    patch.set(core, "_CLEARING", 13)
