"""One client with one store doing one thing against a broker, in a process of its own; prints its processor time per
message in µs and the messages a second.

    python -m benchmarks.durability_worker CLIENT publish|receive QOS COUNT PORT STORE DELAY_MS

STORE: the path of a file, "" for memory; its ending .journal makes it our journal, otherwise it is SQLite. Every commit
of our SQLite store takes DELAY_MS longer. Publishing counts from the first publish until the broker has confirmed all
and the store has nothing left to write; receiving from the first message to the last one, and the same. Neither opening
the store nor connecting is in it.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from benchmarks.client_worker import PAYLOAD, TOPIC, WINDOW, cpu_us

if TYPE_CHECKING:
    from mqttium.api import AsyncClient

    from mqttlite.client import Client
    from mqttlite.core.records import Record

CLIENT_ID = "bench-client"


class Timer:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._cpu_us = cpu_us()
        self._wall_s = time.perf_counter()

    def read(self) -> tuple[float, float]:
        """Microseconds of processor time, seconds of the clock."""
        return cpu_us() - self._cpu_us, time.perf_counter() - self._wall_s


async def take(messages: AsyncIterator[Any], qos: int, count: int) -> Timer:
    """Take `count` messages; the timer that the first of them started."""
    message = await anext(messages)
    timer = Timer()
    for _ in range(count - 1):
        message = await anext(messages)
    assert message.qos == qos
    return timer


def slow_down(delay_ms: float) -> None:
    """Every commit of a SQLite store in this process takes so much longer: waited for in its thread, as a slow disk
    would make it.
    """
    from mqttlite.store.in_sqlite import sqlite_file

    plain = sqlite_file.SqliteFile.write

    def write(self: sqlite_file.SqliteFile, batch: "list[Record]", empty_log: bool = False) -> None:
        time.sleep(delay_ms / 1000)
        plain(self, batch, empty_log)

    sqlite_file.SqliteFile.write = write  # type: ignore[method-assign]


def mqttlite_client(port: int, store: str) -> "Client":
    from mqttlite.client import Client
    from mqttlite.store.journal import Journal

    kept = Journal(store, size_max=4 << 20) if store.endswith(".journal") else store or None
    return Client(f"mqtt://127.0.0.1:{port}", client_id=CLIENT_ID, store=kept, window=WINDOW)


async def mqttlite_publish(qos: int, count: int, port: int, store: str) -> tuple[float, float]:
    async with mqttlite_client(port, store) as client:
        timer = Timer()
        for _ in range(count):
            await client.enqueue(TOPIC, PAYLOAD, qos)
        await client.drain(600)
        await client.stored()
        return timer.read()


async def mqttlite_receive(qos: int, count: int, port: int, store: str) -> tuple[float, float]:
    async with mqttlite_client(port, store) as client:
        await client.subscribe(TOPIC, qos)
        timer = await take(client, qos, count)
        await client.stored()
        return timer.read()


def mqttium_client(store: str) -> "AsyncClient":
    from mqttium.api import AsyncClient
    from mqttium.persistence.sqlite import SqliteInflightStore

    if not store:
        return AsyncClient(CLIENT_ID, clean_start=False, max_outbound_inflight=WINDOW)
    kept = SqliteInflightStore(store)
    # As it comes, it is synced at checkpoints only, and a power cut takes what was confirmed since.
    kept._conn.execute("PRAGMA synchronous = FULL")
    return AsyncClient(CLIENT_ID, clean_start=False, max_outbound_inflight=WINDOW, store=kept)


async def mqttium_publish(qos: int, count: int, port: int, store: str) -> tuple[float, float]:
    client = mqttium_client(store)
    await client.connect("127.0.0.1", port)
    timer = Timer()
    receipts = [await client.publish(TOPIC, PAYLOAD, qos=qos) for _ in range(count)]
    for receipt in receipts:
        await receipt.wait()
    figures = timer.read()
    await client.disconnect()
    return figures


async def mqttium_receive(qos: int, count: int, port: int, store: str) -> tuple[float, float]:
    client = mqttium_client(store)
    await client.connect("127.0.0.1", port)
    messages = client.messages()
    await client.subscribe(TOPIC, qos=qos)
    timer = await take(messages, qos, count)
    figures = timer.read()
    await client.disconnect()
    return figures


TASKS = {
    ("mqttlite", "publish"): mqttlite_publish,
    ("mqttlite", "receive"): mqttlite_receive,
    ("mqttium", "publish"): mqttium_publish,
    ("mqttium", "receive"): mqttium_receive,
}


def main() -> None:
    name, what, qos, count, port, store, delay_ms = sys.argv[1:]
    if float(delay_ms):
        slow_down(float(delay_ms))
    used_us, took_s = asyncio.run(TASKS[name, what](int(qos), int(count), int(port), store))
    print(used_us / int(count), int(count) / took_s, flush=True)


if __name__ == "__main__":
    main()
