"""Every bridge under every fault, as one table.

    python -m benchmarks.bridge.table [--count N] [--seed S] [--only BRIDGE] [--fault FAULT]

For each: messages of QoS 2 that the bridge's broker had acknowledged; how many of these its upstream never got, got
only after the bridge was started anew because nothing had come for 30 s, got twice, or got out of order; how fast the
queue was emptied once nothing more happened; processor time of the bridge for a message. The upstream is our broker,
with its store. Exit code 1 when ours lost, doubled or misordered any. The full disk is a tmpfs of 8 MB, which takes
root.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bridge.contestants import ALL
from benchmarks.bridge.faults import FAULTS
from benchmarks.bridge.run import Result, run, scene

COUNT = 1000
SIZE = 100  # bytes of a payload
DISK_MB = 8
DISK_COUNT, DISK_SIZE = 12_000, 1000  # more than the disk takes
HEADER = f"{'fault':42} {'bridge':36} {'accepted':>8} {'lost':>5} {'stuck':>6} {'twice':>6} {'order':>6}"
HEADER += f" {'drained/s':>10} {'CPU us':>7}"


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A disk of DISK_MB; None where there can be none."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none", str(disk)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        yield None
        return
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


async def one(bridge: str, fault: str, count: int, seed: int) -> Result | str | None:
    """None: it cannot be had here; a text: why the bridge has not come back."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        store: Path | None = folder / "bridge"
        size = SIZE
        if fault == "disk-full":
            store = stack.enter_context(small_disk(folder))
            count, size = DISK_COUNT, DISK_SIZE
        else:
            folder.joinpath("bridge").mkdir()
        if store is None:
            return None
        try:
            async with scene(ALL[bridge], folder, store, seed, count, size) as made:
                return await run(made, FAULTS[fault][1])
        except RuntimeError as error:
            return str(error).splitlines()[0]


def line(bridge: str, fault: str, result: Result | str | None) -> str:
    """A row of the table."""
    start = f"{FAULTS[fault][0]:42} {ALL[bridge].name:36}"
    if result is None:
        return f"{start} not measured: it takes root, to mount a small disk"
    if isinstance(result, str):
        return f"{start} does not start again: {result}"
    rate = f"{result.drained_a_second:,.0f}" if result.drained_a_second else "-"
    counts = f"{result.accepted:8} {result.lost:5} {result.stuck:6} {result.twice:6} {result.misordered:6}"
    return f"{start} {counts} {rate:>10} {result.cpu_us:7,.0f}"


async def table(args: argparse.Namespace) -> int:
    print(HEADER, flush=True)
    wrong = 0
    for fault in args.fault or FAULTS:
        for bridge in args.only or ALL:
            if ALL[bridge].missing:
                print(f"{FAULTS[fault][0]:42} {ALL[bridge].name:36} not here: {ALL[bridge].missing}", flush=True)
                continue
            result = await one(bridge, fault, args.count, args.seed)
            print(line(bridge, fault, result), flush=True)
            if bridge == "ours" and isinstance(result, str):
                wrong += 1
            elif bridge == "ours" and isinstance(result, Result):
                wrong += result.lost + result.stuck + result.twice + result.misordered
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Bridges under the same faults.")
    parser.add_argument("--count", type=int, default=COUNT, help=f"messages ({COUNT})")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn (1)")
    parser.add_argument("--only", action="append", choices=tuple(ALL), help="this bridge; repeatable")
    parser.add_argument("--fault", action="append", choices=tuple(FAULTS), help="this fault; repeatable")
    logging.getLogger("mqttlite").setLevel(logging.ERROR)  # that connections are lost is what this is about
    return asyncio.run(table(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
