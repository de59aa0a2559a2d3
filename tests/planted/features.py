"""Bugs in what only MQTT 5.0 has: message expiry, will delay, session expiry, shared subscriptions, properties."""

from mqttlite.broker.clients.broker_store import BrokerStore, SessionStore
from mqttlite.broker.engine import Engine
from mqttlite.broker.messages import extras
from mqttlite.broker.messages.retained import RetainedMessages
from mqttlite.broker.routing.delivery import Delivery
from mqttlite.broker.routing.router import Router
from mqttlite.broker.routing.shares import Share
from mqttlite.broker.sessions import restoring
from mqttlite.broker.sessions.sessions import Sessions
from mqttlite.broker.sessions.sweep import Sweep
from mqttlite.broker.sessions.wills import Wills

from .planting import Change, Given, all_of, text, value

CHANGES: dict[str, Change | Given] = {
    "the time left is that of the publisher": text(extras.block_of, {"(max(left + 999, 0) // 1000)": "(600)"}),
    "a message expires early": text(extras.extra_of, {"seconds * 1000": "seconds * 10"}),
    "a message is sent when it has expired": all_of(
        text(extras.block_of, {"left <= 0 and not whenever": "left <= -20_000 and not whenever"}),
        value(Sweep, "look", lambda self: False),
    ),
    "the clock is not kept": text(Sessions._keep_clock, {"if self._store and": "if False and"}),
    "a will does not wait": text(Wills.connection_ended, {"will.delay_s and not client.clean": "False"}),
    "a will waits on when its client is back": text(
        Wills.keep, {"had = self.waiting.pop(client, None) is not None": "had = False"}
    ),
    "a will is not stored": text(Wills.keep, {"if self._store and (": "if False and ("}),
    "the expiry interval of a session is not stored": value(SessionStore, "outlives", lambda self, expiry_ms: None),
    "the time of a session begins again with the broker": text(
        restoring.load, {"now - (clock - offline if offline else 0)": "now"}
    ),
    "a session ends with its connection": text(
        Engine._expires_at, {"client.expiry_ms or": "client.expiry_ms and 1 or"}
    ),
    "each member of a share gets a message": text(
        Delivery.to_all,
        {
            "member = client.next(flags >> 1 & 3, barred)": "member = client.next(flags >> 1 & 3);"
            " other = client.next(2); values = [client.members[member]];"
            " other is not member and self.to_one(other, values, publisher, flags, topic, payload, extra)"
        },
    ),
    "a slow member of a share is not passed over": text(Share.next, {"session.unfinished < session.window": "True"}),
    "what a member had is lost with its session": text(Router.end, {"if self._shares:": "if False:"}),
    "properties are not stored": text(SessionStore.record, {"head, payload, key, waits": 'head, payload, b"", waits'}),
    "a retained message has no properties": text(
        RetainedMessages.store, {"Retained(topic, payload, qos, extra)": 'Retained(topic, payload, qos, b"")'}
    ),
    "a retained message is not stored": value(BrokerStore, "retain", lambda self, *message: None),
    "a retained message that expires is not kept": text(
        RetainedMessages.store, {"if not payload:": "if not payload or extra[:1] == b'\\1':"}
    ),
    "a session goes on in the version that it was made in": text(
        Sessions._enter, {"if peer.is5 or client.form or client.recheck:": "if peer.is5 and not client.form:"}
    ),
}
