"""Bugs in what is sent again, in which order, under which identifier, and how much at once."""

from typing import Any

from mqttlite.broker.clients import queue
from mqttlite.core import session as core
from mqttlite.core import session_host
from mqttlite.core.client import ClientProtocol
from mqttlite.core.session import Session
from mqttlite.core.session_host import HostSession

from .planting import Change, Given, all_of, around, text, value
from .settings import window_at_broker


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


CHANGES: dict[str, Change | Given] = {
    "new identifier on resend": around(Session, "connected", _under_new_identifiers),
    "identifiers are reused": all_of(
        value(core, "SPAN", 4),
        value(session_host, "SPAN", 4),
        value(queue, "SPAN", 4),
        value(Session, "span", property(lambda self: 65535, lambda self, value: None)),
    ),
    "no DUP": value(core, "repeated", lambda head: head),
    "DUP is forgotten with the process": text(
        Session.load, {"self.sent_before = self.next": "self.sent_before = self.first"}
    ),
    "order reversed on resend": around(Session, "connected", _the_last_first),
    "order reversed by a restart": text(
        Session.load,
        {"= state.messages": "= dict(zip(sorted(state.messages, reverse=True), state.messages.values()))"},
    ),
    "what is sent again counts twice": text(
        Session.connected, {"self.unfinished = self.releasing = 0": "self.releasing = 0"}
    ),
    "what is sent again goes out twice": text(
        Session.connected,
        {"self._pump()": "for _ in 1, 2: self.sent = self.first; self.unfinished = 0; self._pump()"},
    ),
    "a new message repeats those before it": all_of(
        text(Session._pump, {"seq = self.sent\n": "seq = self.sent = self.first; self.unfinished = 0\n"}),
        text(HostSession._pump, {"seq = self.sent\n": "seq = self.sent = self.first; self.unfinished = 0\n"}),
    ),
    "the client ignores the window": around(ClientProtocol, "__init__", _with_a_large_window),
    "the broker ignores the window": window_at_broker(1000),
}
