"""Many keys in little memory: a bit for each sequence number, in blocks, by producer and epoch. A million keys in a row
take half a megabyte. No I/O.
"""

from collections.abc import Iterator

from .steps import Key

BLOCK_BITS = 10  # bits of a sequence number within a block
_IN_BLOCK = (1 << BLOCK_BITS) - 1
Run = tuple[bytes, int, int, int]  # producer, epoch, first and last sequence number: no key between them is missing


class KeySet:
    """A set of keys."""

    def __init__(self) -> None:
        self._streams: dict[tuple[bytes, int], dict[int, int]] = {}
        self.count = 0

    def add(self, key: Key) -> bool:
        """Whether it was new."""
        producer, epoch, sequence = key
        stream = (producer, epoch)
        blocks = self._streams.get(stream)
        if blocks is None:
            blocks = self._streams[stream] = {}
        block = sequence >> BLOCK_BITS
        bits = blocks.get(block, 0)
        bit = 1 << (sequence & _IN_BLOCK)
        if bits & bit:
            return False
        blocks[block] = bits | bit
        self.count += 1
        return True

    def __contains__(self, key: Key) -> bool:
        producer, epoch, sequence = key
        bits = self._streams.get((producer, epoch), {}).get(sequence >> BLOCK_BITS, 0)
        return bits >> (sequence & _IN_BLOCK) & 1 == 1

    def __iter__(self) -> Iterator[Key]:
        """In order of producer, epoch and sequence."""
        for producer, epoch, first, last in self.runs():
            for sequence in range(first, last + 1):
                yield producer, epoch, sequence

    def without(self, other: "KeySet") -> "KeySet":
        """What is in this one alone."""
        found = KeySet()
        for stream, blocks in self._streams.items():
            others = other._streams.get(stream, {})
            left = {block: rest for block, bits in blocks.items() if (rest := bits & ~others.get(block, 0))}
            if left:
                found._streams[stream] = left
                found.count += sum(bits.bit_count() for bits in left.values())
        return found

    def runs(self) -> Iterator[Run]:
        """What is in it, as runs of numbers, in order."""
        for (producer, epoch), blocks in sorted(self._streams.items()):
            first = last = -1
            for block in sorted(blocks):
                for start, end in _runs_of(blocks[block]):
                    begin, stop = (block << BLOCK_BITS) + start, (block << BLOCK_BITS) + end
                    if begin != last + 1 or first < 0:
                        if first >= 0:
                            yield producer, epoch, first, last
                        first = begin
                    last = stop
            if first >= 0:
                yield producer, epoch, first, last


def _runs_of(bits: int) -> Iterator[tuple[int, int]]:
    """First and last number of each run of ones."""
    at = 0
    while bits:
        zeros = (bits & -bits).bit_length() - 1
        bits >>= zeros
        at += zeros
        ones = (~bits & (bits + 1)).bit_length() - 1
        yield at, at + ones - 1
        bits >>= ones
        at += ones
