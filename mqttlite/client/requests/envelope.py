"""How a request says where its answer is to go, and an answer which request it is to. Host only.

In 5.0: response topic and correlation data (4.10). A key is the user property KEY, words of an error are ERROR.

In 3.1.1, which has neither, by lines of text in front of the payload, which a person can write as well:

    mqttlite-request 1          mqttlite-answer 1
    answer: TOPIC               id: ANYTHING
    id: ANYTHING                error: WORDS            (of an error alone)
    key: TEXT                   (empty line)
    (empty line)                payload
    payload

`key` may be left out; lines with other names are skipped. A server answers in the way in which it was asked.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.shown import sendable

if TYPE_CHECKING:
    from ..messages import Message

KEY = "mqttlite-request-key"
ERROR = "mqttlite-error"
REQUEST = b"mqttlite-request 1\n"
ANSWER = b"mqttlite-answer 1\n"
HEAD_MAX = 4096  # bytes of the lines
KEY_MAX = 255  # characters
ERROR_MAX = 1000  # characters


@dataclass(frozen=True)
class Request:
    """`answer_topic`: "" when nobody waits for an answer. `has_lines`: it came in the way of 3.1.1."""

    payload: bytes
    answer_topic: str = ""
    id: bytes = b""
    key: str = ""
    has_lines: bool = False


def encode_request(is_5: bool, answer_topic: str, id: str, key: str, payload: bytes) -> tuple[bytes, dict[str, Any]]:
    """Payload and properties of a request."""
    if is_5:
        properties: dict[str, Any] = {"response_topic": answer_topic, "correlation_data": id.encode()}
        if key:
            properties["user_properties"] = [(KEY, key)]
        return payload, properties
    key_line = f"key: {key}\n" if key else ""
    return REQUEST + f"answer: {answer_topic}\nid: {id}\n{key_line}\n".encode() + payload, {}


def decode_request(message: "Message") -> Request:
    """What a message asks for."""
    found = _lines(REQUEST, message.payload)
    if found:
        lines, payload = found
        return Request(payload, lines.get("answer", ""), lines.get("id", "").encode(), lines.get("key", ""), True)
    if not message.properties:
        return Request(message.payload)
    return Request(message.payload, message.response_topic, message.correlation_data, _property(message, KEY))


def encode_answer(request: Request, payload: bytes, error: str) -> tuple[bytes, dict[str, Any]]:
    """Payload and properties of the answer. `error`: words, "" when there is none."""
    error = words_of(error)
    if request.has_lines:
        error_line = f"error: {error}\n" if error else ""
        return ANSWER + b"id: " + request.id + f"\n{error_line}\n".encode() + payload, {}
    properties: dict[str, Any] = {"correlation_data": request.id} if request.id else {}
    if error:
        properties["user_properties"] = [(ERROR, error)]
    return payload, properties


def words_of(error: str) -> str:
    """The words of an error as an answer carries them, in both versions: on one line, and nothing for which a broker
    drops the answer or closes the connection, as Mosquitto does.
    """
    return sendable(" ".join(error.split()))[:ERROR_MAX]


def decode_answer(message: "Message") -> tuple[bytes, bytes, str]:
    """Identifier of the request, payload, words of an error."""
    found = _lines(ANSWER, message.payload)
    if found:
        lines, payload = found
        return lines.get("id", "").encode(), payload, lines.get("error", "")
    if not message.properties:
        return b"", message.payload, ""
    return message.correlation_data, message.payload, _property(message, ERROR)


def _property(message: "Message", wanted: str) -> str:
    for name, value in message.user_properties:
        if name == wanted:
            return value
    return ""


def _lines(first: bytes, payload: bytes) -> tuple[dict[str, str], bytes] | None:
    """The lines that begin with `first`, and what is behind them; None: there are none."""
    if not payload.startswith(first):
        return None
    end = payload.find(b"\n\n", len(first) - 1, HEAD_MAX)
    if end < 0:
        return None
    try:
        text = payload[len(first) : end + 1].decode()
    except UnicodeDecodeError:
        return None
    lines = dict(line.split(": ", 1) for line in text.split("\n") if ": " in line)
    return lines, payload[end + 2 :]
