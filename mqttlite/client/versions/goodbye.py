"""A DISCONNECT of MQTT 5.0 that says more than that all is in order (3.14). CPython only."""

from typing import TYPE_CHECKING

from ...core.codec import packet
from ...core.packet_types import DISCONNECT
from ...core.properties import SESSION_EXPIRY, with_properties
from ...core.reason_code import ReasonCode
from ..arguments.checks import check_number
from ..arguments.checks5 import SECONDS_MAX

if TYPE_CHECKING:
    from ...core.client import ClientProtocol


def goodbye(client: "ClientProtocol", session_expiry_s: int | None, with_will: bool) -> bytes:
    """What the client sends last. ValueError where it asks for a session that CONNECT did not ask for."""
    block = b""
    if session_expiry_s is not None:
        check_number("session_expiry_s", session_expiry_s, 0, SECONDS_MAX)
        kept = client.opening.session_expiry_s if client.opening else -1
        if session_expiry_s and not (0 if client.clean_session and kept < 0 else kept):  # 3.14.2.2.2
            raise ValueError("a session that the client did not want kept cannot be kept: Client(session_expiry_s=...)")
        block = bytes((SESSION_EXPIRY,)) + session_expiry_s.to_bytes(4, "big")
    reason = ReasonCode.DISCONNECT_WITH_WILL_MESSAGE if with_will else ReasonCode.SUCCESS
    return packet(DISCONNECT, bytes((reason,)), with_properties(block, b""))
