"""The producer of the crash tests: publishes numbered messages, and what it is unsure of again after it was killed.

    python -m tests.crash.producer URL FOLDER QOS COUNT

Each message has a key of the application's own: ("producer", number). FOLDER holds its store and its notes, the numbers
of the messages that have been accepted and of those that it has been told are confirmed. When all are, it publishes the
number COUNT: the end.
"""

import asyncio
import os
import sys
from pathlib import Path

from mqttlite.client import Receipt
from tests.crash.dying import DyingClient

TOPIC = "readings"
NAME = "producer"
ACCEPTED = "accepted"  # the file of notes


def payload(number: int) -> bytes:
    """The number in eight digits: whoever sees a packet finds it at its end, whatever stands before it."""
    return b"%08d" % number


class Notes:
    """Numbers in a file; a line is written in one piece, so a kill leaves whole lines."""

    def __init__(self, path: Path) -> None:
        self.numbers = numbers_in(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def take(self, number: int) -> None:
        os.write(self._file, b"%d\n" % number)

    def sync(self) -> None:
        os.fsync(self._file)


def numbers_in(path: Path) -> list[int]:
    """The numbers in a file of notes; none if it is not there."""
    return [int(line) for line in path.read_text().split()] if path.exists() else []


async def note(receipt: Receipt, notes: Notes, number: int) -> None:
    """Note `number` when the broker has confirmed its message."""
    await receipt.completed()
    notes.take(number)


async def main(url: str, folder: Path, qos: int, count: int) -> None:
    accepted = Notes(folder / ACCEPTED)
    confirmed = Notes(folder / "confirmed")
    already = set(confirmed.numbers)
    async with DyingClient(url, NAME, str(folder / "producer.db")) as client:
        for numbers in (range(count), (count,)):
            async with asyncio.TaskGroup() as waiting:
                for number in numbers:
                    if number not in already:
                        receipt = await client.publish(TOPIC, payload(number), qos, key=(NAME, number))
                        accepted.take(number)
                        waiting.create_task(note(receipt, confirmed, number))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
