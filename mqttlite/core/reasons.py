"""What the reason codes of MQTT 5.0 mean (2.4), and what to do about them. Both runtimes; loaded when needed."""

from . import const
from .features import HOST

PLAIN_MAX = const(500)  # characters of what a broker says

_REASONS = {
    0x00: "ended in good order",
    0x80: "unspecified error; the broker's log may say more",
    0x81: "a packet was malformed",
    0x82: "a packet was not allowed by the protocol",
    0x83: "the broker's implementation does not accept this",
    0x84: "the broker does not speak MQTT 5.0; use MQTT 3.1.1",
    0x85: "the broker does not accept this client identifier; choose another",
    0x86: "bad user name or password",
    0x87: "not authorised; check the password, and the rights of this user and client identifier",
    0x88: "the broker is not available now; try again later",
    0x89: "the broker is busy; try again later",
    0x8A: "banned by the broker's administrator",
    0x8B: "the broker is shutting down; try again later",
    0x8C: "bad authentication method",
    0x8D: "nothing was heard for one and a half times the keep alive",
    0x8E: "another connection uses the same client identifier; each client needs its own",
    0x8F: "the broker does not accept this topic filter",
    0x90: "the broker does not accept this topic name",
    0x91: "the packet identifier is in use; was the session's state lost?",
    0x92: "the packet identifier is unknown; was the session's state lost?",
    0x93: "more unacknowledged messages than the receive maximum",
    0x94: "invalid topic alias",
    0x95: "the packet is too large for the broker",
    0x96: "messages came faster than the broker accepts",
    0x97: "a quota of the broker is used up",
    0x98: "ended by the broker's administrator",
    0x99: "the payload is not in the format that it says",
    0x9A: "the broker has no retained messages; publish without retain",
    0x9B: "the broker does not have this QoS; use a lower one",
    0x9C: "use another server for now",
    0x9D: "the server has moved",
    0x9E: "the broker has no shared subscriptions",
    0x9F: "connections came faster than the broker accepts; try again later",
    0xA0: "the broker's limit on the time of a connection",
    0xA1: "the broker has no subscription identifiers",
    0xA2: "the broker has no wildcard subscriptions; name each topic",
}


def words(code: int, reason_string: bytes = b"", server_reference: bytes = b"") -> str:
    """Words for a reason code, with its number, and with what the broker said besides."""
    text = _REASONS.get(code, "reserved reason code") + " (reason code 0x%02x)" % code
    if reason_string:
        text += "; the broker says: " + (plain(reason_string) if HOST else str(reason_string, "utf-8"))
    if server_reference:
        text += "; other server: " + (plain(server_reference) if HOST else str(server_reference, "utf-8"))
    return text


def plain(said: bytes) -> str:
    """What a broker says (UTF-8), as text for a log and a terminal: what would move in it (control characters, marks of
    direction, other ends of lines) is escaped, and what is very long is cut. A host's.
    """
    text = ""
    for character in str(said, "utf-8"):
        if len(text) >= PLAIN_MAX:
            return text + "..."
        code = ord(character)
        if code < 0x20 or 0x7F <= code < 0xA0:
            character = "\\x%02x" % code
        elif code in (0x61C, 0xFEFF) or 0x200B <= code < 0x2010 or 0x2028 <= code < 0x202F or 0x2060 <= code < 0x2070:
            character = "\\u%04x" % code
        text += character
    return text
