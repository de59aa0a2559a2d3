"""Bugs in the rows of the handshakes."""

from typing import Any

from mqttlite.core import session as core
from mqttlite.core.connection import Connection
from mqttlite.core.session import INBOUND, OUTBOUND, Session

from .planting import Bug, Change, around, row, text
from .worlds import ONE, TWO, handler_takes, under


def _no_row_for_what_is_held() -> Change:
    def wrap(disconnected: Any) -> Any:
        def lost(self: Session) -> None:
            if any(value & 15 == core.HELD for value in self.inbound.values()):
                raise KeyError(core.HELD)
            disconnected(self)

        return lost

    return around(Session, "disconnected", wrap)


BUGS = [
    Bug(
        "PUBREC finishes the message",
        "PUBREL is never sent, so the receiver remembers the identifier for ever.",
        "leak",
        under(TWO),
        row(OUTBOUND, core.SENT2 << 8 | 0x50, core.FREE << 8 | core.FINISH),
    ),
    Bug(
        "PUBREL of an unknown identifier is not answered",
        "When PUBCOMP was lost, the sender never gets another.",
        "wait",
        under(TWO, "cut before packet 12 reset"),
        row(INBOUND, core.FREE << 8 | 0x62, core.FREE << 8 | core.NOTHING),
    ),
    Bug(
        "PUBREL of an unknown identifier is an error",
        "When PUBCOMP was lost, every connection ends with the repeated PUBREL.",
        "wait",
        under(TWO, "cut before packet 12 reset"),
        row(INBOUND, core.FREE << 8 | 0x62, None),
    ),
    Bug(
        "a repeat is not answered",
        "When PUBREC was lost, the sender never gets another.",
        "wait",
        under(TWO, "cut before packet 8 reset"),
        row(INBOUND, core.HELD << 8 | core.PUBLISH2_DUP, core.HELD << 8 | core.NOTHING),
    ),
    Bug(
        "a recognised repeat is delivered",
        "The receiver knows the identifier and delivers the repeat all the same.",
        "twice",
        under(TWO, "cut before packet 8 reset"),
        row(INBOUND, core.HELD << 8 | core.PUBLISH2_DUP, core.TAKEN2 << 8 | core.DELIVER),
    ),
    Bug(
        "deliver again at PUBREL",
        "The receiver delivers at PUBLISH (method B) and at PUBREL (method A).",
        "twice",
        under(TWO),
        text(
            Connection._publish,
            {"buf[at + 2 : end]": "buf[at + 2 : end]; self.late = first, topic, payload, packet_id"},
        ),
        text(
            Connection._acknowledgement,
            {"session.released(packet_id)": "self.deliver(*self.late); session.released(packet_id)"},
        ),
    ),
    Bug(
        "the loss of a connection is not foreseen: broker",
        "A QoS 2 message that was received and not released has no state after the end of its connection.",
        "error",
        under(TWO, "cut producer reset @ event 40"),
        _no_row_for_what_is_held(),
    ),
    Bug(
        "the loss of a connection is not foreseen: consumer",
        "The same; the client says that it has a fault, ends, and is started again.",
        "error",
        under(TWO, "cut consumer reset @ event 50"),
        _no_row_for_what_is_held(),
    ),
    Bug(
        "PUBACK is not owed",
        "A QoS 1 message that was handled after its connection was gone is never acknowledged.",
        "leak",
        under(ONE, "cut consumer close @ event 43"),
        row(INBOUND, core.OWED1 << 8 | core.PUBLISH1_DUP, core.OWED1 << 8 | core.NOTHING),
        setting=handler_takes(0.03),
    ),
    Bug(
        "the repeat of what is being handled is ignored",
        "A QoS 2 message whose repeat came while it was being handled is never acknowledged.",
        "leak",
        under(TWO, "cut consumer close @ event 45"),
        row(INBOUND, core.STALE2 << 8 | core.PUBLISH2_DUP, core.STALE2 << 8 | core.NOTHING),
        setting=handler_takes(0.3),
    ),
]
