"""What an application says that only MQTT 5.0 can say. Loaded when it does. Both runtimes."""

from ..core import const
from ..core.features import HOST, STREAM
from ..core.message_properties import encode

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from ..core.events import ConnectFields
    from ..core.message_properties import MessageProperties, Pairs
    from .face import BaseClient
    from .messages import Receipt


def needs_5(client: "BaseClient", what: str) -> None:
    """ValueError unless the client speaks MQTT 5.0."""
    if not client._outgoing.flags & 2:
        if HOST and " " not in what:  # one name
            raise ValueError(what + ' needs MQTT 5.0: write Client(..., version="5.0")')
        raise ValueError(what + ' need MQTT 5.0: write Client(..., version="5.0")')


def connect(
    client: "BaseClient", fields: "ConnectFields", session_expiry_s: "int | None", receive_maximum: int
) -> None:
    """CONNECT with such arguments of Client."""
    needs_5(client, "session_expiry_s and receive_maximum")
    from ..core.wire5 import encode_connect

    protocol = client._life.protocol
    # Announced, and not enforced (docs/decisions/0045): what has arrived is bounded by inbox_max and inbox_bytes.
    protocol.connect_packet = encode_connect(
        *fields,
        receive_maximum=receive_maximum or protocol.session.inbound_max,
        size_max=protocol.announced_max(protocol.parser.size_max) if STREAM else protocol.parser.size_max,
        session_expiry_s=-1 if session_expiry_s is None else session_expiry_s,
    )


async def subscribe(
    client: "BaseClient",
    topic_filter: str,
    qos: int,
    no_local: bool,
    retain_as_published: bool,
    retain_handling: int,
    user_properties: "Pairs | None",
    subscription_identifier: int,
) -> int:
    """As BaseClient.subscribe."""
    needs_5(client, "options of a subscription")
    block = b""
    if HOST:
        from ..core.subscription_options import properties

        block = properties(topic_filter, no_local, user_properties, subscription_identifier)
    qos |= (4 if no_local else 0) | (8 if retain_as_published else 0) | retain_handling << 4
    return await client._ask(topic_filter, qos, block)


async def unsubscribe(client: "BaseClient", topic_filter: str, user_properties: "Pairs") -> None:
    """As BaseClient.unsubscribe."""
    needs_5(client, "user_properties")
    from ..core.message_properties import encode_pairs

    await client._ask(topic_filter, -1, encode_pairs(user_properties))


async def publish(
    client: "BaseClient",
    topic: str,
    payload: bytes,
    qos: int,
    retain: bool,
    key: "tuple[str, int] | None",
    properties: "MessageProperties",
    is_kept: bool,
) -> "Receipt":
    """As BaseClient.publish, or, without `is_kept`, as `enqueue`."""
    if HOST:  # in front: what no version has does not need 5.0
        client._check_properties(properties, payload)
    needs_5(client, " and ".join(properties))
    life = client._life
    outgoing = client._outgoing
    block = encode(properties)
    deadline = 0
    if qos and properties.get("expires_after_s"):
        from . import expiring

        deadline = expiring.outbound(life).now_ms() + 1000 * (properties["expires_after_s"] or 0)
    size = len(topic) + len(payload) + len(block)
    if outgoing.is_full(qos, size):
        await outgoing.wait_for_room(qos, size)
        if deadline:
            expiring.check_time(life, topic, deadline)
    receipt = outgoing.accept(topic, payload, qos, retain, key, block, deadline.to_bytes(6, "big") if deadline else b"")
    if deadline and not receipt.done:
        expiring.look(life, deadline)
    if is_kept and qos and life.store.is_durable:
        await life.commit()
    return receipt
