"""The MQTT client: `from mqttlite.client import Client`, the same on CPython and on MicroPython.

base   what both runtimes share: reconnection, publish, subscribe, messages
host   CPython: TCP, Unix sockets, serial lines            board  MicroPython: TCP, UART
url    the URLs that both take
"""

import sys

from .base import Message, Receipt

if sys.implementation.name != "micropython":
    from .host import Client
else:
    from .board import Client  # type: ignore[assignment]

__all__ = ["Client", "Message", "Receipt"]
