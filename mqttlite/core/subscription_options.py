"""The properties of a SUBSCRIBE of MQTT 5.0 (3.8.2.1), and the topic filters of shared subscriptions (4.8.2). Pure
functions; no board loads it.
"""

from . import const
from .codec import remaining_length
from .errors import ProtocolError
from .message_properties import encode_pairs
from .properties import SUBSCRIPTION_IDENTIFIER

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .message_properties import Pairs


def properties(topic_filter: str, no_local: bool, user_properties: "Pairs | None", identifier: int) -> bytes:
    """A block. `identifier`: 1 to 268435455; 0: none. ProtocolError for an option that may not be."""
    if no_local and topic_filter[:7] == "$share/":
        raise ProtocolError("MQTT-3.8.3-4", "a shared subscription with no_local")
    block = bytes((SUBSCRIPTION_IDENTIFIER,)) + remaining_length(identifier) if identifier else b""
    return block + encode_pairs(user_properties) if user_properties else block


def check_share(topic_filter: str) -> None:
    """ProtocolError unless a topic filter that begins with $share/ goes on as that of a shared subscription: in 3.1.1,
    too, for there a broker has the same filters or none.
    """
    _, name, *levels = topic_filter.split("/")
    form = "a shared subscription is $share/NAME/FILTER"
    if not name:
        raise ProtocolError("MQTT-4.8.2-1", f"{form}: NAME is missing")
    if "+" in name or "#" in name:
        raise ProtocolError("MQTT-4.8.2-2", f"{form}, without wildcards in NAME")
    if not levels or levels == [""]:
        raise ProtocolError("MQTT-4.8.2-2", f"{form}: FILTER is missing")
