"""Reason Strings (5.0): an answer that refuses says why, in words for whoever wrote the client. Imports core.

What may stand there is what its own client has sent or asked for, and the broker's limits: never who or what others
are, nor whether a user exists. The log says more. Called for refusals alone, so what is granted costs nothing.
Section and statement numbers are those of 5.0.
"""

from ...core.codec import body_at, packet, prefixed
from ...core.greeting import MQTT_5_0, Connect
from ...core.packet_types import CONNACK, DISCONNECT, PUBACK, PUBREC, SUBACK
from ...core.properties import REASON_STRING, varint, with_properties
from ...core.reason_codes import BAD_CREDENTIALS, BAD_IDENTIFIER, BAD_METHOD, NOT_AUTHORISED, REFUSED, UNAVAILABLE
from ...core.shown import shown

REQUEST_PROBLEM = 0x17
MOST = 200  # characters: clients have short buffers

_PROPERTIES_AT = {CONNACK: 2, PUBACK: 3, PUBREC: 3, SUBACK: 2, DISCONNECT: 1}  # in the body

# Of who may not connect, where nothing more may be said
_OF_CONNACK = {
    BAD_IDENTIFIER: "the broker does not take this client identifier; choose another",
    BAD_CREDENTIALS: "unknown user or wrong password",
    BAD_METHOD: "the broker does not have this authentication method",
    NOT_AUTHORISED: "this client may not connect here; its user, certificate or client identifier has no right to",
    UNAVAILABLE: "the broker cannot take this client now; try again later",
}


def words_of_connack(code: int) -> str:
    """What may be said of any refusal with this reason code; "": no more than the code says."""
    return _OF_CONNACK.get(code, "")


def explained(connect: Connect | None, answer: bytes, words: str) -> bytes:
    """CONNACK, PUBACK, PUBREC, SUBACK or DISCONNECT with a Reason String behind its other properties. It stays as it is
    where its client wants none [MQTT-3.1.2-29] or does not take a packet as large
    [MQTT-3.2.2-19] [MQTT-3.4.2-2] [MQTT-3.5.2-2] [MQTT-3.9.2-1] [MQTT-3.14.2-3].
    """
    if not words or connect is None or connect.level != MQTT_5_0 or not connect.properties.get(REQUEST_PROBLEM, 1):
        return answer
    body = body_at(answer)
    at = begin = body + _PROPERTIES_AT[answer[0]]
    size = 0
    if at < len(answer):
        size, begin = varint(answer, at, len(answer))
    end = begin + size
    if answer[0] == SUBACK:
        words = _of_filters(answer[end:], words)
    block = answer[begin:end] + bytes((REASON_STRING,)) + prefixed(shown(words, MOST).encode())
    whole = packet(answer[0], answer[body:at], with_properties(block, answer[end:]))
    return whole if not connect.packet_max or len(whole) <= connect.packet_max else answer


def _of_filters(codes: bytes, words: str) -> str:
    """Words for a SUBACK with these reason codes. `words`: about the last topic filter that is refused."""
    count = sum(code >= REFUSED for code in codes)
    return words if count < 2 else f"{count} topic filters are refused; the last one: {words}"
