"""What a board's bundle can leave out: all 1 in the source; tools/bundle sets those to 0 that a set does not have.

Code that belongs to a feature alone stands behind `if FLAG`, where the value that it is about comes in; the builder
finds what cannot be reached any more.
"""

from . import const

JOURNAL = const(1)  # a store that outlives the power supply
SERIAL = const(1)  # serial:// through a gateway
KEYS = const(1)  # idempotency keys
V5 = const(1)  # MQTT 5.0
DOUBTS = const(1)  # messages in doubt or set aside: pending, retry, settle
MANUAL_ACK = const(1)  # acknowledge(message)
TLS = const(1)  # mqtts://
STREAM = const(1)  # payloads in pieces: publish_stream, receive_stream
SERVER = const(1)  # the server's end: no board has it
HOST = const(1)  # what is set on CPython alone
TEXTS = const(1)  # errors in words; 0: by numbers, which `mqttlite explain` puts into words
