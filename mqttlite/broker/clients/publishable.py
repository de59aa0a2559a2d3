"""What one connection may publish, kept so that a message costs nothing more for it: a dictionary of topic names, asked
in place of the routes, which fills with what the guard has said. Imports access, ledger, limits.
"""

from collections.abc import Callable

from ..access.guard import PUBLISH, Guard
from ..access.identity import Identity, source
from ..counting.ledger import Ledger
from ..limits import Denied, Limits
from ..topics.names import undelayed

TOPIC = 128  # bytes for a topic name that a connection may publish to, beside its length


class Publishable(dict[bytes, None]):
    """The topic names to which one connection may publish, as far as it has asked. `check`: as Router.check_topic."""

    __slots__ = ("_bytes", "_check", "_guard", "_identity", "_ledger", "_limits", "_source")

    def __init__(
        self, guard: Guard, identity: Identity, check: Callable[[bytes], object], ledger: Ledger, limits: Limits
    ) -> None:
        self._guard = guard
        self._identity = identity
        self._check = check
        self._ledger = ledger
        self._limits = limits
        self._bytes = 0
        self._source: bytes | None = None

    @property
    def source(self) -> bytes:
        """Whose messages are, as it is kept with those that are retained."""
        if self._source is None:
            self._source = source(self._identity)
        return self._source

    def __missing__(self, topic: bytes) -> None:
        self._check(topic)
        if not self._guard.may(self._identity, PUBLISH, undelayed(topic)):
            text = f"may not publish to {shown(topic)}"
            told = f"{self._identity.subject} {text}: the broker's rules do not allow it"
            raise Denied(f"{self._identity.text} {text}", told)
        cost = len(topic) + TOPIC
        ledger = self._ledger
        bytes_max = self._limits.rights_bytes
        if ledger.rights + cost > bytes_max:
            self.forget()  # its own: it asks again, others do not
            if ledger.rights + cost > bytes_max:
                return
        ledger.rights += cost
        self._bytes += cost
        self[topic] = None

    def forget(self) -> None:
        """Give everything back: the connection ends, or its rights are others."""
        self.clear()
        self._ledger.rights -= self._bytes
        self._bytes = 0


def shown(topic: bytes) -> str:
    """A topic or filter for a log line: escaped, and not longer than it is worth."""
    text = ascii(topic.decode())
    return text if len(text) <= 100 else text[:100] + "...'"
