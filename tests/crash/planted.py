"""A consumer with planted mistakes, to see that they are counted: drops one message, handles one twice, swaps two.

python -m tests.crash.planted URL FOLDER QOS COUNT
"""

import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.chaos.peers.paho_consumer import handler, main
from tests.crash.producer import Notes

DROPPED = 5
DOUBLED = 7
LATE = 11  # handled after the next one


def wrong_handler(handled: Notes) -> Callable[[int], None]:
    """As the right one, but for these."""
    right = handler(handled)
    held: list[int] = []

    def handle(number: int) -> None:
        if number == LATE:
            held.append(number)
        elif number != DROPPED:
            right(number)
        if number == DOUBLED:
            right(number)
        if number == LATE + 1:
            right(held.pop())

    return handle


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), wrong_handler)
