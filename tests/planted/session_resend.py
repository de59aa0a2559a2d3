"""Bugs in what is sent again, in which order, under which identifier, and how much at once."""

from typing import Any

from mqttlite.core import session as core
from mqttlite.core.client import ClientProtocol
from mqttlite.core.session import Session

from .planting import Bug, around, text, value
from .worlds import ONE, ONE_MANY, TWO, TWO_MANY, under, window_at_broker


def _under_new_identifiers(connected: Any) -> Any:
    def reconnected(self: Session, out: list[bytes], session_present: bool) -> None:
        if session_present:
            for seq in range(self.first, self.sent):
                message = self.messages.get(seq)
                if message and message[0][0] & 6 != core.RELEASED:
                    self.messages[self.next] = self.messages.pop(seq)
                    self.next += 1
        connected(self, out, session_present)

    return reconnected


def _the_last_first(connected: Any) -> Any:
    def reconnected(self: Session, out: list[bytes], session_present: bool) -> None:
        fresh: list[bytes] = []
        connected(self, fresh, session_present)
        while fresh:
            size = 1 if fresh[0][0] == 0x62 else 3  # PUBREL is one piece, PUBLISH are three
            out[:0] = fresh[:size]
            del fresh[:size]
        self.out = out

    return reconnected


def _with_a_large_window(init: Any) -> Any:
    def initialise(self: ClientProtocol, owner: Any, fields: Any, session: Session, *more: Any) -> None:
        session.window = 1000
        init(self, owner, fields, session, *more)

    return initialise


BUGS = [
    Bug(
        "new identifier on resend",
        "After a reconnection, what is unacknowledged is sent under another packet identifier.",
        "identifier",
        under(TWO, "cut before packet 9 close"),
        around(Session, "connected", _under_new_identifiers),
    ),
    Bug(
        "identifiers are reused",
        "The packet identifier of a message that is not finished is given to another.",
        "identifier",
        under(ONE_MANY, "kill broker @ event 50"),
        value(core, "SPAN", 4),
        value(Session, "span", property(lambda self: 65535, lambda self, value: None)),
    ),
    Bug(
        "no DUP",
        "A message that is sent again does not say so.",
        "dup",
        under(ONE, "kill consumer @ event 45"),
        value(core, "repeated", lambda head: head),
    ),
    Bug(
        "DUP is forgotten with the process",
        "After a restart, a message that may have been sent before does not say so.",
        "dup",
        under(ONE, "kill producer @ event 38"),
        text(Session.load, {"self.sent_before = self.next": "self.sent_before = self.first"}),
    ),
    Bug(
        "order reversed on resend",
        "After a reconnection, the last message is sent first.",
        "order",
        under(ONE_MANY, "cut after packet 28 reset"),
        around(Session, "connected", _the_last_first),
    ),
    Bug(
        "order reversed by a restart",
        "A session that is loaded has its messages in the wrong order.",
        "order",
        under(ONE_MANY, "power off broker @ event 93"),
        text(
            Session.load,
            {"= state.messages": "= dict(zip(sorted(state.messages, reverse=True), state.messages.values()))"},
        ),
    ),
    Bug(
        "what is sent again goes out twice",
        "A reconnection repeats each message two times.",
        "repeat",
        under(ONE, "cut consumer close @ event 32"),
        text(
            Session.connected,
            {"self._pump()": "for _ in 1, 2: self.sent = self.first; self.unfinished = 0; self._pump()"},
        ),
    ),
    Bug(
        "a new message repeats those before it",
        "Whenever a message is sent, all that are unacknowledged are sent again.",
        "repeat",
        under(ONE_MANY),
        text(Session._pump, {"seq = self.sent\n": "seq = self.sent = self.first; self.unfinished = 0\n"}),
    ),
    Bug(
        "the client ignores the window",
        "After a long disconnection, the client sends all that it has at once.",
        "window",
        under(ONE_MANY, "power off broker @ event 108"),
        around(ClientProtocol, "__init__", _with_a_large_window),
    ),
    Bug(
        "the broker ignores the window",
        "A consumer gets everything at once.",
        "window",
        under(TWO_MANY, "power off broker @ event 73"),
        window_at_broker(1000),
    ),
]
