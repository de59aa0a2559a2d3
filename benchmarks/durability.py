"""What durability costs: the client's processor time per message with a store, each packet after its sync.

    python -m benchmarks.durability [--count N] [--repeat N]

Publishing at QoS 1 and 2 and receiving at QoS 2, 64 bytes, at most 20 messages unfinished, against Mosquitto; beside
the same without a store. SQLite is the usual store on CPython, the journal is a board's. Then messages a second as a
function of the disk's sync time: every commit takes so many milliseconds longer (waited for in the store's thread, as
a slow disk would make it).
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.broker_cpu import free_port, mosquitto, running
from benchmarks.client_worker import PAYLOAD, TOPIC, WINDOW, cpu_us

if TYPE_CHECKING:
    from mqttlite.store.base import Store
    from mqttlite.store.records import Record

CASES = (("publish", 1), ("publish", 2), ("receive", 2))
TARGETS = {("publish", 1): 40, ("publish", 2): 50, ("receive", 2): 50}  # µs
STORES = ("", "db", "journal")  # endings of the file
DELAYS_MS = (0, 1, 5, 20)


def slowed(delay_ms: float) -> None:
    """Every commit of a SQLite store in this process takes so much longer."""
    from mqttlite.store import sqlite_file

    plain = sqlite_file.SqliteFile.write

    def write(self: sqlite_file.SqliteFile, batch: "list[Record]") -> None:
        time.sleep(delay_ms / 1000)
        plain(self, batch)

    sqlite_file.SqliteFile.write = write  # type: ignore[method-assign]


def store_at(path: str) -> "Store | str | None":
    """No store, a journal, or SQLite, by the path's ending."""
    from mqttlite.store.journal import Journal

    return Journal(path, size_max=4 << 20) if path.endswith(".journal") else path or None


async def publish(qos: int, count: int, port: int, store: "Store | str | None") -> tuple[float, float]:
    from mqttlite.client import Client

    async with Client(f"mqtt://127.0.0.1:{port}", client_id="bench-pub", store=store, window=WINDOW) as client:
        began, clock = cpu_us(), time.perf_counter()
        for _ in range(count):
            await client.enqueue(TOPIC, PAYLOAD, qos)
        await client.drain(600)
        return cpu_us() - began, time.perf_counter() - clock


async def receive(qos: int, count: int, port: int, store: "Store | str | None") -> tuple[float, float]:
    from mqttlite.client import Client

    async with Client(f"mqtt://127.0.0.1:{port}", client_id="bench-sub", store=store) as client:
        await client.subscribe(TOPIC, qos)
        print("ready", flush=True)
        began, clock = cpu_us(), time.perf_counter()
        async for _ in client:
            count -= 1
            if not count:
                break
        return cpu_us() - began, time.perf_counter() - clock


def worker(*words: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "benchmarks.durability", "--worker", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def figures(process: "subprocess.Popen[str]") -> tuple[float, float]:
    """µs of processor time per message, and messages a second."""
    try:
        out, _ = process.communicate(timeout=300)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise SystemExit(f"a worker ended with {process.returncode}")
    cpu, rate = out.split()[-2:]
    return float(cpu), float(rate)


def measure(what: str, qos: int, count: int, store: str, delay_ms: float) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        with running(mosquitto(port, Path(folder)), port):
            path = f"{folder}/state.{store}" if store else ""
            process = worker(what, qos, count, port, delay_ms, path)
            if what == "receive":
                assert process.stdout is not None
                process.stdout.readline()  # "ready"
                figures(worker("publish", qos, count, port, 0, ""))
            return figures(process)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="repetitions (3)")
    parser.add_argument("--count", type=int, default=5000, metavar="N", help="messages in each (5000)")
    parser.add_argument("--worker", nargs=6, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        what, qos, count, port, delay_ms, path = args.worker
        if float(delay_ms):
            slowed(float(delay_ms))
        run = publish if what == "publish" else receive
        cpu, wall = asyncio.run(run(int(qos), int(count), int(port), store_at(path)))
        print(cpu / int(count), int(count) / wall, flush=True)
        return
    print(f"Processor time of the client, µs per message of 64 bytes, window {WINDOW}; medians of {args.repeat}\n")
    head = f"{'':16}{'in memory':>12}{'SQLite':>10}{'journal':>10}{'set out for':>14}"
    print(head + f"{'messages/s, SQLite':>22}{'journal':>10}")
    for what, qos in CASES:
        runs = {store: [measure(what, qos, args.count, store, 0) for _ in range(args.repeat)] for store in STORES}
        plain, durable, journal = (statistics.median(cpu for cpu, _ in runs[store]) for store in STORES)
        rates = [statistics.median(rate for _, rate in runs[store]) for store in STORES[1:]]
        print(
            f"{what} QoS {qos:<5}{plain:11.1f}{durable:10.1f}{journal:10.1f}{TARGETS[what, qos]:14}"
            f"{rates[0]:22.0f}{rates[1]:10.0f}",
            flush=True,
        )
    print("\nMessages a second, by how much longer each sync takes (publish, one run)\n")
    print(f"{'':16}" + "".join(f"{'+' + str(delay) + ' ms':>10}" for delay in DELAYS_MS))
    for qos in (1, 2):
        rates = [measure("publish", qos, 1000, "db", delay)[1] for delay in DELAYS_MS]
        print(f"publish QoS {qos:<4}" + "".join(f"{rate:10.0f}" for rate in rates), flush=True)


if __name__ == "__main__":
    main()
