"""What CONNECT asks for, and how a server reads what its versions have in common; versions.py says which one it is in.
Both runtimes, pure functions.
"""

from . import const
from .errors import ProtocolError
from .text import check_topic_name, check_utf8

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Callable

# Protocol levels (3.1.2.2)
MQTT_3_1 = const(3)
MQTT_3_1_1 = const(4)
MQTT_5_0 = const(5)

# CONNACK return codes (3.2.2.3)
BAD_PROTOCOL_LEVEL = 1
IDENTIFIER_REJECTED = 2
SERVER_UNAVAILABLE = 3
BAD_CREDENTIALS = 4
NOT_AUTHORISED = 5


class Connect:
    """The fields of a CONNECT packet (3.1). `will`: topic name, payload, QoS, retain; or None.

    What only 5.0 has: `properties`, values by identifier (properties.py); `will_properties`, a block, and
    `will_delay_s`; `session_expiry_s`, which 3.1.1 says with `clean_session`; `receive_maximum`, `packet_max` (bytes)
    and `topic_alias_max`, 0 where they are not said.
    """

    def __init__(
        self,
        client_id: bytes,
        clean_session: bool,
        keep_alive_s: int,
        username: "bytes | None",
        password: "bytes | None",
        will: "tuple[bytes, bytes, int, bool] | None",
    ) -> None:
        self.client_id = client_id
        self.clean_session = clean_session
        self.keep_alive_s = keep_alive_s
        self.username = username
        self.password = password
        self.will = will
        self.level = MQTT_3_1_1
        self.receive_maximum = 0
        self.session_expiry_s = 0 if clean_session else 0xFFFFFFFF
        self.properties: "dict[int, int | bytes]" = {}
        self.will_properties = b""
        self.will_delay_s = 0
        self.packet_max = 0
        self.topic_alias_max = 0


class Unsupported(ProtocolError):
    """A CONNECT that conforms, and asks for what there is not: answered with CONNACK `code` before the connection is
    closed [MQTT-3.1.2-2].
    """

    def __init__(self, rule: str, text: str, code: int) -> None:
        super().__init__(rule, text)
        self.code = code


def read_payload(
    buf: bytes,
    at: int,
    end: int,
    flags: int,
    keep_alive_s: int,
    properties_of: "Callable[[bytes, int, int], tuple[int, int]] | None" = None,
) -> Connect:
    """CONNECT from its payload (3.1.3) on, which begins at `at`. `properties_of`: reads those of the will, which 5.0
    has.
    """
    client_id = decode_field(buf, at, end, "client identifier")  # [MQTT-3.1.3-3]
    check_utf8(client_id, "client identifier")  # [MQTT-3.1.3-4]
    at += 2 + len(client_id)
    will = username = password = None
    block = b""
    if flags & 4:  # [MQTT-3.1.2-9]
        if properties_of:
            begin, at = properties_of(buf, at, end)
            block = buf[begin:at]
        topic = decode_field(buf, at, end, "will topic")
        check_topic_name(topic)  # [MQTT-3.1.3-10]
        at += 2 + len(topic)
        payload = decode_field(buf, at, end, "will message")
        at += 2 + len(payload)
        will = (topic, payload, flags >> 3 & 3, flags & 32 != 0)
    if flags & 128:  # [MQTT-3.1.2-19]
        username = decode_field(buf, at, end, "user name")
        check_utf8(username, "user name")  # [MQTT-3.1.3-11]
        at += 2 + len(username)
    if flags & 64:  # [MQTT-3.1.2-21]
        password = decode_field(buf, at, end, "password")
        at += 2 + len(password)
    if at != end:  # [MQTT-3.1.2-11] [MQTT-3.1.2-18] [MQTT-3.1.2-20]: nothing but what the flags announce
        raise ProtocolError("MQTT-3.1.4-1", "CONNECT has " + str(end - at) + " bytes behind its last field")
    connect = Connect(client_id, flags & 2 != 0, keep_alive_s, username, password, will)
    connect.will_properties = block
    return connect


def check_flags(flags: int) -> None:
    """Refuse connect flags (3.1.2.3 to 3.1.2.7) that neither version has."""
    if flags & 1:
        raise ProtocolError("MQTT-3.1.2-3", "reserved flag set in CONNECT")
    if flags & 0x18 == 0x18:
        raise ProtocolError("MQTT-3.1.2-14", "will QoS 3")
    if not flags & 4:
        if flags & 0x18:
            raise ProtocolError("MQTT-3.1.2-13", "will QoS without will flag")
        if flags & 0x20:
            raise ProtocolError("MQTT-3.1.2-15", "will retain without will flag")


def decode_field(buf: bytes, at: int, end: int, what: str) -> bytes:
    """The length-prefixed field at `at` (1.5.3); the next one starts `2 + len` further on."""
    if at + 2 > end:
        raise ProtocolError("1.5.3", "packet ends before its " + what)
    stop = at + 2 + (buf[at] << 8 | buf[at + 1])
    if stop > end:
        raise ProtocolError("1.5.3", what + " is longer than its packet")
    return buf[at + 2 : stop]
