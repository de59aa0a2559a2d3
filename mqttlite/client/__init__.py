"""The MQTT client: `from mqttlite.client import Client`, the same on CPython and on MicroPython.

base      what both runtimes share: reconnection, publish, subscribe      messages  what the application gives and gets
host      CPython, with sockets and ports                                 board     MicroPython, with board_port
watchdog  PINGREQ for applications that block (CPython)                   threads   a thread for handlers (CPython)
serial    a connection through a gateway                                  line      the pump under it
url       where to connect to                                             clock     milliseconds
transport what a connection is, for the type checker

Loaded when needed: kept (a store), keyed (keys), unconfirmed (what has not ended well, or not yet), address (a password
or an IPv6 address in a URL).
"""

import sys

from .messages import Message, Receipt

if sys.implementation.name != "micropython":
    from .host import Client
else:
    from .board import Client  # type: ignore[assignment]

__all__ = ["Client", "Message", "Receipt"]
