"""The subscription tree: which clients a topic name goes to (4.7). Iterative, whatever the depth. Imports nothing.

A node for each level of the topic filters that are there. Filters and names are valid (core.text) and compared byte by
byte: nothing is normalised [MQTT-4.7.3-4].
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

C = TypeVar("C", bound=Hashable)


PLAIN = 2  # a subscription up to this value is nothing but the QoS that was granted


class _Node(Generic[C]):
    __slots__ = ("children", "clients")

    def __init__(self) -> None:
        self.children: dict[bytes, _Node[C]] = {}
        self.clients: dict[C, int] = {}  # the subscription of each client whose filter ends here


class Found(Generic[C]):
    """Who has a filter that matches a topic: `plain`, with the highest QoS granted; `rich`, all subscriptions of those
    who have one that is more than a QoS: in its lowest byte the options (5.0: 3.8.3.1), above them its identifier.
    """

    __slots__ = ("plain", "rich")

    def __init__(self) -> None:
        self.plain: dict[C, int] = {}
        self.rich: dict[C, list[int]] = {}

    def add(self, clients: dict[C, int]) -> int:
        """How many were looked at."""
        plain = self.plain
        for client, value in clients.items():
            if value > PLAIN:
                self.rich.setdefault(client, []).append(value)
            elif plain.get(client, -1) < value:
                plain[client] = value
        return len(clients)

    def end(self) -> None:
        """All are found: each client is one or the other."""
        for client, values in self.rich.items():
            if client in self.plain:
                values.append(self.plain.pop(client))


class SubscriptionTree(Generic[C]):
    """Topic filters to clients; any hashable object can be a client."""

    def __init__(self) -> None:
        self._root: _Node[C] = _Node()
        self.steps = 0  # that `match` has taken until now: filters such as a/+/a and a/a/+ cost 2 ** levels

    def add(self, topic_filter: bytes, client: C, value: int) -> None:
        """Subscribe, or replace what was said of the same filter [MQTT-3.8.4-3]. `value`: as in Found."""
        node = self._root
        for level in topic_filter.split(b"/"):
            child = node.children.get(level)
            if child is None:
                child = node.children[level] = _Node()
            node = child
        node.clients[client] = value

    def remove(self, topic_filter: bytes, client: C) -> None:
        """End the subscription with exactly this filter [MQTT-3.10.4-1], if there is one; empty branches go with it."""
        path = []
        node = self._root
        for level in topic_filter.split(b"/"):
            child = node.children.get(level)
            if child is None:
                return
            path.append((node, level))
            node = child
        node.clients.pop(client, None)
        for parent, level in reversed(path):
            child = parent.children[level]
            if child.clients or child.children:
                return
            del parent.children[level]

    def match(self, topic: bytes) -> Found[C]:
        """Each client with a matching filter once [MQTT-3.3.5-1]."""
        found: Found[C] = Found()
        nodes = [self._root]
        wild = topic[:1] != b"$"  # a wildcard in the first level does not match $SYS and its like [MQTT-4.7.2-1]
        steps = 0
        for level in topic.split(b"/"):
            below = []
            steps += len(nodes)
            for node in nodes:
                children = node.children
                if wild:
                    if b"#" in children:
                        steps += found.add(children[b"#"].clients)
                    if b"+" in children:
                        below.append(children[b"+"])
                if level in children:
                    below.append(children[level])
            nodes = below
            wild = True
        for node in nodes:
            steps += 1 + found.add(node.clients)
            if b"#" in node.children:  # `a/#` matches its parent level `a` as well (4.7.1.2)
                steps += found.add(node.children[b"#"].clients)
        self.steps += steps
        if found.rich:
            found.end()
        return found

    def __bool__(self) -> bool:
        return bool(self._root.children)
