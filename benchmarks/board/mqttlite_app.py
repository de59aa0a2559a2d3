import asyncio
import gc
import sys

asyncio.Event, asyncio.wait_for, asyncio.open_connection  # loaded when they are wanted; every application wants them


def heap():
    gc.collect()
    return gc.mem_alloc()


gc.threshold(1024)  # collected often, the heap stays in one piece
before = heap()
from mqttlite import Client

print("import", heap() - before)


progress = [0]


async def publish(client, qos, count):
    for n in range(count):
        await client.publish("house/1/sensor", b"%064d" % n, qos)
    await client.drain()


async def receive(client, qos, count):
    await client.publish("feed", "%d %d" % (qos, count), 1)
    async for _ in client:
        count -= 1
        if not count:
            return


async def allocate(client, count):
    await client.subscribe("down", 2)
    for name, task in (("publish", publish), ("receive", receive)):
        for qos in range(3):
            await task(client, qos, count)  # lists and dicts grow to their size
            gc.collect()
            gc.disable()
            start = gc.mem_alloc()
            await task(client, qos, count)
            print(name, qos, (gc.mem_alloc() - start) // count)
            gc.enable()


async def echo(client, topic, count, qos):
    await client.subscribe(topic, qos)
    publishing = asyncio.create_task(fill(client, topic, count, qos))
    asyncio.create_task(watch())
    async for message in client:
        assert int(message.payload) == progress[0]
        progress[0] += 1
        if progress[0] == count:
            await publishing
            await client.drain()
            print("done", count)
            return


async def watch():
    """Without memory a client may also wait for what does not come."""
    last = -1
    while progress[0] > last:
        last = progress[0]
        await asyncio.sleep(2)
    print("stopped")
    sys.exit(1)


async def fill(client, topic, count, qos):
    try:
        for n in range(count):
            await client.publish(topic, b"%064d" % n, qos)
    except Exception as error:
        sys.print_exception(error)
        await client.close()  # which ends the loop that waits for the messages


async def main(what, host, port, name, *numbers):
    numbers = [int(number) for number in numbers]
    async with Client("mqtt://" + host + ":" + port, client_id=name) as client:
        if what == "connect":
            print("connect", heap() - before)
        elif what == "allocate":
            await allocate(client, *numbers)
        else:
            await echo(client, name, *numbers)


if sys.argv[1] != "import":
    asyncio.run(main(*sys.argv[1:]))
