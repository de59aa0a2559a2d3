"""The broker: an engine without sockets, and the asyncio shell around it.

server  the shell: sockets, flushing, deadlines      listen   addresses to listen on
engine  clients come and go: sessions, wills, limits
router  messages: topic -> clients, queues           backpressure   who has to wait for whom
peer    a client's session, its network connection   queue    the core's session with an account of its bytes
subscriptions, retained, limits, stats               what they say
ledger  the bytes of all that, in one place          parsing  the core's parser, quicker for servers
broker_store  what is kept, and how sessions tell it commit_gate  output waits for the commit of what it tells of

Imports: downwards in this list, and mqttlite.core. Only server and listen know sockets or a clock; everything else
takes bytes and `now` (ms), so that a test or a simulator can drive it.
"""

from .limits import Limits
from .server import Broker

__all__ = ["Broker", "Limits"]
