"""MQTT 3.1, which brokers of before 2014 speak: another CONNECT, and all else as in 3.1.1. CPython only; loaded by who
asks for it. Sections in this file are those of 3.1.

What 3.1 lacks: CONNACK does not say whether the broker still has the session, so each connection of a kept one begins
as if it had lost it: subscriptions are made again, and what was not confirmed is sent as new; SUBACK cannot refuse.
"""

from ...core.client import ClientProtocol
from ...core.codec import body_at, packet, prefixed

LEVEL = 3
NAME_MAX = 23  # characters of a client identifier (3.1)
_HEAD = len(b"\0\4MQTT\4")  # of 3.1.1: protocol name and level


def speak(protocol: ClientProtocol, client_id: str) -> None:
    """Have a protocol that was made for 3.1.1 speak 3.1. ValueError for a client identifier that has no place there."""
    if len(client_id) > NAME_MAX:
        raise ValueError(f"in MQTT 3.1 client_id has {NAME_MAX} characters at most, not {len(client_id)}")
    connect = protocol.connect_packet
    rest = connect[body_at(connect) + _HEAD :]
    protocol.connect_packet = packet(connect[0], prefixed(b"MQIsdp"), bytes((LEVEL,)), rest)
