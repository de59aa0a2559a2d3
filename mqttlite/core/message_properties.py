"""The properties of a message and of a will by their names, as an application gives and reads them (5.0: 3.3.2.3,
3.1.3.2). Both runtimes, pure functions.

Loaded with the first message that has some. A host has checked the types (client/arguments/checks5.py).
"""

from . import const
from .codec import prefixed
from .errors import broken
from .features import HOST
from .properties import _field_end, each, encode_user_properties, user_properties
from .text import check_plain, check_topic_name, to_utf8

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypedDict

    Pairs = Mapping[str, str] | Iterable[tuple[str, str]]

    class MessageProperties(TypedDict, total=False):
        """The arguments of `publish` that only MQTT 5.0 has; None: without."""

        expires_after_s: int | None
        content_type: str | None
        response_topic: str | None
        correlation_data: bytes | None
        payload_is_text: bool | None
        user_properties: Pairs | None

    class WillProperties(MessageProperties, total=False):
        """And those of a will."""

        delay_s: int


# Identifier (table 2-4) and what an application gets where a message has none, by name, in the order of the wire: the
# expiry interval first (outbound5.py)
_NAMES: "tuple[tuple[str, int, object], ...]" = (
    ("expires_after_s", 0x02, None),
    ("payload_is_text", 0x01, False),
    ("content_type", 0x03, ""),
    ("response_topic", 0x08, ""),
    ("correlation_data", 0x09, b""),
    ("delay_s", 0x18, 0),
    ("user_properties", 0x26, None),
)


def encode(properties: "Mapping[str, object]") -> bytes:
    """A block of the properties with these names; of a value that is None, nothing. ProtocolError for text that may not
    be sent; TypeError for a name that none has.
    """
    block = b""
    left = len(properties)
    for name, identifier, _ in _NAMES:
        if name in properties:
            left -= 1
            value = properties[name]
            if value is not None:
                block += _encoded(name, identifier, value)
    if left:
        raise TypeError(str(properties))
    return block


def _encoded(name: str, identifier: int, value: "object") -> bytes:
    if name == "user_properties":
        return encode_pairs(value)  # type: ignore[arg-type]
    if isinstance(value, (int, bool)):  # on MicroPython, True is no int
        if HOST and not 0 <= value < 1 << 32:
            raise broken("3.3.2.3", name)
        data = int(value).to_bytes(1 if identifier == 0x01 else 4, "big")
    elif name == "correlation_data":
        data = prefixed(bytes(value))  # type: ignore[call-overload]
    else:
        text = to_utf8(value, name)  # type: ignore[arg-type]
        if name == "response_topic":
            check_topic_name(text)  # [MQTT-3.3.2-14]
            check_plain(text)
        data = prefixed(text)  # [MQTT-3.3.2-13] [MQTT-3.3.2-19]
    return bytes((identifier,)) + data


def encode_pairs(pairs: "Pairs") -> bytes:
    """A block of user properties: a mapping, or (name, value) pairs in an order [MQTT-3.3.2-18]."""
    if hasattr(pairs, "items"):
        pairs = pairs.items()
    return encode_user_properties(
        [(to_utf8(name, "name of a user property"), to_utf8(value, "user property")) for name, value in pairs]
    )


def decoded_pairs(block: bytes) -> "list[tuple[str, str]]":
    """The user properties of a block that has been checked, in order."""
    return [(str(name, "utf-8"), str(value, "utf-8")) for name, value in user_properties(block)]


def value_of(block: bytes, wanted: str) -> "object":
    """The property of this name in a block that has been checked. AttributeError for a name that none has."""
    if wanted == "user_properties":
        return decoded_pairs(block)
    if wanted == "subscription_identifiers":
        return [value for identifier, value, _, _ in each(block) if identifier == 0x0B]
    for name, identifier, default in _NAMES:
        if name == wanted:
            for found, value, start, end in each(block):
                if found == identifier:
                    return _decoded(name, value, block, start, end)
            return default
    raise AttributeError("Message has no '" + wanted + "'")


def _decoded(name: str, value: "int | None", block: bytes, start: int, end: int) -> "object":
    if value is not None:
        return value == 1 if name == "payload_is_text" else value
    data = block[start + 2 : _field_end(block, start, end)]
    return data if name == "correlation_data" else str(data, "utf-8")
