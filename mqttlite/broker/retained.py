"""Retained messages (3.3.1.3): the last one of each topic, in a tree of topic levels. Imports ledger, limits,
extras, queue.

A search visits no more than what its filter can match, and can be left and taken up again at any place, whatever is
published meanwhile.
"""

from collections.abc import Iterator
from typing import NamedTuple

from .extras import deadline_of
from .ledger import NODE, RETAINED_COST, Ledger
from .limits import Limits
from .queue import NEVER


class Retained(NamedTuple):
    """A retained message; `qos` as it was published; `extra`: extras.py."""

    topic: bytes
    payload: bytes
    qos: int
    extra: bytes = b""


class _Node:
    __slots__ = ("children", "message")

    def __init__(self) -> None:
        self.children: dict[bytes, _Node] | None = None
        self.message: Retained | None = None


class RetainedMessages:
    """All retained messages. `ledger.retained` has their bytes."""

    def __init__(self, limits: Limits, ledger: Ledger) -> None:
        self._limits = limits
        self._ledger = ledger
        self._messages: dict[bytes, Retained] = {}
        self._root = _Node()
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
        node = self._root
        for level in topic.split(b"/"):
            if node.children is None:
                node.children = {}
            child = node.children.get(level)
            if child is None:
                child = node.children[level] = _Node()
            node = child
        node.message = message

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
        path = []
        node = self._root
        for level in topic.split(b"/"):
            siblings = node.children
            assert siblings is not None
            node = siblings[level]
            path.append((siblings, level, node))
        node.message = None
        for siblings, level, node in reversed(path):
            if node.message is not None or node.children:
                return
            del siblings[level]

    def matching(self, topic_filter: bytes) -> Iterator[Retained | None]:
        """The retained messages whose topic matches a valid topic filter; None for each step that finds nothing, so
        that whoever counts can stop. What is published or removed meanwhile may be found or not.
        """
        if b"+" not in topic_filter and b"#" not in topic_filter:
            yield self._messages.get(topic_filter)
            return
        levels = topic_filter.split(b"/")
        stack = [(iter([self._root]), 0)]
        while stack:
            nodes, depth = stack[-1]
            node = next(nodes, None)
            if node is None:
                stack.pop()
            elif depth == len(levels):
                yield node.message
            else:
                wanted = levels[depth]
                # The parent level itself matches, too (4.7.1.2)
                yield node.message if wanted == b"#" else None
                children = node.children
                if not children:
                    continue
                if wanted != b"#" and wanted != b"+":
                    below = [children[wanted]] if wanted in children else []
                elif node is self._root:  # `$...` needs a literal first level [MQTT-4.7.2-1]
                    below = [child for level, child in children.items() if level[:1] != b"$"]
                else:
                    below = list(children.values())
                stack.append((iter(below), depth if wanted == b"#" else depth + 1))
