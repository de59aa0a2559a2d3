"""A client that runs for long needs no more memory than one that has just started."""

from pathlib import Path

from tests.peers import MicroPython, Mosquitto

COUNT = 2000

# What is alive is measured while nothing is under way, half way and at the end.
SCRIPT = """
import asyncio, gc, sys
from mqttlite.client import Client

url, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])


async def publish(client, first, end):
    for number in range(first, end):
        await client.enqueue("readings", b"%064d" % number, 2)


async def main():
    async with Client(url, client_id="board", store=path) as client:
        assert await client.subscribe("readings", 2) == 2
        first = 0
        for end in (count // 2, count):
            publishing = asyncio.create_task(publish(client, first, end))
            while first < end:
                message = await client.__anext__()
                assert message.qos == 2 and message.payload == b"%064d" % first, message.payload
                first += 1
            await publishing
            assert await client.drain()
            gc.collect()
            print(first, gc.mem_alloc(), client.store._count)


asyncio.run(main())
"""


async def test_over_2000_messages_both_ways_with_a_journal_no_memory_is_lost(
    tmp_path: Path, micropython: MicroPython
) -> None:
    with Mosquitto(tmp_path / "broker", persistence=False, settings={"log_type": "error"}) as broker:
        result = await micropython.run(SCRIPT, broker.url, str(tmp_path / "journal"), str(COUNT), heap="2m")
    half, end = [[int(word) for word in line.split()] for line in result.stdout.splitlines()]
    assert [half[0], end[0]] == [COUNT // 2, COUNT]
    assert end[1] - half[1] < 2048, f"{half[1]:,} bytes after half of the messages, {end[1]:,} after all"
    assert end[2] >= half[2] + 2, "too few messages: the journal was hardly written anew"
