"""The broker: an engine without sockets, and the asyncio shell around it.

server        the shell: sockets, flushing, deadlines      listen     addresses to listen on
commit_gate   output waits for the commit of what it tells of
engine        clients come and go: sessions, wills, limits status     what the broker says about itself
router        messages: topic -> clients, queues           retained, subscriptions   what they say
backpressure  who has to wait for whom
peer          a client's session, its network connection   queue      the core's session with an account of its bytes
broker_store  what is kept, and how sessions tell it       parsing    the core's parser, quicker for servers
ledger        the bytes of all that, in one place          limits, stats   what they say

Imports: downwards in this list, and mqttlite.core. Only server and listen know sockets or a clock; everything else
takes bytes and `now` (ms), so that a test or a simulator can drive it.
"""

from .limits import Limits
from .server import Broker

__all__ = ["Broker", "Limits"]
