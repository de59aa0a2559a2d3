"""What a connection does with the messages that it brings, and what may come of that. Imports nothing:
a publisher is a Peer here, and a route a Route, which know this module."""

from collections.abc import Callable
from typing import Any


class StoreRoom:
    """Room in the store, as what publishers wait for: like a client that has not caught up."""

    def __init__(self) -> None:
        self.waiting: dict[Any, None] = {}


class HeldBack(Exception):
    """A PUBLISH has to wait, and nothing has been done about it yet."""


class Publishing:
    """What a connection does with the messages that it brings: the router's face to it."""

    work = 0  # packets, deliveries and steps of a search until now: budgets are counted with it
    turn_work = 1  # how much of that is a turn (Limits.turn_work, or less while many want one)
    check_topic: Callable[[bytes], object]  # ProtocolError for what is no topic name, LimitError for one not taken here

    def known_route(self, topic: bytes) -> Any:
        """As Router's."""
        raise NotImplementedError

    def is_for_nobody(self, topic: bytes) -> bool:
        """As Router's."""
        raise NotImplementedError

    def publish(self, publisher: Any, flags: int, topic: bytes, payload: bytes, extra: bytes = b"") -> int:
        """As Router's."""
        raise NotImplementedError

    def publish_all(
        self, publisher: Any, flags: int, route: Any, payloads: list[bytes], whole: bytes, is_even: bool
    ) -> int:
        """As Router's."""
        raise NotImplementedError
