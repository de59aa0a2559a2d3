"""Ground floor: MQTT 3.1.1 without I/O, clock or randomness. The same files run on CPython and on MicroPython.

errors      what is raised; faults: words; rare        packet_types  first bytes, by name
text        UTF-8 and topic rules                      matching      topic filters against topic names
codec       packets both roles send: PUBLISH and its acknowledgements
codec_client, codec_server   what only one of them sends, mirror images
parser      bytes to packets                           sizes         what the ends agree on
session     QoS 1 and 2, both directions, both roles: the table; loaded when needed: reused (identifiers of a peer
            that lost its memory), lost (it has lost the session), clearing (we have lost our store)
connection -> client, server   one network connection, seen from either end
refusals    words for CONNACK's return codes           owners        interfaces, for the type checker
oserror     words for a board's numbers

Imports: nothing but struct and binascii, and only what stands higher here.
"""


def const(value: int) -> int:
    """`value`. MicroPython's compiler knows this name: it puts the number wherever the constant stands in the same
    file.
    """
    return value
