"""What a broker of MQTT 5.0 has said about itself in CONNACK (3.2.2.3), for an application. CPython only."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core import properties as props
from ...core.message_properties import decoded_pairs

if TYPE_CHECKING:
    from ...core.announced import Limits


@dataclass(frozen=True)
class Server:
    """The broker that the client is connected to, or was last: what it takes, and what it has decided about this
    connection. None where it has said nothing and the standard has no value for that.
    """

    receive_maximum: int
    maximum_qos: int
    retain_available: bool
    maximum_packet_size: "int | None"
    topic_alias_maximum: int
    wildcard_subscription_available: bool
    subscription_identifiers_available: bool
    shared_subscription_available: bool
    keep_alive_s: "int | None"
    session_expiry_s: "int | None"
    assigned_client_id: str
    response_information: str
    reason_string: str
    server_reference: str
    user_properties: "list[tuple[str, str]]"


def server_of(limits: "Limits") -> Server:
    """What the last CONNACK said."""
    found = limits.found

    def number(identifier: int) -> "int | None":
        value = found.get(identifier)
        return value if isinstance(value, int) else None

    def text(identifier: int) -> str:
        value = found.get(identifier, b"")
        return value.decode() if isinstance(value, bytes) else ""

    block = found.get(0, b"")
    assert isinstance(block, bytes)
    return Server(
        receive_maximum=number(props.RECEIVE_MAXIMUM) or 65535,
        maximum_qos=limits.qos_max,
        retain_available=limits.retain_available,
        maximum_packet_size=number(props.MAXIMUM_PACKET_SIZE),
        topic_alias_maximum=number(props.TOPIC_ALIAS_MAXIMUM) or 0,
        wildcard_subscription_available=number(props.WILDCARD_AVAILABLE) != 0,
        subscription_identifiers_available=number(props.IDENTIFIERS_AVAILABLE) != 0,
        shared_subscription_available=number(props.SHARED_AVAILABLE) != 0,
        keep_alive_s=number(props.SERVER_KEEP_ALIVE),
        session_expiry_s=number(props.SESSION_EXPIRY),
        assigned_client_id=limits.assigned.decode(),
        response_information=text(props.RESPONSE_INFORMATION),
        reason_string=text(props.REASON_STRING),
        server_reference=text(props.SERVER_REFERENCE),
        user_properties=decoded_pairs(block),
    )
