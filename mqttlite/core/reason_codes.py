"""Reason codes of MQTT 5.0 (2.4), those that are used by name; reasons.py has words for all of them. Both runtimes.

From REFUSED on, a code says that something was refused. The session, which knows no version, and errors of 3.1.1 use
some of them, too.
"""

from . import const

NO_SUBSCRIBERS = const(0x10)
NO_SUBSCRIPTION = const(0x11)
REFUSED = const(0x80)  # for no reason that has a code of its own; in 3.1.1 the one of SUBACK
MALFORMED = const(0x81)
PROTOCOL_ERROR = const(0x82)
UNSUPPORTED_VERSION = const(0x84)
BAD_IDENTIFIER = const(0x85)
BAD_CREDENTIALS = const(0x86)
NOT_AUTHORISED = const(0x87)
UNAVAILABLE = const(0x88)
SHUTTING_DOWN = const(0x8B)
BAD_METHOD = const(0x8C)
KEEP_ALIVE = const(0x8D)
TAKEN_OVER = const(0x8E)
BAD_FILTER = const(0x8F)
BAD_TOPIC = const(0x90)
RECEIVE_MAXIMUM_EXCEEDED = const(0x93)
BAD_ALIAS = const(0x94)
PACKET_TOO_LARGE = const(0x95)
QUOTA_EXCEEDED = const(0x97)
NO_RETAIN = const(0x9A)
NO_SUCH_QOS = const(0x9B)
ANOTHER_SERVER = const(0x9C)
NO_SHARED = const(0x9E)
NO_IDENTIFIERS = const(0xA1)
NO_WILDCARDS = const(0xA2)
