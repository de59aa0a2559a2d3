"""What the engine asks about users and rights: one object with three questions, so that a test, a simulator or an
application can put another one in its place (`Engine.set_guard`). Imports identity, rule, authentication.
"""

from collections.abc import Awaitable, Callable

from .authentication import Arriving
from .identity import Identity
from .rule import PUBLISH, RECEIVE, SUBSCRIBE

__all__ = ["ALLOW_ALL", "PUBLISH", "RECEIVE", "SUBSCRIBE", "Guard", "Later"]

Later = Callable[[], Awaitable[Identity]]
"""An answer that takes time; awaiting it may raise Refusal."""


class Guard:
    """Whoever has no rules: everybody may connect, publish and subscribe to everything. The engine asks nothing of it
    that is not in this class.

    Answers of `may` are kept with routes and connections until the next `set_guard`, so it is asked seldom, and always
    has to give the same answer.
    """

    is_open = True  # `may` would always say yes, so it is not asked
    inspects = False  # messages are shown to `inspect`
    closes_denied = False  # what 3.1.1 does about a PUBLISH that is denied: close, or acknowledge and drop it

    def admit(self, arriving: Arriving) -> Identity | Later:
        """Who this is, at once or later; both may raise Refusal."""
        return Identity(None, address=arriving.address, client_id=arriving.client_id)

    def known(self, identity: Identity) -> Identity | None:
        """The same as it is now: a user may have got other groups; None: there is no such user any more. Asked when
        this guard takes over from another, and of identities that the store has kept.
        """
        return identity

    def stays(self, identity: Identity) -> bool:
        """Whether a connection that an earlier guard has let in may go on: not, if what it has shown does not hold any
        more. Its session stays its own.
        """
        return True

    def may(self, identity: Identity, action: str, topic: bytes) -> bool:
        """Whether `identity` may do `action` (PUBLISH, SUBSCRIBE, RECEIVE) with `topic`: a topic name, or for SUBSCRIBE
        a topic filter, without the `$share/...` in front of it.
        """
        return True

    def inspect(self, identity: Identity, flags: int, topic: bytes, payload: bytes) -> tuple[int, bytes] | None:
        """What is taken of a message: its flags (QoS << 1 | RETAIN) and its payload; None: nothing."""
        return flags, payload


ALLOW_ALL = Guard()
