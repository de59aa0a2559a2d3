"""Boards on serial lines for gateway_cost: each a client with its link, on a pseudo-terminal paced to the baud rate,
that publishes as fast as its line takes it.

    python -m benchmarks.gateway_boards LINES BAUD QOS     prints the paths of the ports, one a line

Then, for each line on standard input, how many messages were accepted so far, of which each client has QUEUE that are
not confirmed; ends with standard input.
"""

import asyncio
import os
import sys
import tty
from typing import Any

from mqttlite.client import Client
from mqttlite.core.errors import MQTTError
from mqttlite.serial.ports import HostPort

QUEUE = 40


class Boards:
    """`accepted`: messages of all."""

    def __init__(self, baud: int, qos: int) -> None:
        self.accepted = 0
        self._baud = baud
        self._qos = qos
        self._open: list[int] = []

    def port(self) -> tuple[int, str]:
        """A new pseudo-terminal: this end, and the path of the gateway's."""
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        self._open.append(theirs)  # so that this end is no port that is gone before the gateway comes
        return ours, os.ttyname(theirs)

    async def board(self, number: int, fd: int) -> None:
        """One board, for ever."""
        name = f"board-{number:02}"
        client = Client(f"serial:///{name}?baud={self._baud}", client_id=name, retry_first=True, queue_max=QUEUE)
        connector: Any = client._connector
        connector.open_port = lambda baud: HostPort(name, fd, lambda: None)
        topic, payload = f"boards/{number:03}", bytes(range(64))
        async with client:
            while True:
                try:
                    await client.publish(topic, payload, self._qos)
                    self.accepted += 1
                except MQTTError as error:
                    print(f"{name}: {error}", file=sys.stderr)
                    await asyncio.sleep(1)


async def main(lines: int, baud: int, qos: int) -> None:
    """Until standard input ends."""
    boards = Boards(baud, qos)
    ports = [boards.port() for _ in range(lines)]
    print(*(path for _, path in ports), sep="\n", flush=True)
    tasks = [asyncio.create_task(boards.board(number, fd)) for number, (fd, _) in enumerate(ports)]
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        print(boards.accepted, flush=True)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main(*(int(word) for word in sys.argv[1:4])))
