"""Send pictures in pieces, none of them held whole.

    python examples/pictures/camera.py 1.jpg 2.jpg 3.jpg

A picture's number is the name of its file, and with it the idempotency key that travels with the picture: killed at any
instant and started again with the same arguments, this program sends again what was not confirmed, and the album has
each picture once. Nothing is kept between two starts but the pictures themselves, and which are confirmed: those are
renamed to NUMBER.sent.
"""

import argparse
import asyncio
from pathlib import Path

from mqttlite import Client

NAME = "camera-1"


async def main(arguments: argparse.Namespace) -> None:
    pictures = sorted((int(path.stem), path) for path in arguments.pictures if path.exists())
    async with Client(arguments.broker, client_id=NAME, store=arguments.store, keys=True, retry_first=True) as client:
        for number, path in pictures:
            with path.open("rb") as file:
                await client.publish_stream(f"pictures/{number}", file, qos=2, key=(NAME, number))
            path.rename(path.with_suffix(".sent"))
            print(f"picture {number} is confirmed", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Send pictures in pieces.")
    parser.add_argument("pictures", nargs="+", type=Path, help="files whose names are numbers")
    parser.add_argument("--broker", default="mqtt://localhost")
    parser.add_argument("--store", default=f"{NAME}.db", help="a SQLite file: of packet identifiers, not of pictures")
    asyncio.run(main(parser.parse_args()))
