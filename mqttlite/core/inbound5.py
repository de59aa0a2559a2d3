"""Topic aliases of messages that arrive (5.0: 3.3.2.3.4). Loaded with the first. Both runtimes; statement numbers are
those of 5.0.
"""

from . import const
from .errors import ProtocolError
from .properties import TOPIC_ALIAS, each, without

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .connection import Connection


def named(connection: "Connection", topic: bytes, block: bytes) -> "tuple[bytes, bytes]":
    """The topic name of a message with these properties, and the properties without an alias."""
    for identifier, alias, _, _ in each(block):
        if identifier == TOPIC_ALIAS and alias is not None:
            aliases = connection.aliases
            if aliases is None or not 0 < alias <= connection.alias_max:  # [MQTT-3.1.2-26] [MQTT-3.1.2-27]
                raise ProtocolError("MQTT-3.3.2-8", "topic alias " + str(alias) + " is not one that was announced")
            if topic:
                aliases[alias] = topic
            elif alias in aliases:
                topic = aliases[alias]
            else:
                raise ProtocolError("3.3.2.3.4", "topic alias " + str(alias) + " has not been set")
            return topic, without(block, TOPIC_ALIAS)
    return topic, block
