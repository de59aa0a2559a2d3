"""AUTH of MQTT 5.0 (3.15), at either end. Both runtimes, pure functions; loaded by who needs several packets.

Section and statement numbers are those of 5.0.
"""

from . import const
from .codec import packet, prefixed
from .errors import ProtocolError
from .properties import check_properties, with_properties

AUTH = const(0xF0)

# Its reason codes (3.15.2.1)
SUCCESS = const(0)
CONTINUE = const(0x18)
AGAIN = const(0x19)

METHOD = const(0x15)  # its properties that are used by name
DATA = const(0x16)

_IN_AUTH = b"\x15\x16\x1f\x26"


def properties_of(method: bytes, data: bytes) -> bytes:
    """The block that names the method and carries what is said in it; for AUTH, CONNECT and CONNACK."""
    return bytes((METHOD,)) + prefixed(method) + (bytes((DATA,)) + prefixed(data) if data else b"")


def encode_auth(reason: int, method: bytes, data: bytes) -> bytes:
    """AUTH [MQTT-4.12.0-5]."""
    return packet(AUTH, bytes((reason,)), with_properties(properties_of(method, data), b""))


def decode_auth(buf: bytes, start: int, end: int) -> "tuple[int, bytes, bytes]":
    """Reason code, method and data. ProtocolError for what does not conform, or has no method (3.15.2.2.2)."""
    found: "dict[int, int | bytes]" = {}
    if end - start > 1 and check_properties(buf, start + 1, end, _IN_AUTH, found)[1] != end:
        raise ProtocolError("3.15.3", "AUTH with a payload")
    reason = buf[start] if start < end else SUCCESS
    if reason not in (SUCCESS, CONTINUE, AGAIN):
        raise ProtocolError("3.15.2.1", "reason code " + str(reason) + " in AUTH")  # [MQTT-3.15.2-1]
    method = found.get(METHOD)
    data = found.get(DATA, b"")
    if not isinstance(method, bytes) or not isinstance(data, bytes):
        raise ProtocolError("4.12", "AUTH without authentication method")
    return reason, method, data
