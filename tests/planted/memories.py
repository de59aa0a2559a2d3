"""Bugs about ends that have lost their memory: identifiers that are used again, sessions and stores that are lost."""

from mqttlite.core import earlier_life
from mqttlite.core import session as core
from mqttlite.core.reused_identifiers import REUSED
from mqttlite.core.session import INBOUND, Session
from mqttlite.store.tables.broker_tables import BrokerTables

from .planting import Change, Given, row, text, value
from .settings import repeats_without_dup

CHANGES: dict[str, Change | Given] = {
    "new content under a held identifier is swallowed": row(
        REUSED, core.HELD << 8 | core.PUBLISH2 | core.OTHER, core.HELD << 8 | 0x50
    ),
    "contents are not compared": text(
        Session.received, {"inbound = self.inbound": "inbound, digest = self.inbound, 0"}
    ),
    "the digest is forgotten with the process": text(
        BrokerTables.load, {".held[number & 0xFFFF] = digest": ".held[number & 0xFFFF] = 0"}
    ),
    "a repeat without DUP is delivered": Given(
        repeats_without_dup, row(INBOUND, core.HELD << 8 | core.PUBLISH2, core.TAKEN2 << 8 | core.DELIVER)
    ),
    "that identifiers are cleared is stored as something else": value(earlier_life, "CLEARING", 13),
    "that nothing is to be cleared is stored as something else": value(core, "CLEARING", 13),
}
