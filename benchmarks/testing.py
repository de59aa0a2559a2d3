"""What a broker of one's own costs a test: `python -m benchmarks.testing`.

Times to start and to stop, the median of 30; and what pytest pays for the plugin in runs that use nothing of it.
"""

import asyncio
import subprocess
import sys
import tempfile
from statistics import median
from time import perf_counter

from mqttlite.broker import Broker
from mqttlite.broker.clients.broker_store import BrokerStore
from mqttlite.testing import TestBroker

RUNS = 30
ANY = ["mqtt://127.0.0.1:0"]
IMPORT = "import pytest, time; t = time.perf_counter(); import mqttlite.testing.plugin; print(time.perf_counter() - t)"


async def embedded(with_store: bool) -> tuple[float, float]:
    """To start and to stop one in this event loop (ms)."""
    starts, stops = [], []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            store = BrokerStore(f"{folder}/broker.db", reserve=0) if with_store else None
            began = perf_counter()
            async with Broker(ANY, store=store):
                starts.append(perf_counter() - began)
                began = perf_counter()
            stops.append(perf_counter() - began)
    return 1000 * median(starts), 1000 * median(stops)


def threaded() -> float:
    """To start and stop one with a thread of its own (ms)."""
    times = []
    for _ in range(RUNS):
        began = perf_counter()
        with TestBroker():
            pass
        times.append(perf_counter() - began)
    return 1000 * median(times)


def imported() -> float:
    """The plugin, in a process that has pytest already (ms)."""
    times = []
    for _ in range(RUNS // 3):
        done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
        times.append(float(done.stdout))
    return 1000 * median(times)


def main() -> None:
    """Print all of it."""
    for name, with_store in (("in memory", False), ("with a store", True)):
        start, stop = asyncio.run(embedded(with_store))
        print(f"async with Broker(...), {name:14} start {start:8.2f} ms, stop {stop:8.2f} ms")
    print(f"TestBroker(), its own thread             start and stop {threaded():8.2f} ms")
    print(f"the plugin, imported                     {imported():8.2f} ms")


if __name__ == "__main__":
    main()
