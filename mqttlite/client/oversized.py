"""A message that arrived and was larger than the client's `size_max`: counted, told, and acknowledged in its turn.
Loaded with the first one. Both runtimes.
"""

from ..core import const
from .messages import Message

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Callable

    from .life import Life


def tell(
    life: "Life",
    inbox: "list[Message]",
    on_oversized: "Callable[[str, int], None] | None",
    first: int,
    topic: bytes,
    size: int,
    packet_id: int,
    generation: int,
) -> None:
    """Tell whoever asks, and put what acknowledges it where the message would be: acknowledgements keep the order of
    arrival [MQTT-4.6.0-2] [MQTT-4.6.0-3].
    """
    if life.error:
        return  # not handled, so not acknowledged
    life.oversized += 1
    name = str(topic, "utf-8")
    life.log(
        "a message of %d bytes to '%s' is larger than size_max=%d: read past and acknowledged, not delivered"
        % (size, name, life.protocol.parser.size_max)
    )
    if packet_id:
        message = Message(name, b"", first, packet_id, generation)
        message._is_handled = True
        inbox.append(message)
    if on_oversized:
        on_oversized(name, size)
