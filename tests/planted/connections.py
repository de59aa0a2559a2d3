"""Bugs in how the client connects, waits, gives up and connects again."""

from typing import Any

from mqttlite.client.connector import Connector
from mqttlite.core.client import ClientProtocol

from .register import Patch, mutation
from .worlds import ONE


@mutation(
    "PUBLISH before CONNACK",
    "The client sends what is published while it waits for CONNACK.",
    "connack",
    ONE,
    "kill producer @ event 37",
)
def _(patch: Patch) -> None:
    def wrap(connect: Any) -> Any:
        def connected(self: ClientProtocol, now: int) -> None:
            connect(self, now)
            self.session.out = self.out
            self.session._pump()

        return connected

    patch.around(ClientProtocol, "connect", wrap)


@mutation(
    "SUBSCRIBE before CONNACK",
    "The client asks for its subscriptions together with CONNECT.",
    "connack",
    ONE,
    "power off broker @ event 32",
)
def _(patch: Patch) -> None:
    def wrap(connect: Any) -> Any:
        def connected(self: ClientProtocol, now: int) -> None:
            connect(self, now)
            self._subscribe_again(False)

        return connected

    patch.around(ClientProtocol, "connect", wrap)


@mutation(
    "keep alive is ignored",
    "The client never asks whether the broker is still there.",
    "wait",
    ONE,
    "power off broker @ event 37",
)
def _(patch: Patch) -> None:
    def wrap(deadline: Any) -> Any:
        return lambda self: None if self.is_connected else deadline(self)

    patch.around(ClientProtocol, "deadline", wrap)


@mutation(
    "CONNACK is waited for without end",
    "The client does not give up a connection on which nothing comes.",
    "wait",
    ONE,
    "cut before packet 2 silence",
)
def _(patch: Patch) -> None:
    def wrap(deadline: Any) -> Any:
        return lambda self: deadline(self) if self.is_connected else None

    patch.around(ClientProtocol, "deadline", wrap)


@mutation(
    "subscriptions are not asked for again",
    "A SUBSCRIBE that was lost with its connection is not repeated.",
    "wait",
    ONE,
    "cut before packet 3 reset",
)
def _(patch: Patch) -> None:
    patch.set(ClientProtocol, "_subscribe_again", lambda self, session_present: None)


@mutation(
    "reconnection without a pause",
    "The client tries again at once, as long as it takes.",
    "loop",
    ONE,
    "fail broker disk 26",
)
def _(patch: Patch) -> None:
    def wrap(pause: Any) -> Any:
        async def paused(self: Connector, ms: int) -> None:
            reconnects = not self.life.is_connected and self.life.protocol.waiting_since is None
            await pause(self, 0 if reconnects else ms)

        return paused

    patch.around(Connector, "pause", wrap)


@mutation(
    "the pause gets shorter",
    "The client waits half as long before each further try.",
    "loop",
    ONE,
    "fail broker disk 26",
)
def _(patch: Patch) -> None:
    def wrap(pause: Any) -> Any:
        async def paused(self: Any, ms: int) -> None:
            if not self.life.is_connected and self.life.protocol.waiting_since is None:
                self.tries = getattr(self, "tries", 0) + 1
                ms = 100 >> self.tries
            await pause(self, ms)

        return paused

    patch.around(Connector, "pause", wrap)


@mutation(
    "bytes of the last connection are kept",
    "What a connection has left of a packet stands before the first packet of the next one.",
    "wait",
    ONE,
    "cut inside packet 6 reset",
)
def _(patch: Patch) -> None:
    def wrap(connect: Any) -> Any:
        def connected(self: ClientProtocol, now: int) -> None:
            parser = self.parser
            connect(self, now)
            self.parser = parser

        return connected

    patch.around(ClientProtocol, "connect", wrap)
