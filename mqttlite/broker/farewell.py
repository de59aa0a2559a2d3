"""With which reason code a connection of 5.0 ends (4.13) that has broken a rule. Imports core.

Statement and section numbers of 3.1.1 and 5.0 stand side by side: much is checked in one place for both.
"""

from ..core.errors import ProtocolError
from ..core.reason_codes import BAD_ALIAS, BAD_TOPIC, KEEP_ALIVE, MALFORMED, PROTOCOL_ERROR, RECEIVE_MAXIMUM_EXCEEDED

# What is not simply a packet that cannot be read (sections 1 and 2), or one that must not come (all others)
REASONS = {
    "2.2.2": PROTOCOL_ERROR,
    "MQTT-3.1.2-24": KEEP_ALIVE,
    "4.3.3": RECEIVE_MAXIMUM_EXCEEDED,
    "MQTT-3.3.2-9": BAD_ALIAS,
    "MQTT-3.3.2-2": BAD_TOPIC,
}


def reason_of(error: ProtocolError) -> int:
    """The reason code of DISCONNECT."""
    rule = error.rule
    return REASONS.get(rule) or (MALFORMED if rule[:2] in ("1.", "2.") or rule[:7] == "MQTT-1." else PROTOCOL_ERROR)
