"""How many properties a packet of 5.0 may have, and how large. Imports limits, core.

What a client sends along goes to all subscribers, so its size is theirs, too. Nobody needs more than a handful. Small
blocks are not looked at: they have no room for too many.
"""

from ...core.auth import AUTH
from ...core.errors import ProtocolError
from ...core.greeting import MQTT_5_0
from ...core.packet_types import CONNECT, DISCONNECT, SUBSCRIBE, UNSUBSCRIBE
from ...core.properties import each, varint
from ..limits import Limits

_USER = 0x26
_LEAST = 5  # bytes of a user property; others are fewer than 28 in all, each once, but for subscription identifiers
# Where the properties of a packet stand in its body; an acknowledgement's behind its reason code
_BEGINS = {CONNECT: 10, SUBSCRIBE: 2, UNSUBSCRIBE: 2, DISCONNECT: 1, AUTH: 1}


def excess(block: bytes, limits: Limits) -> str:
    """The name of the limit that a block of properties, which has been checked, exceeds, or ""."""
    size = len(block)
    if size <= _LEAST * min(limits.user_properties, limits.properties // 2):
        return ""
    if size > limits.properties_bytes:
        return "properties_bytes"
    if size > _LEAST * limits.user_properties or size > 2 * limits.properties:
        found = each(block)
        if len(found) > limits.properties:
            return "properties"
        if sum(identifier == _USER for identifier, _, _, _ in found) > limits.user_properties:
            return "user_properties"
    return ""


def excess_of_packet(first: int, buf: bytes, start: int, end: int, limits: Limits) -> str:
    """The same of a packet that is neither PUBLISH nor an acknowledgement, and has not been looked at yet: by its size
    alone.
    """
    at = start + _BEGINS.get(first, end)
    if at >= end or (first == CONNECT and buf[start + 6] != MQTT_5_0):
        return ""
    try:
        size, at = varint(buf, at, end)
    except ProtocolError:  # whoever reads it says so
        return ""
    return "properties_bytes" if limits.properties_bytes < size <= end - at else ""  # else it is malformed
