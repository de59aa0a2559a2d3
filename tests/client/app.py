"""One application for both runtimes: publishes readings at every QoS, obeys a command topic, prints what it gets.

    python -m tests.client.app URL NAME           micropython tests/client/app.py URL NAME

Prints the same on both. `NAME` keeps the topics and sessions of two boards apart. Ends at the command "stop".
"""

import asyncio
import gc
import sys

if hasattr(gc, "threshold"):
    gc.threshold(4096)  # a board's heap stays in one piece when it is collected often, from before the first import on

from mqttlite.client import Client

READINGS = 30  # at each QoS


async def publish_readings(client, name):
    for qos in (0, 1, 2):
        for number in range(READINGS):
            await client.publish(f"{name}/echo/{qos}", f"reading {number}: {number / 2:.1f} °C", qos)
        await client.drain()


async def main(url, name):
    will = (name + "/state", "lost", 1, True)
    async with Client(url, client_id=name, will=will, keep_alive_s=10) as client:
        print("session present:", client.session_present)
        for qos in (0, 1, 2):
            print("subscribed with QoS", await client.subscribe(f"{name}/echo/{qos}", qos))
        await client.subscribe(name + "/command/#", 2)
        receipt = await client.publish(name + "/state", "here", qos=1, retain=True)
        await receipt.completed()

        publishing = asyncio.create_task(publish_readings(client, name))
        expected = 3 * READINGS
        async for message in client:
            print(message.topic[len(name) :], message.qos, message.payload)
            if message.topic.startswith(name + "/command/"):
                answer = message.payload.decode() + ": done"
                await client.publish(name + "/answer", answer, qos=message.qos)
                if message.payload == b"stop":
                    break
            else:
                expected -= 1
                if not expected:
                    await publishing
                    await client.publish(name + "/state", "ready", qos=1)
        print("dropped:", client.qos0_dropped)


asyncio.run(main(sys.argv[1], sys.argv[2]))
