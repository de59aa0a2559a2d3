"""Messages of a queue that are on the disk alone: which they are, and how they come back. A queue that is long needs no
more memory for them than a number for each 64 KiB.

When the store has written messages as a block (store/tables/broker_blocks.py), those that will not be sent soon leave
memory; when the session comes to them, the block is read. Messages with something besides topic and payload (extras.py)
stay: they may expire, or belong to a shared subscription. Imports nothing.
"""

from collections import deque
from collections.abc import Callable

Messages = dict[int, tuple[bytes, bytes, bytes]]


class Pages:
    """`read(first, left)`: the messages of the block that begins with number `first`; of these, those for which there
    is a bit in `left`. It raises StoreError. `count`: messages that are on the disk alone.
    """

    __slots__ = ("_blocks", "_read", "count")

    def __init__(self, read: Callable[[int, int], Messages]) -> None:
        self._read = read
        self._blocks: deque[tuple[int, int]] = deque()  # in the order of their numbers
        self.count = 0

    def add(self, first: int, left: int) -> None:
        """These are on the disk alone."""
        self._blocks.append((first, left))
        self.count += left.bit_count()

    def put_out(self, messages: Messages, first: int, last: int) -> None:
        """Take the messages `first` to `last`, which are a block, out of memory, unless one of them has to stay."""
        numbers = range(first, last + 1)
        found = list(map(messages.get, numbers))
        if None not in found:
            left = (1 << len(found)) - 1
        else:
            left = sum(1 << at for at, message in enumerate(found) if message is not None)
        if left and not any(message[2] for message in found if message is not None):
            for seq in numbers:
                messages.pop(seq, None)
            self.add(first, left)

    def bring(self, messages: Messages, seq: int) -> bool:
        """Bring the block that message `seq` is in into memory; whether there was one."""
        blocks = self._blocks
        while blocks:
            first, left = blocks[0]
            if seq < first:
                return False
            found = self._read(first, left)
            blocks.popleft()
            self.count -= left.bit_count()
            messages.update(found)
            if seq < first + left.bit_length():
                return True
        return False
