"""Bugs in what the session tells its store, and in what waits for it."""

import asyncio
from typing import Any

from mqttlite.broker.clients.broker_store import BrokerStore
from mqttlite.client.face import BaseClient
from mqttlite.core import records as r
from mqttlite.core import session as core
from mqttlite.core.session import Session
from mqttlite.core.session_host import HostSession
from mqttlite.store.sqlite import SqliteStore

from .planting import Change, Given, all_of, around, text, value
from .settings import few_identifiers


def _finish_when_sent(pump: Any) -> Any:
    def finish(session: Session, seq: int) -> None:
        if seq in session.messages:
            session._finish(seq, 0)

    def pumped(self: Session) -> None:
        pump(self)
        for seq, message in self.messages.items():
            if seq < self.sent and message[0][0] & 6 == core.SENT1:
                asyncio.get_running_loop().call_soon(finish, self, seq)

    return pumped


CHANGES: dict[str, Change | Given] = {
    "publish returns before the commit": value(BaseClient, "publish", BaseClient.enqueue),
    "packets leave before the commit": value(Session, "wanted", property(lambda self: False, lambda self, value: None)),
    "PUBREL before RELEASED is durable": text(
        Session.must_wait, {"return kind": "return False if kind == RELEASED_RECORD else kind"}
    ),
    "RELEASED is not stored": all_of(
        text(Session.acknowledged, {"self._record(RELEASED_RECORD, seq)": "pass"}),
        text(HostSession.acknowledged_run, {"self._record(RELEASED_RECORD, seq)": "pass"}),
    ),
    "PUBCOMP before FREED is durable": Given(
        few_identifiers, text(Session.must_wait, {"return kind": "return False if kind == FREED else kind"})
    ),
    "FREED is not stored": text(BrokerStore.note, {"self._take(": f"kind == {r.FREED} or self._take("}),
    "DONE is never stored by the broker": text(BrokerStore.note, {"self._take(": f"kind == {r.DONE} or self._take("}),
    "DONE is never stored by the client": text(SqliteStore.record, {"self._take(": f"kind == {r.DONE} or self._take("}),
    "a message is finished when it is sent": all_of(
        around(Session, "_pump", _finish_when_sent), around(HostSession, "_pump", _finish_when_sent)
    ),
}
