"""Retained messages (3.3.1.3): the last one of each topic. Imports ledger, limits, extras, queue, topic_tree."""

from collections.abc import Iterator
from typing import NamedTuple

from ..counting.ledger import NODE, RETAINED_COST, Ledger
from ..limits import Limits
from ..topics.topic_tree import TopicTree
from .extras import NEVER, deadline_of


class Retained(NamedTuple):
    """A retained message; `qos` as it was published; `extra`: extras.py."""

    topic: bytes
    payload: bytes
    qos: int
    extra: bytes = b""


class RetainedMessages:
    """All retained messages. `ledger.retained` has their bytes."""

    def __init__(self, limits: Limits, ledger: Ledger) -> None:
        self._limits = limits
        self._ledger = ledger
        self._messages: dict[bytes, Retained] = {}
        self._tree: TopicTree[Retained] = TopicTree()
        self.own: set[bytes] = set()  # topics of what the broker says of itself: a fixed number, which does not count
        self.timed: dict[bytes, None] = {}  # topics whose message expires ...
        self.expires_at = NEVER  # ... none of them before (ms, the broker's clock)

    def __len__(self) -> int:
        return len(self._messages)

    def get(self, topic: bytes) -> Retained | None:
        """What is retained for `topic`."""
        return self._messages.get(topic)

    def refusal(self, topic: bytes, payload: bytes, extra: bytes = b"") -> str:
        """The name of the limit that forbids to retain this, or "". Asked before `store`."""
        size = len(payload) + len(extra) if payload else 0
        if size > self._limits.retained_message_bytes:
            return "retained_message_bytes"
        old = self._messages.get(topic)
        if old is not None:
            size -= len(old.payload) + len(old.extra)
        else:
            size += self._cost(topic)
        # What shrinks is taken even where a restart with smaller limits has left too much.
        return "retained_bytes" if size > 0 and self._ledger.retained + size > self._limits.retained_bytes else ""

    def store(self, topic: bytes, payload: bytes, qos: int, extra: bytes = b"") -> None:
        """Replace what is retained for `topic` [MQTT-3.3.1-5]; an empty payload only removes it [MQTT-3.3.1-10]."""
        if not payload:  # [MQTT-3.3.1-11]
            self._remove(topic)
            return
        old = self._messages.get(topic)
        message = self._messages[topic] = Retained(topic, payload, qos, extra)
        self._ledger.retained += len(payload) + len(extra)
        deadline = deadline_of(extra)
        if deadline >= 0:
            self.timed[topic] = None
            self.expires_at = min(self.expires_at, deadline)
        elif self.timed:
            self.timed.pop(topic, None)
        if old is not None:
            self._ledger.retained -= len(old.payload) + len(old.extra)
        else:
            self._ledger.retained += self._cost(topic)
        self._tree.put(topic, message)

    def _cost(self, topic: bytes) -> int:
        """What a retained message counts, beside its payload."""
        if topic in self.own:
            return 0
        return RETAINED_COST + NODE * (topic.count(b"/") + 1) + 2 * len(topic)

    def _remove(self, topic: bytes) -> None:
        old = self._messages.pop(topic, None)
        if old is None:
            return
        self.timed.pop(topic, None)
        self._ledger.retained -= self._cost(topic) + len(old.payload) + len(old.extra)
        self._tree.remove(topic)

    def matching(self, topic_filter: bytes) -> Iterator[Retained | None]:
        """The retained messages whose topic matches a valid topic filter; None for each step that finds nothing, so
        that whoever counts can stop. What is published or removed meanwhile may be found or not.
        """
        if b"+" not in topic_filter and b"#" not in topic_filter:
            yield self._messages.get(topic_filter)
            return
        yield from self._tree.matching(topic_filter)
