"""The format strings of mosquitto_sub's -F: `%` for the message, `@` for strftime, `\\` for characters hard to type.

A format is compiled once into a list of pieces, each either bytes or a function of (message, time).
"""

import re
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from ...client import Message
from ..streams import for_terminal

# flags, width and precision as in printf: which of them a letter takes is the manual page's
_PIECE = re.compile(
    r"%(?P<flags>[-0]*)(?P<width>\d*)(?:\.(?P<most>\d+))?(?P<letter>.)|@(?P<time>.)|\\(?P<escape>.)", re.S
)
_ESCAPES = {"\\": b"\\", "0": b"\0", "a": b"\a", "e": b"\x1b", "n": b"\n", "r": b"\r", "t": b"\t", "v": b"\v"}
_NUMBERS = "AEFlmSXx"  # which take the flag 0


class Moment(NamedTuple):
    """When a message is printed: ns since 1970."""

    ns: int

    def format(self, directive: str) -> str:
        return time.strftime(directive, time.localtime(self.ns // 1_000_000_000))

    @property
    def fraction(self) -> str:
        return f"{self.ns % 1_000_000_000:09}"


Piece = Callable[[Message, Moment], bytes]


def compile_format(text: str, *, escaped: bool = False) -> Callable[[Message], bytes]:
    """The function that formats a message as `text` says. Raises ValueError for a format that does not exist.

    `escaped`: for a terminal; what it would obey is escaped where it comes from a message (not from `text`).

    The function raises ValueError for a message that cannot be formatted: `%J` with a payload that is not JSON.
    """
    pieces: list[bytes | Piece] = []
    at = 0
    for match in _PIECE.finditer(text):
        pieces += [_literal(text[at : match.start()]), _piece(match, escaped)]
        at = match.end()
    pieces.append(_literal(text[at:]))
    if all(isinstance(piece, bytes) for piece in pieces):
        return lambda message: b"".join(piece for piece in pieces if isinstance(piece, bytes))

    def format_message(message: Message) -> bytes:
        moment = Moment(time.time_ns())
        return b"".join([piece if isinstance(piece, bytes) else piece(message, moment) for piece in pieces])

    return format_message


def _literal(text: str) -> bytes:
    if text.endswith(("%", "@", "\\")):
        raise ValueError(f"the format ends in the middle of a sequence: '{text[-1]}'")
    return text.encode("utf-8", "surrogateescape")


def _piece(match: "re.Match[str]", escaped: bool) -> bytes | Piece:
    letter, directive, escape = match["letter"], match["time"], match["escape"]
    if escape:
        if escape not in _ESCAPES:
            raise ValueError(f"unknown escape '\\{escape}' in the format")
        return _ESCAPES[escape]
    if directive:
        if directive == "@":
            return b"@"
        if directive == "N":
            return lambda message, moment: moment.fraction.encode()
        return lambda message, moment: moment.format("%" + directive).encode()
    if letter == "%":
        return b"%"
    value = _VALUES.get(letter)
    if value is None:
        raise ValueError(f"unknown format '%{letter}'")
    if escaped and letter in "CDPRtpjJ":
        value = partial(_escaped, value, letter)
    if not (match["flags"] or match["width"] or match["most"]):
        return value
    most = int(match["most"]) if match["most"] else None
    return partial(_padded, value, match["flags"], int(match["width"] or 0), most, letter in _NUMBERS)


def _escaped(value: Piece, letter: str, message: Message, moment: Moment) -> bytes:
    return for_terminal(value(message, moment), keep_lines=letter == "p", json=letter in "jJ")


def _padded(
    value: Piece, flags: str, width: int, most: int | None, takes_zeros: bool, message: Message, moment: Moment
) -> bytes:
    data = value(message, moment)[:most]
    if "-" in flags:
        return data.ljust(width)
    return data.rjust(width, b"0" if takes_zeros and "0" in flags else b" ")


def _json(message: Message, moment: Moment) -> bytes:
    """Bytes that are not UTF-8 become U+FFFD: JSON has no other text."""
    return _json_object(message, moment, _quoted(message.payload.decode("utf-8", "replace")))


def _json_raw(message: Message, moment: Moment) -> bytes:
    import json  # only for %j and %J, here and below

    try:
        payload = json.loads(message.payload.decode(), parse_constant=_no_constant)
        return _json_object(message, moment, json.dumps(payload, ensure_ascii=False, separators=(",", ":")))
    except (ValueError, RecursionError):
        raise ValueError(f"the payload is not valid JSON on topic {message.topic}") from None


def _json_object(message: Message, moment: Moment, payload: str) -> bytes:
    fields = [
        ("tst", _quoted(moment.format("%Y-%m-%dT%H:%M:%S.") + moment.fraction[:6] + moment.format("%z"))),
        ("topic", _quoted(message.topic)),
        ("qos", str(message.qos)),
        ("retain", str(int(message.retain))),
        ("payloadlen", str(len(message.payload))),
    ]
    if message.qos:
        fields.append(("mid", str(_packet_id(message))))
    if properties := _json_properties(message):
        fields.append(("properties", _object(properties)))
    return _object([*fields, ("payload", payload)]).encode()


def _json_properties(message: Message) -> list[tuple[str, str]]:
    """With the names that mosquitto_sub gives them, in its order."""
    if not message.properties:
        return []
    fields = []
    if numbers := message.subscription_identifiers:
        fields.append(("subscription-identifier", str(numbers[0] if len(numbers) == 1 else numbers)))
    if pairs := message.user_properties:
        fields.append(("user-properties", _object([(name, _quoted(value)) for name, value in pairs])))
    if message.content_type:
        fields.append(("content-type", _quoted(message.content_type)))
    if message.correlation_data:
        fields.append(("correlation-data", _quoted(message.correlation_data.decode("utf-8", "replace"))))
    if message.payload_is_text:
        fields.append(("payload-format-indicator", "1"))
    if message.response_topic:
        fields.append(("response-topic", _quoted(message.response_topic)))
    if message.expires_after_s is not None:
        fields.append(("message-expiry-interval", str(message.expires_after_s)))
    return fields


def _object(fields: list[tuple[str, str]]) -> str:
    """A JSON object of values that are JSON; a name may be there twice, as user properties may."""
    return "{" + ",".join([f"{_quoted(name)}:{value}" for name, value in fields]) + "}"


def _quoted(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _packet_id(message: Message) -> int:
    return message._packet_id if message.qos else 0


def _of_5(value: Callable[[Message], object]) -> Piece:
    """What only a message with properties has; of any other it prints as nothing."""

    def piece(message: Message, moment: Moment) -> bytes:
        found = value(message) if message.properties else None
        if found is None or found is False:
            return b""
        return found if isinstance(found, bytes) else str(found).encode()

    return piece


_VALUES: dict[str, Piece] = {
    "t": lambda message, moment: message.topic.encode(),
    "p": lambda message, moment: message.payload,
    "q": lambda message, moment: b"%d" % message.qos,
    "r": lambda message, moment: b"%d" % message.retain,
    "l": lambda message, moment: b"%d" % len(message.payload),
    "x": lambda message, moment: message.payload.hex().encode(),
    "X": lambda message, moment: message.payload.hex().upper().encode(),
    "j": _json,
    "J": _json_raw,
    "I": lambda message, moment: moment.format("%Y-%m-%dT%H:%M:%S%z").encode(),
    "U": lambda message, moment: f"{moment.ns // 1_000_000_000}.{moment.fraction}".encode(),
    "m": lambda message, moment: b"%d" % _packet_id(message),
    "A": _of_5(lambda message: None),  # the client has put the topic in its place
    "C": _of_5(lambda message: message.content_type),
    "D": _of_5(lambda message: message.correlation_data),
    "E": _of_5(lambda message: message.expires_after_s),
    "F": _of_5(lambda message: 1 if message.payload_is_text else None),
    "P": _of_5(lambda message: " ".join([f"{name}:{value}" for name, value in message.user_properties])),
    "R": _of_5(lambda message: message.response_topic),
    "S": _of_5(lambda message: " ".join(map(str, message.subscription_identifiers))),
}
