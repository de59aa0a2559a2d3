"""The consumer with paho-mqtt: its handler appends to a file and syncs it. Acknowledgements are the library's.

python -m benchmarks.chaos.peers.paho_consumer URL FOLDER QOS COUNT
"""

import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.chaos.peers import HANDLED
from benchmarks.chaos.peers.paho_client import connect_to, make_client
from tests.crash.producer import TOPIC, Notes

MakeHandler = Callable[[Notes], Callable[[int], None]]


def main(url: str, folder: Path, qos: int, make_handler: MakeHandler) -> None:
    """Runs until it is killed. `make_handler`: what to do with each number, given where to write it."""
    handle = make_handler(Notes(folder / HANDLED))
    client = make_client("consumer")

    def on_connect(*_: object) -> None:
        client.subscribe(TOPIC, qos)

    client.on_connect = on_connect
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.on_message = lambda _client, _data, message: handle(int(message.payload))
    connect_to(client, url)
    client.loop_forever(retry_first_connection=True)


def handler(handled: Notes) -> Callable[[int], None]:
    """Writes each number down, durably."""

    def handle(number: int) -> None:
        handled.take(number)
        handled.sync()

    return handle


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), handler)
