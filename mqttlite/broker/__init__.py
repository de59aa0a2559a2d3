"""The broker: an engine without sockets, and the asyncio shell around it.

server        the shell: sockets, flushing, deadlines      listen     addresses to listen on
inside        sessions of programs in this process
listener      TLS and WebSocket of an address             origins    pages that may open WebSockets
handshakes    why one did not come about
commit_gate   output waits for the commit of what it tells of
engine        connections come and go, limits              status     what the broker says about itself
sessions      CONNECT, sessions, subscriptions             welcome, farewell, wills   what they say
router        messages: topic -> clients, queues           retained, subscriptions, shares, route   what they say
access/       users and rights: identity, rules, guard, hooks
rights, publishable   kept with routes and connections          new_guard   when they change
witnessed     router and queues of a broker that has a delivery ledger (mqttlite/ledger)
delivery      a message to one client, with all options    forms      how it leaves, in the client's version
backpressure  who has to wait for whom
asking        awaits who somebody is
admission     asks who may connect                     authentication   what an application says of that
peer          a client's network connection   publish4, publish5, long_requests   what it sends
client_session   its session
queue         the core's session, an account of its bytes  extras     what a message has of 5.0
broker_store  what is kept, and how sessions tell it       parsing    the core's parser, quicker for servers
operating/    what an operator has: metrics, control socket, systemd   events   lines of the log about connections
ledger        the bytes of all that, in one place          limits, stats   what they say

Imports: downwards in this list, mqttlite.core and, for TLS and WebSocket, mqttlite.net. Only server, listen and
listener know sockets or a clock; everything else takes bytes and `now` (ms), so that a test or a simulator can drive
it.

Each name below is loaded when it is asked for: `mqttlite ctl` and `mqttlite passwd` need a module or two of all this.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .access.access import Access as Access
    from .access.hooks import Hooks as Hooks
    from .access.hooks import Message as Message
    from .access.identity import Identity as Identity
    from .access.rule import READ as READ
    from .access.rule import WRITE as WRITE
    from .access.rule import Rule as Rule
    from .access.rules import Rules as Rules
    from .authentication import Arriving as Arriving
    from .authentication import Authenticate as Authenticate
    from .authentication import Refusal as Refusal
    from .inside import Inside as Inside
    from .inside import InsideError as InsideError
    from .inside import Taken as Taken
    from .limits import Limits as Limits
    from .listener import Listener as Listener
    from .listener import Tls as Tls
    from .server import Broker as Broker

__all__ = [
    "READ",
    "WRITE",
    "Access",
    "Arriving",
    "Authenticate",
    "Broker",
    "Hooks",
    "Identity",
    "Inside",
    "InsideError",
    "Limits",
    "Listener",
    "Message",
    "Refusal",
    "Rule",
    "Rules",
    "Taken",
    "Tls",
]

_HOMES = {
    "Access": "access.access",
    "Arriving": "authentication",
    "Authenticate": "authentication",
    "Broker": "server",
    "Hooks": "access.hooks",
    "Identity": "access.identity",
    "Inside": "inside",
    "InsideError": "inside",
    "Limits": "limits",
    "Listener": "listener",
    "Message": "access.hooks",
    "READ": "access.rule",
    "Refusal": "authentication",
    "Rule": "access.rule",
    "Rules": "access.rules",
    "Taken": "inside",
    "Tls": "listener",
    "WRITE": "access.rule",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
