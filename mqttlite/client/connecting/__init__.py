"""How a client on CPython gets a connection, and keeps it.

connector_host   one connection after the other: TCP, Unix sockets, serial lines; and what went wrong with them
flow             bytes that arrive straight into the protocol, and one write for what a turn of the loop has made
sockets          a connected socket: TCP, Unix, or a layer upon one
dialing          a host name with several addresses, no dead one of which is waited for
watchdog         PINGREQ for an application that lets nothing else run
unreachable      what an address is called, and why nothing answers there
recognise        what answers there and is not MQTT

Imports run downwards in this list, but for unreachable, which imports the URL alone.
"""
