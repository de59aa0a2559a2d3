"""What TLS and WebSocket cost: processor time of a broker and its clients, in one process, over each kind of listener.

python -m benchmarks.layers [--messages N]      some seconds; run it twice on a machine that does other work
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from mqttlite import Client
from mqttlite.broker import Broker, Tls
from tests.certificates import Certificates

KINDS = ("mqtt", "ws", "mqtts", "wss")
CONNECTIONS = 50
PAYLOAD = bytes(64)


async def one_kind(url: str, options: dict[str, Any], count: int) -> tuple[float, float, float]:
    """µs for each message of many, and of one at a time; ms for each connection."""
    async with Client(url, **options) as taker, Client(url, **options) as giver:
        await taker.subscribe("t", 1)

        async def give(qos: int) -> None:
            for _ in range(count):
                await giver.publish("t", PAYLOAD, qos=qos)

        async def take() -> None:
            for _ in range(count):
                await anext(taker)

        await asyncio.gather(give(1), take())  # whatever is made at the first time
        begin = time.process_time()
        await asyncio.gather(give(1), take())
        many_us = (time.process_time() - begin) / count * 1e6
        begin = time.process_time()
        for _ in range(count // 4):
            await giver.publish("t", PAYLOAD, qos=0)
            await anext(taker)
        single_us = (time.process_time() - begin) / (count // 4) * 1e6
    begin = time.process_time()
    for _ in range(CONNECTIONS):
        async with Client(url, **options):
            pass
    return many_us, single_us, (time.process_time() - begin) / CONNECTIONS * 1e3


async def measure(count: int) -> None:
    """Prints a line for each kind."""
    with tempfile.TemporaryDirectory() as folder:
        made = Certificates(Path(folder))
        pair = made.server()
        urls = [f"{kind}://127.0.0.1:0" for kind in KINDS]
        async with Broker(urls, tls=Tls(pair.certificate, pair.key)) as broker:
            print("         many, QoS 1   one at a time, QoS 0   connection")
            for kind, url in zip(KINDS, broker.addresses, strict=True):
                options = {"ca": made.ca} if kind in ("mqtts", "wss") else {}
                many, single, connection = await one_kind(url, options, count)
                print(f"{kind:8}{many:9.1f} µs   {single:17.1f} µs   {connection:7.2f} ms")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layers", description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=4000, metavar="N", help="of each kind (%(default)s)")
    asyncio.run(measure(parser.parse_args().messages))


if __name__ == "__main__":
    main()
