"""Messages to one topic that came together, as the sessions of all who get them keep them, and as they are sent.
Imports heads.
"""

from itertools import repeat

from .heads import heads5

NUMBER = b"\0\0"  # in the place of a packet identifier
NO_PROPERTIES = b"\0"

Message = tuple[bytes, bytes, bytes]


class Batch:
    """Messages of QoS 1 or 2, without an extra: the head of each and its payload. `is_even`: all have one head."""

    __slots__ = ("_heads", "_payloads", "_pieces4", "_pieces5", "is_even", "messages")

    def __init__(self, heads: list[bytes], payloads: list[bytes], is_even: bool) -> None:
        self.is_even = is_even
        self._heads = heads
        self._payloads = payloads
        self.messages: list[Message] = list(zip(heads, payloads, repeat(b"")))
        self._pieces4: list[bytes] = []
        self._pieces5: list[bytes] = []

    def numbered(self, numbers: tuple[bytes, ...], is5: bool) -> list[bytes]:
        """The pieces of their packets with these packet identifiers. The list is good until the next call."""
        count = len(numbers)
        if is5:
            pieces = self._pieces5
            if not pieces:
                pieces = self._pieces5 = [NO_PROPERTIES] * (4 * count)
                pieces[0::4] = map(heads5, self._heads)
                pieces[3::4] = self._payloads
            pieces[1::4] = numbers
            return pieces
        pieces = self._pieces4
        if not pieces:
            pieces = self._pieces4 = [NUMBER] * (3 * count)
            pieces[0::3] = self._heads
            pieces[2::3] = self._payloads
        pieces[1::3] = numbers
        return pieces
