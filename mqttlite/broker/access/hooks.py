"""What a program that has the broker inside may have a say in: who connects, what is allowed, which messages are taken.

    async def authenticate(arriving: Arriving) -> Identity | None:
        answer = await ask_the_server(arriving.username, arriving.password)
        return Identity(arriving.username, frozenset(answer.groups)) if answer.ok else None

    async with Broker(hooks=Hooks(authenticate=authenticate)): ...

A hook that raises denies, and its error is in the log. docs/access.md has examples with HTTP and a database. Imports
identity, authentication.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .authentication import Arriving
from .identity import Identity

log = logging.getLogger("mqttlite.broker")


@dataclass(frozen=True, slots=True)
class Message:
    """What a client wants to publish. `qos`: 0 to 2."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


Authenticating = Callable[[Arriving], Awaitable[Identity | None]]
Authorising = Callable[[Identity, str, str], bool | None]
Inspecting = Callable[[Identity, Message], Message | None]


@dataclass(frozen=True, slots=True)
class Hooks:
    """`authenticate`: a coroutine function, asked about each CONNECT in place of the users of the file; it may take as
    long as `authentication_ms` (limits) says, and others do not wait meanwhile. Who it is, with the rights that only
    this client has (`Identity.rules`); None, or Refusal raised: it may not connect.

    `authorise(identity, action, topic)`: whether a client may do `action` ("publish", "subscribe", "receive") with a
    topic name or, to subscribe, a topic filter; None: as the rules say. Asked when a route is made, not for each
    message, and its answer is kept until `Broker.reload`; it must not wait for anything. What has to be asked of a
    server or a database is asked when the client connects, and becomes its rules.

    `inspect(identity, message)`: asked for each message that a client publishes and has the right to, and for its will
    when it connects. The message, or one with another payload or `retain` in its place; None: it is not taken. It must
    not wait for anything, and costs its time for each message. One that has to wait for a slow client is shown again.
    """

    authenticate: Authenticating | None = None
    authorise: Authorising | None = None
    inspect: Inspecting | None = None

    def __post_init__(self) -> None:
        for name in ("authenticate", "authorise", "inspect"):
            hook = getattr(self, name)
            if hook is not None and not callable(hook):
                raise TypeError(f"Hooks: {name} must be a function, not {hook!r:.60}")
