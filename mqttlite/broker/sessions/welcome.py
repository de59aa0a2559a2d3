"""What CONNECT of either version says about the session, and what CONNACK of 5.0 tells its client. Imports limits,
core.

Section and statement numbers are those of 5.0.
"""

from ...core.codec import prefixed
from ...core.greeting import MQTT_5_0, Connect
from ...core.properties import (
    ASSIGNED_IDENTIFIER,
    EXPIRY_NEVER,
    REQUEST_RESPONSE,
    RESPONSE_INFORMATION,
    SERVER_KEEP_ALIVE,
    SERVER_REFERENCE,
    SESSION_EXPIRY,
    TOPIC_ALIAS_MAXIMUM,
)
from ..limits import Limits
from ..packets.publish5 import ALIASES_MAX

RESPONSES = b"responses/"  # below it, and its own client identifier, a client may have answers sent


def expiry_of(connect: Connect, limits: Limits) -> tuple[bool, int]:
    """Whether the session ends with its connection, and how long (ms) it outlives it; 0: as long as the limits say."""
    if connect.level != MQTT_5_0:
        return connect.clean_session, 0
    return expiry_ms(connect.session_expiry_s, limits)


def expiry_ms(expiry_s: int, limits: Limits) -> tuple[bool, int]:
    """The same of a Session Expiry Interval."""
    if not expiry_s:
        return True, 0
    if expiry_s == EXPIRY_NEVER or expiry_s * 1000 >= limits.session_expiry_ms:
        return False, 0
    return False, expiry_s * 1000


def keep_alive_of(connect: Connect, limits: Limits, is_local: bool) -> int:
    """Its keep alive (s), or a shorter one that its client is told [MQTT-3.2.2-21] [MQTT-3.2.2-22]. 3.1.1 has no word
    for that, and lets a server disconnect who is silent at any time (3.1.2.10). On this machine it is as asked for.
    """
    most_ms = limits.keep_alive_local_ms if is_local else limits.keep_alive_ms
    most_s = min(most_ms // 1000, 0xFFFF)  # CONNACK has no more
    if most_s and not 0 < connect.keep_alive_s <= most_s:
        return most_s
    return connect.keep_alive_s


def properties(connect: Connect, client_id: bytes, limits: Limits, is_local: bool) -> bytes:
    """The block of CONNACK, beside what the core announces."""
    if connect.level != MQTT_5_0:
        return b""
    block = bytes((TOPIC_ALIAS_MAXIMUM,)) + ALIASES_MAX.to_bytes(2, "big")
    most_s = limits.session_expiry_ms // 1000
    if connect.session_expiry_s > most_s:  # 3.2.2.3.2
        block += bytes((SESSION_EXPIRY,)) + most_s.to_bytes(4, "big")
    keep_alive_s = keep_alive_of(connect, limits, is_local)
    if keep_alive_s != connect.keep_alive_s:
        block += bytes((SERVER_KEEP_ALIVE,)) + keep_alive_s.to_bytes(2, "big")
    if not connect.client_id:
        block += bytes((ASSIGNED_IDENTIFIER,)) + prefixed(client_id)  # [MQTT-3.1.3-7] [MQTT-3.2.2-16]
    if connect.properties.get(REQUEST_RESPONSE):  # [MQTT-3.1.2-28]
        block += bytes((RESPONSE_INFORMATION,)) + prefixed(RESPONSES + client_id)
    return block


def reference(server: bytes, packet_max: int) -> bytes:
    """The block that names another server (3.2.2.3.16, 3.14.2.2.5), where its client takes a packet with it."""
    return bytes((SERVER_REFERENCE,)) + prefixed(server) if not packet_max or len(server) + 8 <= packet_max else b""
