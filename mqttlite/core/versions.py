"""Which version of MQTT a CONNECT is in: a server's first question. Both runtimes, pure functions; the wire of a
version is loaded with the first client that speaks it.
"""

from . import const
from .errors import ProtocolError
from .greeting import BAD_PROTOCOL_LEVEL, MQTT_3_1, MQTT_5_0, Connect, Unsupported, decode_field

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .wire import ServerWire


def wire_of(buf: bytes, start: int, end: int, levels: bytes = b"\4") -> "tuple[ServerWire, int]":
    """The wire of the version that a CONNECT (3.1) is in; its `decode_connect` reads the rest, as if the packet started
    where the number says: MQTT 3.1 has a longer protocol name, and else what 3.1.1 has. What does not conform is a
    ProtocolError, and gets no CONNACK [MQTT-3.1.4-1]. Unsupported: the protocol level is none of `levels`.
    """
    name = decode_field(buf, start, end, "protocol name")
    is_old = name == b"MQIsdp" and MQTT_3_1 in levels
    if is_old:
        start += 2
    elif name != b"MQTT":
        raise ProtocolError("MQTT-3.1.2-1", "the protocol name is not MQTT")
    if start + 10 > end:
        raise ProtocolError("3.1.2", "CONNECT ends inside its variable header")
    level = buf[start + 6]
    if level not in levels or (level == MQTT_3_1) != is_old:
        spoken = "only 4 (MQTT 3.1.1) is spoken here" if levels == b"\4" else "it is not spoken here"
        raise Unsupported("MQTT-3.1.2-2", "protocol level " + str(level) + "; " + spoken, BAD_PROTOCOL_LEVEL)
    if level == MQTT_5_0:
        from . import wire5_server

        return wire5_server, start
    from . import wire4_server

    return wire4_server, start


def read_connect(buf: bytes, start: int, end: int, levels: bytes = b"\4") -> Connect:
    """The fields of a CONNECT, checked whole, as of `wire_of`."""
    wire, start = wire_of(buf, start, end, levels)
    return wire.decode_connect(buf, start, end)
