"""What became of numbered messages: which were lost, handled twice, or handled out of order."""

from collections import Counter
from collections.abc import Iterable, Sequence


def lost(expected: Iterable[int], handled: Iterable[int]) -> list[int]:
    """Those of `expected` that were never handled, in ascending order."""
    return sorted(set(expected) - set(handled))


def repeated(handled: Iterable[int]) -> list[int]:
    """Those handled more than once, in ascending order."""
    return sorted(number for number, times in Counter(handled).items() if times > 1)


def out_of_order(handled: Sequence[int]) -> list[int]:
    """Those handled for the first time after a higher number. A repeat is no disorder: at QoS 1 it is allowed (4.6)."""
    late = []
    highest = -1
    for number in dict.fromkeys(handled):
        if number < highest:
            late.append(number)
        highest = max(highest, number)
    return late
