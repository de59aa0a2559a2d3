"""Why a connection of a client ended in TLS or in the opening of a WebSocket, or at the listener for the other one, in
words for the broker's log.
"""

import ssl

from ...net.layer import Layer


def words(error: Exception, layer: Layer) -> str:
    """The rest of a sentence about a client whose connection through `layer` (the uppermost) `error` has ended."""
    while isinstance(layer.below, Layer):
        layer = layer.below  # which saw its first bytes
    if not isinstance(error, ssl.SSLError):
        return str(error)
    first = layer.first
    if first and first[0] != 0x16:
        if first[:1] == b"\x10":
            return "it speaks MQTT without TLS: the client needs mqtts:// (or this listener mqtt://)"
        if first[:1].isalpha():
            return "it speaks HTTP without TLS: a browser needs wss:// or https://"
        return "it does not speak TLS"
    reason = error.reason or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the client's certificate does not hold: {error.verify_message}"
    for part, text in _REASONS:
        if part in reason:
            return text
    return f"TLS: {reason.lower().replace('_', ' ') or error}"


def has_begun(layer: Layer) -> bool:
    """Whether a byte has come through `layer` (the uppermost), of whatever it was."""
    while isinstance(layer.below, Layer):
        layer = layer.below
    return bool(layer.first)


def spoken(first: bytes) -> str:
    """What a client speaks that begins so at a listener for MQTT alone; "" when it is neither TLS nor HTTP."""
    if first[:2] == b"\x16\x03":
        return "it speaks TLS: the client needs mqtt:// (or this listener mqtts://)"
    if first.startswith((b"GET ", b"HEAD ", b"POST ", b"PUT ", b"OPTIONS ")):
        return "it speaks HTTP: a browser needs a listener of ws:// or wss://"
    return ""


_REASONS = (
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "the client shows no certificate, and this listener wants one"),
    ("ALERT_UNKNOWN_CA", "the client does not trust this broker's certificate: it does not know its CA"),
    ("ALERT_CERTIFICATE_EXPIRED", "the client says that this broker's certificate has expired"),
    ("ALERT_BAD_CERTIFICATE", "the client does not accept this broker's certificate: is the name in it the one used?"),
    ("ALERT_CERTIFICATE_UNKNOWN", "the client does not accept this broker's certificate"),
    ("UNSUPPORTED_PROTOCOL", "the client speaks only versions of TLS before 1.2"),
    ("VERSION_TOO_LOW", "the client speaks only versions of TLS before 1.2"),
    ("NO_SHARED_CIPHER", "the client and this broker have no cipher of TLS in common"),
    ("NO_SUITABLE_SIGNATURE", "the client does not take the kind of key that this broker's certificate has"),
    ("UNEXPECTED_EOF", "the client closed the connection during the handshake of TLS"),
)
