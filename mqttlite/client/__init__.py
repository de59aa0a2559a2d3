"""The MQTT client: `from mqttlite.client import Client`, the same on CPython and on MicroPython.

face         what an application calls: BaseClient            messages   what the application gives and gets
life         what the parts of a client share                 url        where to connect to
outgoing, incoming   what is published, what arrives          transport  what a connection is, for the type checker
connector    one connection after the other
host, connector_host   CPython, with sockets; checks: of arguments; watchdog: PINGREQ for applications that block;
             threads: for handlers; comfort: what loads subscription, distribution (iterators with a topic filter) and
             handlers (functions that are called); dialing, unreachable, recognise: what answers at an address, or does
             not
board        MicroPython, with its sockets

Loaded when needed: outlived (a store), idempotency (keys), unconfirmed (what has not ended well, or not yet), suspects
(connections that do not last), subscribing, will, oversized, closing, address (a password or an IPv6 address in a
URL), addresses.

Imports run downwards: face, connector, incoming and outgoing, life; what is loaded when needed stands below who needs
it, but for outlived and closing, which the face calls. A serial line, its ports and the clock are mqttlite.serial's.
"""

import sys

from .messages import Message, Receipt

if sys.implementation.name != "micropython":
    from .host import Client
else:
    from .board import Client  # type: ignore[assignment]

__all__ = ["Client", "Message", "Receipt"]
