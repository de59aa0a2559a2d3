"""100,000 messages queued in a gateway whose upstream is away; then it is there, and the gateway is killed meanwhile.

    python -m benchmarks.bridge.long [--count N]

Printed: the gateway's memory (resident) as the queue grows, and how fast it is filled and emptied. Exit code 1 when a
message is lost, comes twice or out of order.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.bridge.contestants import Ours
from benchmarks.bridge.run import Result, Scene, run, scene

COUNT = 100_000


async def long(of: Scene) -> None:
    """Fill, and empty half of it; `run` waits for the other half."""
    of.wire.is_open = False
    of.wire.cut()
    began, memory = time.monotonic(), []
    for part in range(10):
        await of.feed(of.count // 10)
        await of.all_fed()
        memory.append(of.contestant.memory_mb)
        print(f"queued {len(of.fed):7,}   memory {memory[part]:6.1f} MB", flush=True)
    print(f"{len(of.fed) / (time.monotonic() - began):,.0f} messages a second accepted", flush=True)
    print(f"memory from the first tenth to the last: {memory[-1] - memory[0]:+.1f} MB", flush=True)
    of.wire.is_open = True
    began = time.monotonic()
    await of.until(lambda: len(of.got) >= of.count // 2)
    print(f"{len(of.got) / (time.monotonic() - began):,.0f} messages a second passed on", flush=True)
    of.contestant.kill()
    began = time.monotonic()
    await asyncio.to_thread(of.contestant.start)
    print(f"killed, and answers again after {time.monotonic() - began:.1f} s", flush=True)


async def main_async(count: int) -> Result:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bridge").mkdir()
        async with scene(Ours, folder, folder / "bridge", 1, count, 100) as made:
            return await run(made, long)


def main() -> int:
    parser = argparse.ArgumentParser(description="A long queue, and a restart in the middle of emptying it.")
    parser.add_argument("--count", type=int, default=COUNT, help=f"messages ({COUNT:,})")
    logging.getLogger("mqttlite").setLevel(logging.ERROR)
    result = asyncio.run(main_async(parser.parse_args().count))
    print(
        f"{result.accepted:,} accepted: {result.lost} lost, {result.stuck} stuck, {result.twice} twice, "
        f"{result.misordered} out of order; {result.drained_a_second:,.0f} a second after the restart; "
        f"processor time {result.cpu_us:,.0f} us a message; memory {result.memory_mb:.1f} MB"
    )
    return 1 if result.lost or result.stuck or result.twice or result.misordered else 0


if __name__ == "__main__":
    sys.exit(main())
