"""Which version of MQTT a CONNECT is in: a server's first question. Both runtimes, pure functions; the wire of a
version is loaded with the first client that speaks it.
"""

from . import const
from .errors import ProtocolError
from .greeting import BAD_PROTOCOL_LEVEL, MQTT_5_0, Connect, Unsupported, decode_field

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .wire import ServerWire


def wire_of(buf: bytes, start: int, end: int, levels: bytes = b"\4") -> "ServerWire":
    """The wire of the version that a CONNECT (3.1) is in; its `decode_connect` reads the rest. What does not conform is
    a ProtocolError, and gets no CONNACK [MQTT-3.1.4-1]. Unsupported: the protocol level is none of `levels`.
    """
    if decode_field(buf, start, end, "protocol name") != b"MQTT":
        raise ProtocolError("MQTT-3.1.2-1", "the protocol name is not MQTT")
    if start + 10 > end:
        raise ProtocolError("3.1.2", "CONNECT ends inside its variable header")
    level = buf[start + 6]
    if level not in levels:
        spoken = "only 4 (MQTT 3.1.1) is spoken here" if levels == b"\4" else "it is not spoken here"
        raise Unsupported("MQTT-3.1.2-2", "protocol level " + str(level) + "; " + spoken, BAD_PROTOCOL_LEVEL)
    if level == MQTT_5_0:
        from . import wire5_server

        return wire5_server
    from . import wire4_server

    return wire4_server


def read_connect(buf: bytes, start: int, end: int, levels: bytes = b"\4") -> Connect:
    """The fields of a CONNECT, checked whole, as of `wire_of`."""
    return wire_of(buf, start, end, levels).decode_connect(buf, start, end)
