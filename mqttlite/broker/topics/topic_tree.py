"""Values by topic name, found by topic filter (4.7): a tree of topic levels. Imports nothing.

A search visits no more than what its filter can match, and can be left and taken up again at any place, whatever comes
or goes meanwhile.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

V = TypeVar("V")


class _Node(Generic[V]):
    __slots__ = ("children", "value")

    def __init__(self) -> None:
        self.children: dict[bytes, _Node[V]] | None = None
        self.value: V | None = None


class TopicTree(Generic[V]):
    """A dictionary that has the values in one piece stands beside it, with whoever owns it."""

    def __init__(self) -> None:
        self._root: _Node[V] = _Node()

    def put(self, topic: bytes, value: V) -> None:
        """Keep `value`, in place of another one."""
        node = self._root
        for level in topic.split(b"/"):
            if node.children is None:
                node.children = {}
            child = node.children.get(level)
            if child is None:
                child = node.children[level] = _Node()
            node = child
        node.value = value

    def remove(self, topic: bytes) -> None:
        """Forget the value of a topic that has one; empty branches go with it."""
        path = []
        node = self._root
        for level in topic.split(b"/"):
            siblings = node.children
            assert siblings is not None
            node = siblings[level]
            path.append((siblings, level, node))
        node.value = None
        for siblings, level, node in reversed(path):
            if node.value is not None or node.children:
                return
            del siblings[level]

    def matching(self, topic_filter: bytes) -> Iterator[V | None]:
        """The values whose topic matches a valid topic filter; None for each step that finds nothing, so that whoever
        counts can stop. What comes or goes meanwhile may be found or not.
        """
        levels = topic_filter.split(b"/")
        stack = [(iter([self._root]), 0)]
        while stack:
            nodes, depth = stack[-1]
            node = next(nodes, None)
            if node is None:
                stack.pop()
            elif depth == len(levels):
                yield node.value
            else:
                wanted = levels[depth]
                # The parent level itself matches, too (4.7.1.2)
                yield node.value if wanted == b"#" else None
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

    def __bool__(self) -> bool:
        return bool(self._root.children)
