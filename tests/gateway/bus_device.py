"""A device on a bus, for the gateway's tests, on CPython and MicroPython: publishes numbered messages on bus/NAME, and
prints what comes on to/NAME.

argv: URL, name, how many messages.
"""

import asyncio
import sys

from mqttlite.client import Client


async def receive(client: Client) -> None:
    async for message in client:
        print("got", bytes(message.payload).decode())


async def main(url: str, name: str, count: int) -> None:
    async with Client(url, client_id=name, retry_first=True) as client:
        await client.subscribe("to/" + name, qos=2)
        print("subscribed")
        receiving = asyncio.create_task(receive(client))
        for number in range(count):
            await client.publish("bus/" + name, str(number), qos=2)
        await client.drain(600)
        print("all confirmed")
        await receiving


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
