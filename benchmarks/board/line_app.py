# A board on a serial line, for benchmarks.line_goodput: line_app URL WAY QOS COUNT. WAY is "up" (publishes on
# boards/b-1, and prints "sent" with the ms until all is confirmed) or "down" (receives from boards/b-2, and prints when
# the "first" and the "last" came, in ms).
import asyncio
import gc
import sys
import time

gc.threshold(1024)

from mqttlite import Client

url, way, qos, count = sys.argv[-4:]


async def publish(client, n, qos):
    for i in range(n):
        await client.publish("boards/b-1", b"%064d" % i, qos)
    await client.drain(600)


async def receive(client, n):
    i = 0
    async for message in client:
        assert int(message.payload) == i
        i += 1
        if i == 1:
            print("first", time.ticks_ms())
        if i == n:
            break
    print("last", time.ticks_ms())


async def main(n, qos):
    async with Client(url, client_id="b-1", retry_first=True) as client:
        if way == "up":
            print("ready")
            begin = time.ticks_ms()
            await publish(client, n, qos)
            print("sent", time.ticks_diff(time.ticks_ms(), begin))
        else:
            await client.subscribe("boards/b-2", qos)
            print("ready")
            await receive(client, n)


asyncio.run(main(int(count), int(qos)))
