"""Bugs with messages that are never taken: by the broker (client/suspects), or by the consumer (core/oversize)."""

from typing import Any

from mqttlite.client import oversized, suspects
from mqttlite.client.connector import Connector
from mqttlite.core import oversize
from mqttlite.core.client import ClientProtocol
from mqttlite.core.session import ASIDE, Session

from .planting import Change, Given, around, text, value


def _one_end_is_evidence(connection: Any) -> Any:
    async def ended(self: Connector) -> Exception:
        error: Exception = await connection(self)
        session = self.life.session
        if self.life.is_connected and session.unfinished and suspects.ended_by(error) == 0:
            session._finish(session.first, ASIDE)
        return error

    return ended


CHANGES: dict[str, Change | Given] = {
    "one closed connection sets a message aside": around(Connector, "connection", _one_end_is_evidence),
    "what was set aside is forgotten": text(Session._finish, {"self._record(DOUBT, seq)": "self._record(DONE, seq)"}),
    "nothing is ever set aside": value(
        suspects.Judge, "judge", lambda self, error, reason, pause_ms: (reason, pause_ms)
    ),
    "a suspicion that ends holds everything back": text(
        suspects.Suspicion.end, {"self._life.session.span = self._span": "return"}
    ),
    "what is too large ends the connection": text(ClientProtocol.connect, {"skips = True": "skips = False"}),
    "what is too large is not acknowledged": text(oversized.tell, {"if packet_id:": "if False:"}),
    "what is too large is acknowledged in silence": text(oversized.tell, {"if on_oversized:": "if False:"}),
    "what is too large passes for a repeat": text(
        oversize.gone_by,
        {
            "client.events.on_large(parser.first, topic, large.size, delivery, session.generation)": "session.handled("
            "large.packet_id, session.generation)"
        },
    ),
}
