"""Bugs about ends that have lost their memory: identifiers that are used again, sessions and stores that are lost."""

from mqttlite.core import earlier_life
from mqttlite.core import session as core
from mqttlite.core.reused_identifiers import REUSED
from mqttlite.core.session import INBOUND, Session
from mqttlite.store.broker_tables import BrokerTables

from .planting import Bug, row, text, value
from .worlds import LOSE, REUSE, TWO, repeats_without_dup, under

BUGS = [
    Bug(
        "new content under a held identifier is swallowed",
        "A publisher that has lost its memory uses an identifier again, and the broker takes the message for a repeat.",
        "confirmed",
        under(REUSE, "kill producer @ event 32"),
        row(REUSED, core.HELD << 8 | core.PUBLISH2 | core.OTHER, core.HELD << 8 | 0x50),
    ),
    Bug(
        "contents are not compared",
        "As before, because the broker knows nothing of a message's content.",
        "confirmed",
        under(REUSE, "kill producer @ event 32"),
        text(Session.received, {"inbound = self.inbound": "inbound, digest = self.inbound, 0"}),
    ),
    Bug(
        "the digest is forgotten with the process",
        "After a restart, the broker has identifiers, and does not know which contents they stand for.",
        "confirmed",
        under(REUSE, "kill producer @ event 28", "kill broker @ event 35"),
        text(BrokerTables.load, {".held[number & 0xFFFF] = digest": ".held[number & 0xFFFF] = 0"}),
    ),
    Bug(
        "a repeat without DUP is delivered",
        "The broker takes whatever comes without DUP for a new message, and some publishers never set it.",
        "twice",
        under(TWO, "cut before packet 8 reset"),
        row(INBOUND, core.HELD << 8 | core.PUBLISH2, core.TAKEN2 << 8 | core.DELIVER),
        setting=repeats_without_dup,
    ),
    Bug(
        "that identifiers are cleared is stored as something else",
        "After the loss of its store and a restart, a producer releases the identifier of a message on its way.",
        "twice",
        under(LOSE, "lose producer disk @ event 50", "kill producer @ event 86"),
        value(earlier_life, "_CLEARING", 13),
    ),
    Bug(
        "that nothing is to be cleared is stored as something else",
        "After a restart, a producer whose session was a new one releases the identifier of a message on its way.",
        "twice",
        under(TWO, "kill producer @ event 40"),
        value(core, "_CLEARING", 13),
    ),
]
