"""Heads of messages (core.codec) in other forms, each made once however many copies there are. Imports core."""

from ...core.codec import released, remaining_length
from ...core.properties import varint

HEADS_MAX = 4096


class _Heads(dict[bytes, bytes]):
    """Of the start of a PUBLISH of 3.1.1, the same for 5.0 with an empty block of properties, which stands behind the
    packet identifier; at QoS 0 it belongs to the start.
    """

    def __missing__(self, head: bytes) -> bytes:
        if len(self) >= HEADS_MAX:
            self.clear()
        size, at = varint(head, 1, len(head))
        found = self[head] = head[:1] + remaining_length(size + 1) + head[at:] + (b"" if head[0] & 6 else b"\0")
        return found


heads5 = _Heads().__getitem__


class _Released(dict[bytes, bytes]):
    """Of the head of a message, the same when it is released: one for all copies."""

    def __missing__(self, head: bytes) -> bytes:
        if len(self) >= HEADS_MAX:
            self.clear()
        found = self[head] = released(head)
        return found


released_head = _Released().__getitem__
