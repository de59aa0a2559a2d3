"""Ground floor: MQTT 3.1.1 without I/O, clock or randomness. The same files run on CPython and on MicroPython.

errors  what is raised          codec         packets both roles send: PUBLISH and its acknowledgements
text    UTF-8 and topic rules   codec_client  what only a client sends, and what it receives
parser  bytes to packets        codec_server  the mirror image
session QoS 1 and 2, both directions, both roles: the table
connection -> client, server    one network connection, seen from either end

Imports: nothing but struct and binascii (today not even those), and only upwards in this list.
"""


def const(value: int) -> int:
    """`value`. MicroPython's compiler knows this name: it puts the number wherever the constant stands in the same
    file.
    """
    return value
