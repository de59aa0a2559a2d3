"""A message that arrived and was larger than the client's `size_max`: counted, told, and acknowledged in its turn.
Loaded with the first one. Both runtimes.
"""

from ..core import const
from .messages import Message

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .base import BaseClient


def tell(client: "BaseClient", first: int, topic: str, size: int, packet_id: int, generation: int) -> None:
    """Tell whoever asks, and put what acknowledges it where the message would be: acknowledgements keep the order of
    arrival [MQTT-4.6.0-2] [MQTT-4.6.0-3].
    """
    if client._error:
        return  # not handled, so not acknowledged
    client.oversized += 1
    client._log(
        "a message of %d bytes to '%s' is larger than size_max=%d: read past and acknowledged, not delivered"
        % (size, topic, client._protocol.parser.size_max)
    )
    if packet_id:
        message = Message(topic, b"", first, packet_id, generation)
        message._is_handled = True
        client._inbox.append(message)
    if client.on_oversized:
        client.on_oversized(topic, size)
