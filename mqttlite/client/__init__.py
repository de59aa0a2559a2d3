"""The MQTT client: `from mqttlite.client import Client`, the same on CPython and on MicroPython.

base      what both runtimes share: reconnection, publish, subscribe      messages  what the application gives and gets
host      CPython, with sockets                                           board     MicroPython, with its sockets
watchdog  PINGREQ for applications that block (CPython)                   threads   a thread for handlers (CPython)
url       where to connect to                                             transport what a connection is, for the type
                                                                                    checker
A serial line, its ports and the clock are mqttlite.serial's.

Loaded when needed: outlived (a store), idempotency (keys), unconfirmed (what has not ended well, or not yet), closing,
address (a password or an IPv6 address in a URL).
"""

import sys

from .messages import Message, Receipt

if sys.implementation.name != "micropython":
    from .host import Client
else:
    from .board import Client  # type: ignore[assignment]

__all__ = ["Client", "Message", "Receipt"]
