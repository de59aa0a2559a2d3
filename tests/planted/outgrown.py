"""Bugs with messages that are never taken: by the broker (client/suspects), or by the consumer (core/oversize)."""

from typing import Any

from mqttlite.client import oversized, suspects
from mqttlite.client.connector import Connector
from mqttlite.client.incoming import Incoming
from mqttlite.client.life import Life
from mqttlite.core import oversize, records
from mqttlite.core.client import ClientProtocol
from mqttlite.core.session import ASIDE, Session

from .register import Patch, mutation
from .worlds import LARGE, ONE, POISON


@mutation(
    "one closed connection sets a message aside",
    "A message counts as one that the broker never takes when the broker has ended a connection once.",
    "aside",
    ONE,
    "cut before packet 8 close",
)
def _(patch: Patch) -> None:
    def wrap(connection: Any) -> Any:
        async def ended(self: Connector) -> Exception:
            error: Exception = await connection(self)
            session = self.life.session
            if self.life.is_connected and session.unfinished and suspects.ended_by(error) == 0:
                session._finish(session.first, ASIDE)
            return error

        return ended

    patch.around(Connector, "connection", wrap)


@mutation(
    "what was set aside is forgotten",
    "The store is told that a message is finished when it was set aside.",
    "aside",
    POISON,
)
def _(patch: Patch) -> None:
    def wrap(record: Any) -> Any:
        def recorded(self: Session, kind: int, *rest: Any) -> None:
            record(self, records.DONE if kind == records.DOUBT else kind, *rest)

        return recorded

    patch.around(Session, "_record", wrap)


@mutation(
    "nothing is ever set aside",
    "A message that the broker never takes is sent again and again, and nothing behind it is.",
    "wait",
    POISON,
)
def _(patch: Patch) -> None:
    patch.set(suspects.Judge, "judge", lambda self, error, reason, pause_ms: (reason, pause_ms))


@mutation(
    "a suspicion that ends holds everything back",
    "When the evidence against a message does not agree, nothing is sent any more.",
    "wait",
    POISON,
    "cut producer close @ event 60",
)
def _(patch: Patch) -> None:
    def end(self: suspects.Suspicion, alive: bool) -> None:
        self._judge.suspicion = None

    patch.set(suspects.Suspicion, "end", end)


@mutation(
    "what is too large ends the connection",
    "A consumer closes the connection when a message is larger than it takes; it comes again on the next one.",
    "lost",
    LARGE,
)
def _(patch: Patch) -> None:
    def wrap(connect: Any) -> Any:
        def connected(self: ClientProtocol, now: int) -> None:
            connect(self, now)
            self.parser.skips = False

        return connected

    patch.around(ClientProtocol, "connect", wrap)


@mutation(
    "what is too large is not acknowledged",
    "A message that was read past stays with the broker for ever.",
    "leak",
    LARGE,
)
def _(patch: Patch) -> None:
    def wrap(on_large: Any) -> Any:
        def told(self: Incoming, *args: Any) -> None:
            waiting = len(self.inbox)
            on_large(self, *args)
            del self.inbox[waiting:]

        return told

    patch.around(Incoming, "on_large", wrap)


@mutation(
    "what is too large is acknowledged in silence",
    "Nobody is told that a message was read past.",
    "told",
    LARGE,
)
def _(patch: Patch) -> None:
    def wrap(tell: Any) -> Any:
        def told(life: Life, inbox: Any, on_oversized: Any, *large: Any) -> None:
            tell(life, inbox, None, *large)

        return told

    patch.around(oversized, "tell", wrap)


@mutation(
    "what is too large passes for a repeat",
    "A message that was read past is acknowledged at once, as if it had been handled before.",
    "told",
    LARGE,
)
def _(patch: Patch) -> None:
    def gone_by(client: ClientProtocol) -> None:
        large = client.parser.large
        client.parser.large = None
        if large and client.is_connected and large.packet_id:
            client.session.received(client.parser.first, large.packet_id)
            client.session.handled(large.packet_id, client.session.generation)

    patch.set(oversize, "gone_by", gone_by)
