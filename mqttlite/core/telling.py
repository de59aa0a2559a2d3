"""What an error tells of what the broker has said: reason code, reason string, another server. On boards, errors go
without.
"""

from .errors import RefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from .client import ClientProtocol
    from .reason_code import ReasonCode
    from .wire import ClientWire

    E = TypeVar("E")

# What the return codes of 3.1.1's CONNACK (3.2.2.3) are here
_OF_3_1_1 = (0, 0x84, 0x85, 0x88, 0x86, 0x87)


def named(code: int) -> "ReasonCode | None":
    """The reason code of this number, or of this return code of 3.1.1; None: there is none."""
    if 0 < code < len(_OF_3_1_1):
        code = _OF_3_1_1[code]
    try:
        from .reason_code import ReasonCode

        return ReasonCode(code) if code else None
    except (ImportError, MemoryError):  # MicroPython, from source
        return code  # type: ignore[return-value]
    except ValueError:
        return None


def tell(error: "Any", code: int, found: "dict[int, int | bytes] | None" = None) -> None:
    """Give an error (MQTTError) its reason code, and what the broker said besides (values of properties)."""
    error.reason_code = named(code)
    if found:
        from .properties import REASON_STRING, SERVER_REFERENCE

        error.reason_string = _text(found, REASON_STRING)
        error.server_reference = _text(found, SERVER_REFERENCE)


def _text(found: "dict[int, int | bytes]", identifier: int) -> str:
    value = found.get(identifier, b"")
    return value.decode() if isinstance(value, bytes) else ""


def refused(wire: "ClientWire", code: int, found: "dict[int, int | bytes] | None") -> RefusedError:
    """The error for a CONNACK with another code than 0."""
    error = RefusedError(code, "connection refused: " + wire.refusal(code, found))
    tell(error, code, found)
    return error


def explained(error: "E", code: int, body: bytes, at: int) -> "E":
    """An error with its reason code, and what the properties at `at` in the body of a packet say besides."""
    found: "dict[int, int | bytes]" = {}
    if len(body) > at:
        from .properties import check_properties

        check_properties(body, at, len(body), b"\x1f\x26", found)
    tell(error, code, found)
    words = found.get(0x1F)
    if isinstance(words, bytes) and words:
        from .reasons import plain

        error.args = (str(error) + "; the broker says: " + plain(words),)  # type: ignore[attr-defined]
    return error


def refuse_unfit(client: "ClientProtocol") -> None:
    """Refuse the subscriptions that the broker has said it does not take, in the place of it: it might end the
    connection for them.
    """
    limits = client.limits
    assert limits
    for topic_filter in list(client.subscriptions):
        wanted = client.subscriptions[topic_filter]
        code = limits.unfit_filter(topic_filter, wanted.properties) if wanted.qos >= 0 else 0
        if code:
            wanted.request = 0
            wanted.code = code
            client._answered(topic_filter, wanted)
            client.events.on_suback(topic_filter, code)
