import asyncio
import binascii
import errno
import gc
import socket
import struct
import sys
import time

asyncio.Event, asyncio.wait_for, asyncio.open_connection, asyncio.Lock


class machine:
    unique_id = staticmethod(lambda: b"board")


class Station:
    """A radio that is always connected."""

    def __init__(self, *_):
        pass

    def active(self, *_):
        return True

    def isconnected(self):
        return True

    def __getattr__(self, name):
        return lambda *_, **__: None


class network:
    STA_IF = 0
    WLAN = Station


sys.modules["machine"] = machine
sys.modules["network"] = network


def heap():
    gc.collect()
    return gc.mem_alloc()


gc.threshold(1024)
before = heap()
from mqtt_as import MQTTClient, config

print("import", heap() - before)


async def publish(client, qos, count):
    for n in range(count):
        await client.publish("house/1/sensor", b"%064d" % n, False, qos)


async def receive(client, qos, count):
    await client.publish("feed", "%d %d" % (qos, count), False, 1)
    async for _ in client.queue:
        count -= 1
        if not count:
            return


async def allocate(client, count):
    await client.subscribe("down", 1)
    for name, task in (("publish", publish), ("receive", receive)):
        for qos in range(2):
            await task(client, qos, count)
            gc.collect()
            gc.disable()
            start = gc.mem_alloc()
            await task(client, qos, count)
            print(name, qos, (gc.mem_alloc() - start) // count)
            gc.enable()


async def echo(client, topic, count, qos):
    await client.subscribe(topic, qos)
    publishing = asyncio.create_task(publish_all(client, topic, count, qos))
    n = 0
    async for _ in client.queue:
        n += 1
        if n == count:
            await publishing
            print("done", n)
            return


async def publish_all(client, topic, count, qos):
    for n in range(count):
        await client.publish(topic, b"%064d" % n, False, qos)


async def main(what, host, port, name, *numbers):
    numbers = [int(number) for number in numbers]
    config["server"] = host
    config["port"] = int(port)
    config["client_id"] = name
    config["queue_len"] = 20
    client = MQTTClient(config)
    await client.connect(quick=True)
    if what == "connect":
        print("connect", heap() - before)
    elif what == "allocate":
        await allocate(client, *numbers)
    else:
        await echo(client, name, *numbers)
    await client.disconnect()


if sys.argv[1] != "import":
    asyncio.run(main(*sys.argv[1:]))
