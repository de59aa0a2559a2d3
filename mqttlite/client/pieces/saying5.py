"""What MQTT 5.0 says in front of a payload that is sent in pieces. Both runtimes; loaded by who speaks it."""

from ...core import const
from ...core.features import HOST
from ...core.message_properties import encode
from ...core.properties import with_properties
from ..saying5 import needs_5

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from typing import Any

    from ..face import BaseClient


def block(client: "BaseClient", properties: "Any") -> bytes:
    """The properties of a message as they stand in its packet, behind their length."""
    if properties:
        if HOST:  # in front: what no version has does not need 5.0
            client._check_properties(properties, b"")
        needs_5(client, " and ".join(properties))
        if properties.get("expires_after_s"):
            raise ValueError("a stream cannot expire: leave out expires_after_s")
    return with_properties(encode(properties) if properties else b"", b"")
