"""Bugs in the rows of the handshakes."""

from mqttlite.core import session as core
from mqttlite.core.client_host import HostProtocol
from mqttlite.core.connection import Connection
from mqttlite.core.session import INBOUND, OUTBOUND, Session

from .planting import Change, Given, all_of, row, text
from .settings import handler_takes

# The row is not there: KeyError.
_no_row_for_what_is_held = text(
    Session.disconnected, {"value & 15 <= TAKEN2": "value & 15 <= TAKEN2 or value & 15 == HELD"}
)

CHANGES: dict[str, Change | Given] = {
    "PUBREC finishes the message": row(OUTBOUND, core.SENT2 << 8 | 0x50, core.FREE << 8 | core.FINISH),
    "PUBREL of an unknown identifier is not answered": row(
        INBOUND, core.FREE << 8 | 0x62, core.FREE << 8 | core.NOTHING
    ),
    "PUBREL of an unknown identifier is an error": row(INBOUND, core.FREE << 8 | 0x62, None),
    "a repeat is not answered": row(INBOUND, core.HELD << 8 | core.PUBLISH2_DUP, core.HELD << 8 | core.NOTHING),
    "a recognised repeat is delivered": row(
        INBOUND, core.HELD << 8 | core.PUBLISH2_DUP, core.TAKEN2 << 8 | core.DELIVER
    ),
    "deliver again at PUBREL": all_of(
        text(
            Connection._publish,
            {"buf[at:end]": "buf[at:end]; self.late = first, topic, payload, packet_id, properties"},
        ),
        text(
            Connection._acknowledgement,
            {"self.session.released(": "self.deliver(*self.late); self.session.released("},
        ),
        text(HostProtocol._usual, {"session.released_run(": "self.deliver(*self.late) or session.released_run("}),
        text(
            HostProtocol._known,
            {
                "made.append(": "self.late = first, named[2:], payload, packet_id, b''; made.append(",
                "session.released_run(": "self.deliver(*self.late) or session.released_run(",
            },
        ),
    ),
    "the loss of a connection is not foreseen: broker": _no_row_for_what_is_held,
    "the loss of a connection is not foreseen: consumer": _no_row_for_what_is_held,
    "what was taken over a lost connection passes for new": Given(
        handler_takes(0.03), row(INBOUND, core.TAKEN2 << 8 | core.CUT, core.TAKEN2 << 8 | core.NOTHING)
    ),
    "PUBACK is not owed": Given(
        handler_takes(0.03), row(INBOUND, core.OWED1 << 8 | core.PUBLISH1_DUP, core.OWED1 << 8 | core.NOTHING)
    ),
    "the repeat of what is being handled is ignored": Given(
        handler_takes(0.3), row(INBOUND, core.STALE2 << 8 | core.PUBLISH2_DUP, core.STALE2 << 8 | core.NOTHING)
    ),
}
