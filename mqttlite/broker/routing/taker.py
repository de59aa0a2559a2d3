"""What takes messages beside clients: it stands in the subscription tree as they do, and Delivery gives it what its
filter matches. Imports peer.
"""

from ..clients.peer import Peer


class Taker:
    """Base of named queues, streams and what is delayed. `maker`: the user whose subscription has made it, in this life
    of the broker; "": none.
    """

    maker = ""

    def admit(self, publisher: Peer, size: int, fan: int) -> None:
        """Before anything is done about a message of QoS 1 or 2: LimitError or HeldBack where there is no room for its
        `size` bytes, and the rule says so. `fan`: how many takers it has, which share a budget.
        """

    def take(self, publisher: Peer | None, flags: int, topic: bytes, payload: bytes, extra: bytes) -> None:
        """A message. `flags`: QoS << 1 | RETAIN, as published."""
        raise NotImplementedError


class Lender(Taker):
    """A taker that lends its messages to consumers, by their numbers here."""

    def finish(self, number: int, waits: bool = False) -> None:
        """A message has left for good. `waits`: nothing may tell of that before it is durable."""
        raise NotImplementedError

    def give_back(self, number: int, why: str) -> None:
        """A consumer has not acknowledged a message. `why`: "" where that does not count as a try."""
        raise NotImplementedError

    def taken_away(self, number: int) -> None:
        """A consumer may not have a message any more, and may have had it."""
        raise NotImplementedError

    def not_sent(self, number: int) -> None:
        """A message has expired, it is larger than its consumer takes, or that may not have it any more."""
        raise NotImplementedError
