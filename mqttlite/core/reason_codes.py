"""Reason codes of MQTT 5.0 (2.4), those that are used by name; reasons.py has words for all of them. Both runtimes.

From REFUSED on, a code says that something was refused. The session, which knows no version, and errors of 3.1.1 use
some of them, too.
"""

from . import const

REFUSED = const(0x80)  # for no reason that has a code of its own; in 3.1.1 the one of SUBACK
MALFORMED = const(0x81)
PROTOCOL_ERROR = const(0x82)
UNSUPPORTED_VERSION = const(0x84)
BAD_IDENTIFIER = const(0x85)
BAD_CREDENTIALS = const(0x86)
NOT_AUTHORISED = const(0x87)
UNAVAILABLE = const(0x88)
RECEIVE_MAXIMUM_EXCEEDED = const(0x93)
PACKET_TOO_LARGE = const(0x95)
NO_RETAIN = const(0x9A)
NO_SUCH_QOS = const(0x9B)
