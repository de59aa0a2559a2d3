"""The subscription tree: which clients a topic name goes to (4.7). Iterative, whatever the depth. Imports nothing.

A node for each level of the topic filters that are there. Filters and names are valid (core.text) and compared byte by
byte: nothing is normalised [MQTT-4.7.3-4].

A search goes down all branches that may still match, level by level. Filters such as a/+/a and a/a/+ double them with
each level: where they are many, they are a *crowd*, which knows the crowds that may come next, so that a search through
crowds costs a step for each level and for each client, and not for each branch.
"""

from collections.abc import Hashable
from typing import Any, Generic, TypeVar

C = TypeVar("C", bound=Hashable)


PLAIN = 2  # a subscription up to this value is nothing but the QoS that was granted


CROWD = 32  # branches from which on they are one
CROWDS_MAX = 200_000  # branches in all crowds together


_NOTHING: dict[bytes, Any] = {}  # of all nodes without children ...
_NOBODY: dict[Any, int] = {}  # ... or clients; nothing is ever put into them


class _Node(Generic[C]):
    __slots__ = ("children", "clients", "is_crowded")

    def __init__(self) -> None:
        self.is_crowded = False  # a crowd has been made with it
        # Most nodes have one of the two, so neither is made before it is needed.
        self.children: dict[bytes, _Node[C]] = _NOTHING
        self.clients: dict[C, int] = _NOBODY  # the subscription of each client whose filter ends here


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

    def add_found(self, other: "Found[C]") -> int:
        """The same, of what was found before."""
        for client, values in other.rich.items():
            self.rich.setdefault(client, []).extend(values)
        return len(other.rich) + self.add(other.plain)

    def end(self) -> None:
        """All are found: each client is one or the other."""
        for client, values in self.rich.items():
            if client in self.plain:
                values.append(self.plain.pop(client))


class _Crowd(Generic[C]):
    """Many branches at one level, what is below each of them put together."""

    __slots__ = ("anything", "ends", "literal", "next", "rest", "tails")

    def __init__(self, nodes: list[_Node[C]]) -> None:
        self.anything: list[_Node[C]] = []  # below `+`
        self.literal: dict[bytes, list[_Node[C]]] = {}  # below each other level
        self.tails: Found[C] = Found()  # those of `#`
        self.ends: Found[C] = Found()  # those whose filter ends here
        self.next: dict[bytes, _Crowd[C]] = {}  # the crowds of `literal`, with `anything`
        self.rest: _Crowd[C] | None = None  # that of any other level
        for node in nodes:
            node.is_crowded = True
            self.ends.add(node.clients)
            for level, child in node.children.items():
                if level == b"+":
                    self.anything.append(child)
                elif level == b"#":
                    child.is_crowded = True
                    self.tails.add(child.clients)
                else:
                    found = self.literal.get(level)
                    if found is None:
                        self.literal[level] = [child]
                    else:
                        found.append(child)


class SubscriptionTree(Generic[C]):
    """Topic filters to clients; any hashable object can be a client."""

    def __init__(self) -> None:
        self._root: _Node[C] = _Node()
        self._crowds: dict[tuple[_Node[C], ...], _Crowd[C]] = {}  # those at which a search comes first
        self._crowded = 0  # branches in all of them, and in those behind
        self.steps = 0  # that `match` has taken until now

    def add(self, topic_filter: bytes, client: C, value: int) -> None:
        """Subscribe, or replace what was said of the same filter [MQTT-3.8.4-3]. `value`: as in Found."""
        node = self._root
        for level in topic_filter.split(b"/"):
            child = node.children.get(level)
            if child is None:
                if node.is_crowded:
                    self._disperse()
                if node.children is _NOTHING:
                    node.children = {}
                child = node.children[level] = _Node()
            node = child
        if node.is_crowded:
            self._disperse()
        if node.clients is _NOBODY:
            node.clients = {}
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
        if node.is_crowded:
            self._disperse()
        node.clients.pop(client, None)
        for parent, level in reversed(path):
            child = parent.children[level]
            if child.clients or child.children:
                return
            if parent.is_crowded:
                self._disperse()
            del parent.children[level]

    def _disperse(self) -> None:
        """No crowd is what it was; they are made again when they are met."""
        self._crowds.clear()
        self._crowded = 0

    def match(self, topic: bytes) -> Found[C]:
        """Each client with a matching filter once [MQTT-3.3.5-1]."""
        found: Found[C] = Found()
        nodes = [self._root]
        wild = topic[:1] != b"$"  # a wildcard in the first level does not match $SYS and its like [MQTT-4.7.2-1]
        steps = 0
        levels = topic.split(b"/")
        for depth, level in enumerate(levels):
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
            if len(nodes) > CROWD:
                self.steps += steps + self._through(nodes, levels, depth + 1, found)
                nodes = []
                steps = 0
                break
            wild = True
        for node in nodes:
            steps += 1 + found.add(node.clients)
            if b"#" in node.children:  # `a/#` matches its parent level `a` as well (4.7.1.2)
                steps += found.add(node.children[b"#"].clients)
        self.steps += steps
        if found.rich:
            found.end()
        return found

    def _through(self, nodes: list[_Node[C]], levels: list[bytes], depth: int, found: Found[C]) -> int:
        """Go on with a search that has come to `nodes`, many of them, from the level `depth` on; the steps."""
        key = tuple(nodes)
        crowd = self._crowds.get(key)
        steps = 0
        if crowd is None:
            crowd = self._crowds[key] = self._crowd(nodes)
            steps = len(nodes)
        for level in levels[depth:]:
            steps += 1
            steps += found.add_found(crowd.tails)
            below = crowd.literal.get(level)
            after = crowd.rest if below is None else crowd.next.get(level)
            if after is None:
                together = crowd.anything + (below or [])
                after = self._crowd(together)
                steps += len(together)
                if below is None:
                    crowd.rest = after
                else:
                    crowd.next[level] = after
            crowd = after
        return steps + found.add_found(crowd.ends) + found.add_found(crowd.tails)

    def _crowd(self, nodes: list[_Node[C]]) -> _Crowd[C]:
        self._crowded += len(nodes)
        if self._crowded > CROWDS_MAX:
            self._disperse()
            self._crowded = len(nodes)
        return _Crowd(nodes)

    def __bool__(self) -> bool:
        return bool(self._root.children)
