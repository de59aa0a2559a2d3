"""Bugs in what is sent again, in which order, under which identifier, and how much at once."""

from typing import Any

from mqttlite.core import session as core
from mqttlite.core.client import ClientProtocol
from mqttlite.core.records import State
from mqttlite.core.session import Session

from .register import Patch, mutation
from .worlds import ONE, ONE_MANY, TWO, TWO_MANY, window_at_broker


@mutation(
    "new identifier on resend",
    "After a reconnection, what is unacknowledged is sent under another packet identifier.",
    "identifier",
    TWO,
    "cut before packet 9 close",
)
def _(patch: Patch) -> None:
    def wrap(connected: Any) -> Any:
        def reconnected(self: Session, out: list[bytes], session_present: bool) -> None:
            if session_present:
                for seq in range(self.first, self.sent):
                    message = self.messages.get(seq)
                    if message and message[0][0] & 6 != core.RELEASED:
                        self.messages[self.next] = self.messages.pop(seq)
                        self.next += 1
            connected(self, out, session_present)

        return reconnected

    patch.around(Session, "connected", wrap)


@mutation(
    "identifiers are reused",
    "The packet identifier of a message that is not finished is given to another.",
    "identifier",
    ONE_MANY,
    "kill broker @ event 50",
)
def _(patch: Patch) -> None:
    patch.set(core, "SPAN", 4)
    patch.set(Session, "span", property(lambda self: 65535, lambda self, value: None))


@mutation(
    "no DUP",
    "A message that is sent again does not say so.",
    "dup",
    ONE,
    "kill consumer @ event 45",
)
def _(patch: Patch) -> None:
    patch.set(core, "repeated", lambda head: head)


@mutation(
    "DUP is forgotten with the process",
    "After a restart, a message that may have been sent before does not say so.",
    "dup",
    ONE,
    "kill producer @ event 38",
)
def _(patch: Patch) -> None:
    def wrap(load: Any) -> Any:
        def loaded(self: Session, state: State) -> None:
            load(self, state)
            self.sent_before = self.first

        return loaded

    patch.around(Session, "load", wrap)


@mutation(
    "order reversed on resend",
    "After a reconnection, the last message is sent first.",
    "order",
    ONE_MANY,
    "cut after packet 28 reset",
)
def _(patch: Patch) -> None:
    def wrap(connected: Any) -> Any:
        def reconnected(self: Session, out: list[bytes], session_present: bool) -> None:
            fresh: list[bytes] = []
            connected(self, fresh, session_present)
            groups = []
            while fresh:
                size = 1 if fresh[0][0] == 0x62 else 3
                groups.append(fresh[:size])
                del fresh[:size]
            for group in reversed(groups):
                out += group
            self.out = out

        return reconnected

    patch.around(Session, "connected", wrap)


@mutation(
    "order reversed by a restart",
    "A session that is loaded has its messages in the wrong order.",
    "order",
    ONE_MANY,
    "power off broker @ event 93",
)
def _(patch: Patch) -> None:
    def wrap(load: Any) -> Any:
        def loaded(self: Session, state: State) -> None:
            state.messages = dict(zip(sorted(state.messages, reverse=True), state.messages.values(), strict=True))
            load(self, state)

        return loaded

    patch.around(Session, "load", wrap)


@mutation(
    "what is sent again goes out twice",
    "A reconnection repeats each message two times.",
    "repeat",
    ONE,
    "cut consumer close @ event 32",
)
def _(patch: Patch) -> None:
    def wrap(connected: Any) -> Any:
        def reconnected(self: Session, out: list[bytes], session_present: bool) -> None:
            connected(self, out, session_present)
            if session_present:
                connected(self, out, session_present)

        return reconnected

    patch.around(Session, "connected", wrap)


@mutation(
    "a new message repeats those before it",
    "Whenever a message is sent, all that are unacknowledged are sent again.",
    "repeat",
    ONE_MANY,
)
def _(patch: Patch) -> None:
    def wrap(pump: Any) -> Any:
        def pumped(self: Session) -> None:
            self.sent = self.first
            self.unfinished = 0
            pump(self)

        return pumped

    patch.around(Session, "_pump", wrap)


@mutation(
    "the client ignores the window",
    "After a long disconnection, the client sends all that it has at once.",
    "window",
    ONE_MANY,
    "power off broker @ event 108",
)
def _(patch: Patch) -> None:
    def wrap(init: Any) -> Any:
        def initialise(self: ClientProtocol, owner: Any, fields: Any, session: Session, *sizes: int) -> None:
            session.window = 1000
            init(self, owner, fields, session, *sizes)

        return initialise

    patch.around(ClientProtocol, "__init__", wrap)


@mutation(
    "the broker ignores the window",
    "A consumer gets everything at once.",
    "window",
    TWO_MANY,
    "power off broker @ event 73",
)
def _(patch: Patch) -> None:
    patch.all(window_at_broker(1000))
