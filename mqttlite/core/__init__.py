"""Ground floor: MQTT without I/O, clock or randomness. The same files run on CPython and on MicroPython.

session     QoS 1 and 2, both directions, both roles, any version: the tables. Loaded when needed: reused_identifiers,
            lost_session, early_ends, earlier_life. invariants: what always holds
records     what a session tells a store                 keys         how a message is known again, whatever brings it
connection -> client, server   one network connection, seen from either end. oversize: what a client reads past
session_host, client_host      both at a client on CPython, with short ways for what nearly all packets are
wire        what a version of MQTT is: wire4 and wire5 at the client's end, wire4_server and wire5_server at the
            server's; versions, greeting: which one a CONNECT is in, and what all have in common
properties, announced, reason_codes   what only 5.0 has
codec       fields, PUBLISH and its acknowledgements     parser       bytes to packets
text        UTF-8 and topic rules; characters            matching     topic filters against topic names
packet_types  first bytes, by name                       sizes        what the ends agree on
errors      what is raised; rare_errors, and in words: broken_rules, refusals, reasons, oserror; shown: of others
as_new      a message that has ended, once more          features     what a board's bundle can leave out
events      who is told, for the type checker

Imports: nothing but struct and binascii, and each other; what is below knows nothing of what is above.
"""


def const(value: int) -> int:
    """`value`. MicroPython's compiler knows this name: it puts the number wherever the constant stands in the same
    file.
    """
    return value


PORT = const(1883)  # registered for MQTT without TLS
