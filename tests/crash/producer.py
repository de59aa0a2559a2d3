"""The producer of the crash tests: publishes numbered messages, and what it is unsure of again after it was killed.

    python -m tests.crash.producer URL FOLDER QOS COUNT

Each message has a key of the application's own: ("producer", number). FOLDER holds its store and its notes, the numbers
of the messages that it has been told are confirmed. When all are, it publishes the number COUNT: the end.
"""

import asyncio
import os
import sys
from pathlib import Path

from mqttlite.client import Receipt
from tests.crash.dying import DyingClient

TOPIC = "readings"
NAME = "producer"


class Notes:
    """What has been confirmed; a line is written in one piece, so a kill leaves whole lines."""

    def __init__(self, path: Path) -> None:
        self.confirmed = {int(line) for line in path.read_text().split()} if path.exists() else set()
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def take(self, number: int, receipt: Receipt) -> None:
        await receipt.completed()
        os.write(self._file, b"%d\n" % number)


async def main(url: str, folder: Path, qos: int, count: int) -> None:
    notes = Notes(folder / "confirmed")
    async with DyingClient(
        url, client_id=NAME, store=str(folder / "producer.db"), keys=True, retry_first=True
    ) as client:
        for numbers in (range(count), (count,)):
            async with asyncio.TaskGroup() as waiting:
                for number in numbers:
                    if number not in notes.confirmed:
                        receipt = await client.publish(TOPIC, str(number), qos, key=(NAME, number))
                        waiting.create_task(notes.take(number, receipt))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
