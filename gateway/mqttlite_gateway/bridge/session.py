"""The engine's session of an upstream, as the bridge has to look into it. Imports mapping, relay, settings."""

from collections.abc import Callable

from mqttlite.broker import Broker
from mqttlite.broker.clients.client_session import ClientSession
from mqttlite.broker.connections.turns import now_ms
from mqttlite.broker.inside import session_of
from mqttlite.broker.messages.extras import block_of, properties_of
from mqttlite.broker.routing.delivery import NO_LOCAL, RETAIN_AS_PUBLISHED
from mqttlite.core import session as core
from mqttlite.core.codec import publish_head, topic_of
from mqttlite.core.keys import PROPERTY, unwrap
from mqttlite.core.properties import user_property
from mqttlite.core.records import LOST
from mqttlite.core.session import IN_DOUBT, RELEASED

from ..settings.upstream import Route
from .mapping import ENVELOPE
from .relay import Full, Message

ONCE = 0x10  # Retain Handling: retained messages are sent when the subscription is new
DOUBT = "in doubt: the upstream has lost its session between PUBREC and PUBCOMP, so it may or may not have passed it on"


def options_of(route: Route, is5: bool = True) -> int:
    """Those of a subscription for a route, in the version that is spoken."""
    if not is5:
        return route.qos
    return route.qos | NO_LOCAL | (RETAIN_AS_PUBLISHED if route.retain else 0) | ONCE


def message_of(client: ClientSession, seq: int, clock: int) -> Message:
    """A message of QoS 1 or 2 in the session, as it came."""
    head, payload, extra = client.session.messages[seq]
    qos = 1 if head[0] & 6 == 2 else 2
    return Message(False, topic_of(head), payload, qos, bool(head[0] & 1), block_of(extra, clock, True) or b"")


def content_of(client: ClientSession, packet_id: int, clock: int) -> Message | None:
    """The message that was sent with this identifier, and is not acknowledged."""
    seq = number_of(client, packet_id)
    return message_of(client, seq, clock) if seq in client.session.messages else None


def number_of(client: ClientSession, packet_id: int) -> int:
    """Its sequence number."""
    first = client.session.first
    return first + (packet_id - 1 - first) % core.SPAN


def free_identifier(client: ClientSession) -> int:
    """A packet identifier that no message has, nor will have soon: for SUBSCRIBE at the upstream."""
    session = client.session
    far = (session.sent + core.SPAN // 2) if session.sent - session.first < core.SPAN // 2 else session.first - 1
    return far % core.SPAN + 1


def has_key(payload: bytes, extra: bytes) -> bool:
    """Whether whoever gets the message twice can tell, for it has an idempotency key."""
    if extra and user_property(properties_of(extra), PROPERTY) is not None:
        return True
    return payload.startswith(ENVELOPE) and unwrap(payload) is not None


def has_begun(client: ClientSession) -> bool:
    """Whether there is anything that the upstream has to remember, too."""
    session = client.session
    return bool(session.inbound) or any(each[0][0] & 6 == RELEASED for each in session.messages.values())


def lost_by_upstream(broker: Broker, name: str, set_aside: Callable[[Message, str], None]) -> tuple[int, int]:
    """The upstream has no session any more: its identifiers mean nothing. What it had not acknowledged will be sent as
    new, by itself. Of what was released nobody knows whether it has passed it on: with a key it is sent again, behind
    all that waits; without one it is set aside. How many of either. Full: there is no room for all of that, and this
    has to be called again. The session is not connected.
    """
    client = session_of(broker, name)
    if client is None or not has_begun(client):
        return 0, 0
    assert client.peer is None
    router = broker.engine.router
    router.now = now_ms()
    session = client.session
    released = [seq for seq in sorted(session.messages) if session.messages[seq][0][0] & 6 == RELEASED]
    again = doubtful = 0
    for seq in released:
        head, payload, extra = session.messages[seq]
        if has_key(payload, extra):
            head = publish_head(4 | head[0] & 1, topic_of(head), len(payload))
            if not router.give(client, head, payload, extra):
                raise Full
            again += 1
        else:
            set_aside(message_of(client, seq, router.clock()), DOUBT)
            doubtful += 1
        session._finish(seq, IN_DOUBT)
    if session.inbound:
        session.inbound.clear()
        session._record(LOST, 0)
    return again, doubtful


def give_up(broker: Broker, name: str, seq: int) -> bool:
    """A message that the upstream never takes ends here; whether it did. The session is not connected."""
    client = session_of(broker, name)
    if client is None or client.peer is not None or not client.session.can_be_given_up(seq):
        return False
    client.session.drop(seq)
    return True
