"""A message with properties (MQTT 5.0), published. Loaded with the first one. Both runtimes."""

from ..core import const
from ..core.message_properties import encode

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from ..core.message_properties import MessageProperties
    from .life import Life
    from .messages import Receipt
    from .outgoing import Outgoing


async def publish(
    life: "Life",
    outgoing: "Outgoing",
    topic: str,
    payload: bytes,
    qos: int,
    retain: bool,
    key: "tuple[str, int] | None",
    properties: "MessageProperties",
    is_kept: bool,
) -> "Receipt":
    """As BaseClient.publish, or, without `is_kept`, as `enqueue`."""
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
