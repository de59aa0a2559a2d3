"""The first byte of each packet. Both runtimes; imports nothing else.

Imported wherever they are needed: what that costs a board, tools/ takes away, which puts the numbers in their place.
"""

from . import const

# First byte of each packet that has only one: type and reserved flags [MQTT-2.2.2-1].
CONNECT = const(0x10)
CONNACK = const(0x20)
PUBLISH = const(0x30)  # | DUP 8 | QoS << 1 | RETAIN 1
PUBACK = const(0x40)
PUBREC = const(0x50)
PUBREL = const(0x62)
PUBCOMP = const(0x70)
SUBSCRIBE = const(0x82)
SUBACK = const(0x90)
UNSUBSCRIBE = const(0xA2)
UNSUBACK = const(0xB0)
PINGREQ = const(0xC0)
PINGRESP = const(0xD0)
DISCONNECT = const(0xE0)

# What Parser.next returns at the end of a PUBLISH that it has read past (oversize.py): no packet of ours begins so.
GONE_BY = const(0xF0)
