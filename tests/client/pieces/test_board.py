"""A board with 110 KiB of heap sends 100,000 bytes, and takes them, at once; on MicroPython with 32 bits, as bundle."""

from tests.peers import MicroPython, Mosquitto
from tests.variants.variants import library

SIZE = 100_000
BOARD = """
import asyncio, gc, sys
from mqttlite import Client

SIZE = %d

def byte(at):
    return (at * 7 + (at >> 8)) & 255

class Picture:
    def __init__(self):
        self.at = 0
    def read(self, count):
        at = self.at
        self.at = end = min(SIZE, at + count)
        return bytes([byte(i) for i in range(at, end)])

async def main(url):
    whole = asyncio.Event()

    async def take(message):
        at = 0
        async for piece in message:
            for each in piece:
                assert each == byte(at)
                at += 1
        print("taken", message.qos, at, message.size)
        whole.set()

    async with Client(url, client_id="board", stream_max=200000) as client:
        await client.subscribe("picture")
        asyncio.create_task(client.receive_stream("picture", take))
        await client.subscribe("picture")
        for qos in (0, 1, 2):
            await client.publish_stream("picture", Picture, SIZE, qos)
            await whole.wait()
            whole.clear()
        gc.collect()
        print("free", gc.mem_free())

asyncio.run(main(sys.argv[1]))
"""


async def test_a_payload_of_100_kb_goes_both_ways_in_a_heap_of_110_kib(mosquitto: Mosquitto) -> None:
    board = MicroPython(32)
    found = await board.run(BOARD % SIZE, mosquitto.url, heap="110k", path=[library("thin+stream")])
    lines = found.stdout.splitlines()
    assert lines[:3] == [f"taken {qos} {SIZE} {SIZE}" for qos in (0, 1, 2)]
    assert int(lines[3].split()[1]) > 60_000
