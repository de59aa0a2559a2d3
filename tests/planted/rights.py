"""Bugs in who may receive what: rules that change while messages are queued, in flight, or while the broker is down."""

from mqttlite.broker.clients.broker_store import SessionStore
from mqttlite.broker.clients.queue import Queue
from mqttlite.broker.routing.delivery import Delivery
from mqttlite.broker.sessions import new_guard, restoring

from .planting import Change, Given, text, value

CHANGES: dict[str, Change | Given] = {
    "what is queued is not looked at again": text(
        new_guard._recognise, {"if session.first < session.next and": "if False and"}
    ),
    "rules that changed while the broker was down are not looked at": text(
        restoring.load, {"new_guard.reconsider(engine.router, client)": "pass"}
    ),
    "a new rule leaves routes as they were": text(new_guard.take, {"router.forget_routes()": "pass"}),
    "what was queued is looked at on one connection only": text(
        Delivery._recheck, {"if session.first >= client.recheck:": "if client.peer:"}
    ),
    "who has been sent a message without a right is never told to let go of it": value(
        Queue, "withdraw", lambda self, seq: None
    ),
    "the owner of a session is not stored": value(SessionStore, "owned", lambda self, owner, is_known=False: None),
}
