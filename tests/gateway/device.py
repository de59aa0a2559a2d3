"""A device for the gateway's tests, on CPython and MicroPython: publishes numbered messages, takes numbered commands.

argv: URL, QoS of the messages, how many of them, how many commands to wait for. Publishes on t/up, subscribes to
t/down. Prints what it receives, one number a line, and "all confirmed" when everything it published is.
"""

import asyncio
import sys

from mqttlite.client import Client


async def publish(client: Client, qos: int, count: int) -> None:
    for number in range(count):
        await client.publish("t/up", str(number), qos=qos)


async def receive(client: Client, count: int) -> None:
    got = 0
    while got < count:
        message = await client.__anext__()
        print("got", message.payload.decode())
        got += 1


async def main(url: str, qos: int, count: int, commands: int) -> None:
    async with Client(url, client_id="device", retry_first=True) as client:
        await client.subscribe("t/down", qos=2)
        print("subscribed")
        await asyncio.gather(publish(client, qos, count), receive(client, commands))
        await client.drain(600)
    print("all confirmed")


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
