"""The first byte of each packet. Files for boards have the few that they use as private constants of their own:
MicroPython's compiler turns a constant into a number only in the file that defines it. A test compares them with these.
"""

# First byte of each packet that has only one: type and reserved flags [MQTT-2.2.2-1].
CONNECT = 0x10
CONNACK = 0x20
PUBLISH = 0x30  # | DUP 8 | QoS << 1 | RETAIN 1
PUBACK = 0x40
PUBREC = 0x50
PUBREL = 0x62
PUBCOMP = 0x70
SUBSCRIBE = 0x82
SUBACK = 0x90
UNSUBSCRIBE = 0xA2
UNSUBACK = 0xB0
PINGREQ = 0xC0
PINGRESP = 0xD0
DISCONNECT = 0xE0
