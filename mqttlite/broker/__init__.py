"""The broker: an engine without sockets, and the asyncio shell around it. From the top down:

config/       what `mqttlite broker` is told, in a file and on the command line
operating/    what an operator has: metrics, control socket, systemd
inside        sessions of programs in this process        server        the shell: its beginning, its end, its deadlines
reloading     other settings while it runs                audit         a line in the log for each change
connections/  bytes to the engine and away from it        listening/    addresses, TLS and WebSocket of each
engine        connections come and go: what the shell calls
sessions/     all sessions: CONNECT, expiry, wills, $SYS
queues/       named queues, streams, messages for later   gates/        who comes in, and who makes room
routing/      from a message to those who get it
clients/      one client: its connection, its session, its queue
messages/     what a message has besides its payload      packets/      packets as they come, and their answers
access/       users and rights: who a client is, and what it may do
bounds/       what must not be exceeded, and how it is told   counting/   what is counted for that, and for operators
limits        what all of it allows                       named_rules   the same of named queues
topics/       topic names and filters, and what is found by them

Imports: downwards in this list (tools/check_house.py looks), mqttlite.core and, for TLS and WebSocket, mqttlite.net.
Only server, connections/ and listening/ know sockets or a clock; everything else takes bytes and `now` (ms), so that a
test or a simulator can drive it.

Each name below is loaded when it is asked for: `mqttlite ctl` and `mqttlite passwd` need a module or two of all this.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .access.access import Access as Access
    from .access.authentication import Arriving as Arriving
    from .access.authentication import Authenticate as Authenticate
    from .access.authentication import Refusal as Refusal
    from .access.hooks import Hooks as Hooks
    from .access.hooks import Message as Message
    from .access.identity import Identity as Identity
    from .access.rule import READ as READ
    from .access.rule import WRITE as WRITE
    from .access.rule import Rule as Rule
    from .access.rules import Rules as Rules
    from .inside import Inside as Inside
    from .inside import InsideError as InsideError
    from .inside import Taken as Taken
    from .limits import Limits as Limits
    from .listening.listener import Listener as Listener
    from .listening.listener import Tls as Tls
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
    "Arriving": "access.authentication",
    "Authenticate": "access.authentication",
    "Broker": "server",
    "Hooks": "access.hooks",
    "Identity": "access.identity",
    "Inside": "inside",
    "InsideError": "inside",
    "Limits": "limits",
    "Listener": "listening.listener",
    "Message": "access.hooks",
    "READ": "access.rule",
    "Refusal": "access.authentication",
    "Rule": "access.rule",
    "Rules": "access.rules",
    "Taken": "inside",
    "Tls": "listening.listener",
    "WRITE": "access.rule",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
