"""The MQTT client: `from mqttlite.client import Client`, the same on CPython and on MicroPython.

Here stand what boards load, and what an application imports by its path. The rest, for CPython alone, has a folder for
each subject, whose docstring is its map:

arguments       what an application passes, checked before it does harm
connecting      how a connection is opened, read, written and watched; what is said when none comes about
secure          the same with TLS and WebSocket
traffic         what is published and what arrives, bounded and counted; many at once
subscriptions   iterators and functions with a topic filter of their own
requests        a message that is answered: who asks, who serves
versions        what only 3.1 or only 5.0 has

Both runtimes:

face            what an application calls: BaseClient         messages   what the application gives and gets
life            what the parts of a client share              url        where to connect to
outgoing, incoming   what is published, what arrives          transport  what a connection is, for the type checker
connector       one connection after the other
(when needed)   outlived (a store), idempotency (keys), unconfirmed (what has not ended well, or not yet), suspects
                (connections that do not last), subscribing, will, oversized, expiring, saying5, closing, address (a
                password or an IPv6 address in a URL), addresses; pieces/: payloads in pieces

The two ends:

host            CPython: Client, its arguments checked; comfort: what it has beyond a board, loaded when it is used
board           MicroPython, with its sockets; board_tls
board_errors    what a board says in numbers, in words again. CPython

For an application: streams (`place_of`), authentication (5.0), first_answers (where `serve` keeps them). CPython.

Imports run downwards: face, connector, incoming and outgoing, life; what is loaded when needed stands below who needs
it, but for outlived and closing, which the face calls. The folders stand upon these; among themselves: arguments;
traffic; connecting, then secure; versions; subscriptions, then requests. A serial line, its ports and the clock are
mqttlite.serial's.
"""

import sys

from .messages import Message, Receipt

if sys.implementation.name != "micropython":
    from .host import Client
else:
    from .board import Client  # type: ignore[assignment]

__all__ = ["Client", "Message", "Receipt"]
