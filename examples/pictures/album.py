"""Save pictures as they arrive, each whole or not at all.

    python examples/pictures/album.py album              into the folder `album`, until Ctrl-C
    python examples/pictures/camera.py 1.jpg 2.jpg       in another terminal

Kill it with kill -9 in the middle of a picture, as often as you like, and start it again: a picture is acknowledged
when its file has its name, and comes again from its beginning when it was not. The broker has to take packets as large:
`mqttlite broker --max-packet 100000000`.
"""

import argparse
import asyncio
import contextlib
import os
from pathlib import Path

from mqttlite import Client
from mqttlite.client.pieces.message import StreamedMessage

LARGEST = 100_000_000  # bytes


async def main(arguments: argparse.Namespace) -> None:
    folder: Path = arguments.folder

    async def save(message: StreamedMessage) -> None:
        part = folder / "picture.part"
        with part.open("wb") as file:
            async for piece in message:  # StreamError when the connection is lost: let it pass
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        number = message.topic.rpartition("/")[2]
        part.replace(folder / f"{int(number)}.jpg")
        print(f"picture {number}: {message.size} bytes", flush=True)

    store = folder / "album.db"
    client = Client(
        arguments.broker,
        client_id="album",
        store=store,
        keys=True,
        retry_first=True,
        stream_max=LARGEST,
        size_max=65536,
    )
    async with client, asyncio.TaskGroup() as group:
        group.create_task(client.receive_stream("pictures/+", save))
        await client.subscribe("pictures/+", 2)
        print("ready", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Save pictures as they arrive.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--broker", default="mqtt://localhost")
    given = parser.parse_args()
    given.folder.mkdir(exist_ok=True)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(given))
