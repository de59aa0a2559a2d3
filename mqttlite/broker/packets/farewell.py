"""With which reason code a connection of 5.0 ends (4.13) that has broken a rule, and how a CONNECT is refused. Imports
core.

Each rule that a client can break has its code here, and none is derived from its number. Rules are called as they are
where they are checked: those of 3.1.1 and 5.0 stand side by side, for much is checked in one place for both. What
cannot be read is malformed (0x81), as is what the standard calls so; what can be read and may not come is a protocol
error (0x82); some have a code of their own.
"""

from ...core.errors import ProtocolError
from ...core.greeting import BAD_CREDENTIALS as BAD_CREDENTIALS_4
from ...core.greeting import IDENTIFIER_REJECTED, SERVER_UNAVAILABLE
from ...core.greeting import NOT_AUTHORISED as NOT_AUTHORISED_4
from ...core.reason_codes import (
    BAD_ALIAS,
    BAD_CREDENTIALS,
    BAD_IDENTIFIER,
    BAD_METHOD,
    KEEP_ALIVE,
    MALFORMED,
    NOT_AUTHORISED,
    PACKET_TOO_LARGE,
    PROTOCOL_ERROR,
    RECEIVE_MAXIMUM_EXCEEDED,
    REFUSED,
)
from ...core.reasons import words

REASONS = {
    # Strings, lengths, properties
    "1.5.3": MALFORMED,  # a field is longer than its packet
    "1.5.4": MALFORMED,
    "1.5.5": MALFORMED,  # a length that does not end
    "MQTT-1.5.3-1": MALFORMED,  # not UTF-8
    "MQTT-1.5.3-2": MALFORMED,  # U+0000
    "MQTT-1.5.5-1": MALFORMED,  # a length in more bytes than it needs
    "2.2.2.1": MALFORMED,  # properties are longer than their packet
    "2.2.2.2": MALFORMED,  # a property that may not stand in its packet, or is longer than it
    "2.2.2": PROTOCOL_ERROR,  # a property twice, or with a value that it may not have
    # Fixed header, packet identifier
    "2.1.2": PROTOCOL_ERROR,  # a type of packet that only a server sends
    "2.2.1": MALFORMED,  # packet type 0
    "2.2.3": MALFORMED,  # Remaining Length
    "2.3.1": MALFORMED,  # no packet identifier
    "MQTT-2.2.2-2": MALFORMED,  # flags
    "MQTT-2.3.1-1": PROTOCOL_ERROR,  # packet identifier 0
    "4.8": PACKET_TOO_LARGE,
    # CONNECT
    "3.1.2": MALFORMED,
    "3.1.4": NOT_AUTHORISED,  # its authentication is not over in time
    "MQTT-3.1.0-1": PROTOCOL_ERROR,  # not the first packet
    "MQTT-3.1.0-2": PROTOCOL_ERROR,  # the second
    "MQTT-3.1.2-1": MALFORMED,  # protocol name
    "MQTT-3.1.2-3": MALFORMED,  # reserved flag
    "MQTT-3.1.2-13": MALFORMED,  # QoS of a will that there is not
    "MQTT-3.1.2-14": MALFORMED,  # will QoS 3
    "MQTT-3.1.2-15": MALFORMED,  # RETAIN of a will that there is not
    "MQTT-3.1.4-1": MALFORMED,  # bytes behind its last field
    "MQTT-3.1.2-24": KEEP_ALIVE,
    # PUBLISH
    "3.3.2.1": PROTOCOL_ERROR,  # neither topic name nor topic alias
    "3.3.2.3.4": PROTOCOL_ERROR,  # a topic alias that stands for nothing
    "MQTT-3.3.1-2": MALFORMED,  # DUP at QoS 0
    "MQTT-3.3.1-4": MALFORMED,  # QoS 3
    "MQTT-3.3.2-1": MALFORMED,  # ends before its topic name
    "MQTT-3.3.2-2": MALFORMED,  # wildcard in the topic name
    "MQTT-3.3.2-9": BAD_ALIAS,
    "MQTT-3.3.4-6": PROTOCOL_ERROR,  # subscription identifier
    "4.3": PROTOCOL_ERROR,  # an acknowledgement that does not fit its message
    "4.3.3": RECEIVE_MAXIMUM_EXCEEDED,
    # Acknowledgements
    "3.4.3": MALFORMED,  # a payload
    "3.4.2.1": PROTOCOL_ERROR,  # reason code
    # SUBSCRIBE, UNSUBSCRIBE, topic filters
    "3.8.3": MALFORMED,  # ends before its options
    "3.8.3.1": PROTOCOL_ERROR,  # QoS 3, Retain Handling 3
    "3.8.2.1.2": PROTOCOL_ERROR,  # two subscription identifiers
    "3.9.3": PACKET_TOO_LARGE,  # its answer is larger than the client takes
    "MQTT-3.8.3-2": PROTOCOL_ERROR,  # no topic filter
    "MQTT-3.8.3-4": PROTOCOL_ERROR,  # No Local for a shared subscription
    "MQTT-3.8.3-5": MALFORMED,  # reserved bits
    "MQTT-3.10.3-2": PROTOCOL_ERROR,  # no topic filter
    "MQTT-4.7.1-2": MALFORMED,  # where # may not stand
    "MQTT-4.7.1-3": MALFORMED,  # where + may not stand
    "MQTT-4.7.3-1": MALFORMED,  # empty
    "MQTT-4.7.3-3": MALFORMED,  # longer than 65,535 bytes
    "MQTT-4.8.2-1": PROTOCOL_ERROR,  # $share/ without a name or a filter
    # PINGREQ, DISCONNECT
    "3.12": MALFORMED,  # a body
    "3.14.2.1": PROTOCOL_ERROR,  # reason code
    "3.14.2.2.2": PROTOCOL_ERROR,  # a session kept that CONNECT has not asked for
    "3.14.3": MALFORMED,  # a payload
    # AUTH
    "3.15.2.1": PROTOCOL_ERROR,  # reason code
    "3.15.3": MALFORMED,  # a payload
    "4.12": PROTOCOL_ERROR,  # another packet, or AUTH when none may come
}


def reason_of(error: ProtocolError) -> int:
    """The reason code of DISCONNECT, or of the CONNACK that refuses a CONNECT."""
    return REASONS.get(error.rule, PROTOCOL_ERROR)


TOO_FAST = 0x9F  # connection rate exceeded; here: logins that failed

# Why CONNECT is refused, for logs (3.2.2.3 of 3.1.1)
_REFUSALS = {
    1: "its protocol level is none of 3, 4 and 5 (MQTT 3.1, 3.1.1, 5.0)",
    2: "its client identifier is missing or too long",
    3: "the broker has no room for it now",
    4: "bad user name or password",
    5: "not authorised",
    TOO_FAST: "too many logins have failed of late, so its password is not looked at now (failed_logins_a_minute)",
}

_RETURN_CODES = {
    BAD_IDENTIFIER: IDENTIFIER_REJECTED,
    BAD_CREDENTIALS: BAD_CREDENTIALS_4,
    NOT_AUTHORISED: NOT_AUTHORISED_4,
    BAD_METHOD: NOT_AUTHORISED_4,
}


def return_code(reason: int) -> int:
    """What a reason code is in a CONNACK of 3.1.1."""
    return _RETURN_CODES.get(reason, SERVER_UNAVAILABLE)


def why_refused(code: int, has_reasons: bool) -> str:
    """Words for a CONNACK. `code`: a return code of 3.1.1, or a reason code, also where CONNACK has none and says less
    than it.
    """
    if has_reasons:
        from ...core.wire5_server import RETURN_CODES  # loaded by then, with the first client of 5.0

        said = RETURN_CODES[code] if code < len(RETURN_CODES) else code
    else:
        said = code if code < REFUSED else return_code(code)
    return f"CONNACK {said}, {_REFUSALS.get(code) or words(code)}"
