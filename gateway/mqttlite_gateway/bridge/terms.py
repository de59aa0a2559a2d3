"""In which version the upstream is spoken to, and what it announces (CONNACK of 5.0, 3.2.2.3). Imports nothing of the
bridge.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from mqttlite.core import wire4, wire5
from mqttlite.core.codec import prefixed
from mqttlite.core.packet_types import CONNECT
from mqttlite.core.properties import (
    EXPIRY_NEVER,
    MAXIMUM_PACKET_SIZE,
    MAXIMUM_QOS,
    RECEIVE_MAXIMUM,
    RETAIN_AVAILABLE,
    SERVER_KEEP_ALIVE,
    SESSION_EXPIRY,
)
from mqttlite.core.session import WINDOW

from ..settings.upstream import UpstreamSettings

BRIDGE_BIT = 0x80  # of the protocol level of 3.1.1: Mosquitto then sends no message back, and keeps RETAIN
INBOUND = 100  # QoS 1 and 2 messages that the upstream may have sent and not got acknowledged


class Version(NamedTuple):
    """`is_bridge`: with BRIDGE_BIT."""

    is5: bool
    is_bridge: bool = False

    @property
    def text(self) -> str:
        """For people."""
        return "5.0" if self.is5 else "3.1.1"


def versions(wanted: str) -> list[Version]:
    """What to try, in order, until one is not refused."""
    old = [Version(False, True), Version(False)]
    return old if wanted == "3.1.1" else [Version(True)] if wanted == "5.0" else [Version(True), *old]


def connect_packet(settings: UpstreamSettings, client_id: str, version: Version, packet_max: int) -> bytes:
    """CONNECT. `packet_max`: largest Remaining Length that is taken."""
    username, password = settings.credentials
    name = None if username is None else username.encode()
    secret = None if password is None else password.encode()
    identifier = client_id.encode()
    if version.is5:
        return wire5.encode_connect(
            identifier,
            False,
            settings.keep_alive_s,
            name,
            secret,
            None,
            INBOUND,
            packet_max,
            EXPIRY_NEVER,
        )
    if name is None and secret is not None:
        name = b""  # 3.1.1 has no password without a user name
    data = bytearray(wire4.encode_connect(identifier, False, settings.keep_alive_s, name, secret))
    if version.is_bridge:
        at = data.index(prefixed(b"MQTT")) + 6
        assert data[0] == CONNECT
        data[at] |= BRIDGE_BIT
    return bytes(data)


@dataclass(frozen=True)
class Terms:
    """What holds on one connection. `is_present`: the upstream had the session. `window`: messages that may be sent and
    not acknowledged. `packet_max`: largest packet, 0: any.
    """

    version: Version
    is_present: bool
    window: int
    qos_max: int = 2
    has_retain: bool = True
    packet_max: int = 0
    keep_alive_s: int = 60
    expiry_s: int = EXPIRY_NEVER

    @property
    def is5(self) -> bool:
        """Whether it is spoken to in 5.0."""
        return self.version.is5

    def alone(self) -> "Terms":
        """One message at a time."""
        return replace(self, window=1)

    def at_most_one(self) -> "Terms":
        """No QoS 2."""
        return replace(self, qos_max=min(self.qos_max, 1))

    def anew(self) -> "Terms":
        """As if the upstream had no session: it has nothing of ours."""
        return replace(self, is_present=False)


def terms_of(
    settings: UpstreamSettings, version: Version, is_present: bool, found: "dict[int, int | bytes] | None"
) -> Terms:
    """What CONNACK says."""
    if found is None:
        return Terms(version, is_present, min(WINDOW, settings.window), keep_alive_s=settings.keep_alive_s)

    def number(identifier: int, default: int) -> int:
        value = found.get(identifier, default)
        assert isinstance(value, int)
        return value

    return Terms(
        version,
        is_present,
        min(number(RECEIVE_MAXIMUM, 65535), settings.window),
        number(MAXIMUM_QOS, 2),
        bool(number(RETAIN_AVAILABLE, 1)),
        number(MAXIMUM_PACKET_SIZE, 0),
        number(SERVER_KEEP_ALIVE, settings.keep_alive_s),
        number(SESSION_EXPIRY, EXPIRY_NEVER),
    )
