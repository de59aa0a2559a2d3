"""What a SUBSCRIBE of MQTT 5.0 says besides a topic filter and a QoS (3.8.2.1, 3.8.3.1). Both runtimes, pure functions;
loaded by who says it. Statement numbers are those of 5.0.
"""

from . import const
from .codec import remaining_length
from .errors import ProtocolError
from .message_properties import encode_pairs
from .properties import SUBSCRIPTION_IDENTIFIER

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .message_properties import Pairs

IDENTIFIER_MAX = const(268435455)


def options(
    topic_filter: str,
    no_local: bool,
    retain_as_published: bool,
    retain_handling: int,
    user_properties: "Pairs | None",
    identifier: int,
) -> "tuple[int, bytes]":
    """The subscription's options without QoS, and a block of properties. ProtocolError for what may not be."""
    if no_local and topic_filter[:7] == "$share/":
        raise ProtocolError("MQTT-3.8.3-4", "a shared subscription with no_local")
    if not 0 <= retain_handling <= 2:
        raise ProtocolError("3.8.3.1", "retain_handling is 0, 1 or 2")
    if not 0 <= identifier <= IDENTIFIER_MAX:
        raise ProtocolError("3.8.2.1.2", "subscription_identifier is 1 to 268435455")
    flags = (4 if no_local else 0) | (8 if retain_as_published else 0) | retain_handling << 4
    block = bytes((SUBSCRIPTION_IDENTIFIER,)) + remaining_length(identifier) if identifier else b""
    return flags, block + encode_pairs(user_properties) if user_properties else block
