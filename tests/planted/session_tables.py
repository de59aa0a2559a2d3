"""Bugs in the rows of the handshakes."""

from typing import Any

from mqttlite.core import session as core
from mqttlite.core.connection import Connection
from mqttlite.core.session import INBOUND, OUTBOUND, Session

from .register import Patch, mutation
from .worlds import ONE, TWO, handler_takes


@mutation(
    "PUBREC finishes the message",
    "PUBREL is never sent, so the receiver remembers the identifier for ever.",
    "leak",
    TWO,
)
def _(patch: Patch) -> None:
    patch.row(OUTBOUND, core.SENT2 << 8 | 0x50, core.FREE << 8 | core.FINISH)


@mutation(
    "PUBREL of an unknown identifier is not answered",
    "When PUBCOMP was lost, the sender never gets another.",
    "wait",
    TWO,
    "cut before packet 12 reset",
)
def _(patch: Patch) -> None:
    patch.row(INBOUND, core.FREE << 8 | 0x62, core.FREE << 8 | core.NOTHING)


@mutation(
    "PUBREL of an unknown identifier is an error",
    "When PUBCOMP was lost, every connection ends with the repeated PUBREL.",
    "wait",
    TWO,
    "cut before packet 12 reset",
)
def _(patch: Patch) -> None:
    patch.row(INBOUND, core.FREE << 8 | 0x62, None)


@mutation(
    "a repeat is not answered",
    "When PUBREC was lost, the sender never gets another.",
    "wait",
    TWO,
    "cut before packet 8 reset",
)
def _(patch: Patch) -> None:
    patch.row(INBOUND, core.HELD << 8 | core.PUBLISH2_DUP, core.HELD << 8 | core.NOTHING)


@mutation(
    "a recognised repeat is delivered",
    "The receiver knows the identifier and delivers the repeat all the same.",
    "twice",
    TWO,
    "cut before packet 8 reset",
)
def _(patch: Patch) -> None:
    patch.row(INBOUND, core.HELD << 8 | core.PUBLISH2_DUP, core.TAKEN2 << 8 | core.DELIVER)


@mutation(
    "deliver again at PUBREL",
    "The receiver delivers at PUBLISH (method B) and at PUBREL (method A).",
    "twice",
    TWO,
)
def _(patch: Patch) -> None:
    def publishing(publish: Any) -> Any:
        def published(self: Any, session: Session, first: int, buf: bytes, start: int, end: int) -> None:
            publish(self, session, first, buf, start, end)
            at = start + 2 + (buf[start] << 8 | buf[start + 1])
            if first & 4:
                packet_id = buf[at] << 8 | buf[at + 1]
                self.late = {packet_id: (first, bytes(buf[start + 2 : at]), bytes(buf[at + 2 : end]))}

        return published

    def releasing(acknowledgement: Any) -> Any:
        def released(self: Any, session: Session, first: int, buf: bytes, start: int, end: int) -> None:
            packet_id = buf[start] << 8 | buf[start + 1]
            kept = getattr(self, "late", {}).pop(packet_id, None)
            if first == 0x62 and kept:
                self.deliver(*kept, packet_id)
            acknowledgement(self, session, first, buf, start, end)

        return released

    patch.around(Connection, "_publish", publishing)
    patch.around(Connection, "_acknowledgement", releasing)


@mutation(
    "the loss of a connection is not foreseen: broker",
    "A QoS 2 message that was received and not released has no state after the end of its connection.",
    "error",
    TWO,
    "cut producer reset @ event 40",
)
def _(patch: Patch) -> None:
    patch.around(Session, "disconnected", _unforeseen)


@mutation(
    "the loss of a connection is not foreseen: consumer",
    "The same; the client says that it has a fault, ends, and is started again.",
    "error",
    TWO,
    "cut consumer reset @ event 50",
)
def _(patch: Patch) -> None:
    patch.around(Session, "disconnected", _unforeseen)


def _unforeseen(disconnected: Any) -> Any:
    def lost(self: Session) -> None:
        if any(value & 15 == core.HELD for value in self.inbound.values()):
            raise KeyError(core.HELD)
        disconnected(self)

    return lost


@mutation(
    "PUBACK is not owed",
    "A QoS 1 message that was handled after its connection was gone is never acknowledged.",
    "leak",
    ONE,
    "cut consumer close @ event 43",
    setting=handler_takes(0.03),
)
def _(patch: Patch) -> None:
    patch.row(INBOUND, core.OWED1 << 8 | core.PUBLISH1_DUP, core.OWED1 << 8 | core.NOTHING)


@mutation(
    "the repeat of what is being handled is ignored",
    "A QoS 2 message whose repeat came while it was being handled is never acknowledged.",
    "leak",
    TWO,
    "cut consumer close @ event 45",
    setting=handler_takes(0.3),
)
def _(patch: Patch) -> None:
    patch.row(INBOUND, core.STALE2 << 8 | core.PUBLISH2_DUP, core.STALE2 << 8 | core.NOTHING)
