"""Crash runs in full: producer, consumer and broker as processes that are killed, links that are cut (tests/crash).

For each broker, QoS and fault, `--seeds` runs of `--messages` messages; a row of the table adds them up. Exit code 1
when a message was lost, entered twice in the consumer's ledger, or entered out of order.

    python -m benchmarks.crash --seeds 20 --messages 300
    python -m benchmarks.crash --broker mosquitto --qos 2 --fault pubrec --seeds 1 --seed 7      one run again
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.harness import BROKERS, FAULTS, Outcome, Run, crash, wrong_with

FAULT_NAMES = {
    "links": "links cut",
    "producer": "producer killed",
    "consumer": "consumer killed",
    "handler": "consumer dies on entering its handler",
    "writes": "consumer dies after its writes",
    "puback": "consumer dies before PUBACK",
    "pubrec": "consumer dies before PUBREC",
    "pubcomp": "consumer dies before PUBCOMP",
    "all": "all of these",
}
HEADER = f"{'broker':10} {'QoS':>3}  {'fault':38} {'runs':>5} {'kills':>6} {'cuts':>5} {'messages':>9}"
HEADER += f" {'lost':>5} {'twice':>6} {'order':>6}"


async def row(broker: str, qos: int, fault: str, args: argparse.Namespace, slots: asyncio.Semaphore) -> list[str]:
    """Runs of one kind, as many at once as there are slots: prints their row; what went wrong, with the seed."""

    async def one(seed: int) -> tuple[Run, Outcome]:
        run = Run(broker, qos, fault, seed, args.messages)
        async with slots:
            with tempfile.TemporaryDirectory() as folder:
                return run, await crash(run, Path(folder))

    results = await asyncio.gather(*(one(seed) for seed in range(args.seed, args.seed + args.seeds)))
    outcomes = [outcome for _, outcome in results]
    print(
        f"{broker:10} {qos:3}  {FAULT_NAMES[fault]:38} {len(results):5} {sum(o.kills for o in outcomes):6}"
        f" {sum(o.cuts for o in outcomes):5} {len(results) * args.messages:9} {sum(len(o.lost) for o in outcomes):5}"
        f" {sum(len(o.twice) for o in outcomes):6} {sum(len(o.out_of_order) for o in outcomes):6}",
        flush=True,
    )
    return [f"{run}: {wrong}" for run, outcome in results if (wrong := wrong_with(outcome))]


async def table(args: argparse.Namespace) -> int:
    print(HEADER, flush=True)
    slots = asyncio.Semaphore(args.jobs)
    wrong = []
    started = time.monotonic()
    for broker in args.broker or BROKERS:
        for qos in args.qos or FAULTS:
            for fault in FAULTS[qos]:
                if not args.fault or fault in args.fault:
                    wrong += await row(broker, qos, fault, args, slots)
    print(f"\n{time.monotonic() - started:.0f} s; {len(wrong)} runs failed")
    print("\n".join(wrong))
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Crash runs: what is lost, handled twice, or out of order.")
    parser.add_argument("--seeds", type=int, default=20, help="runs of each kind (20)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first one (1)")
    parser.add_argument("--messages", type=int, default=300, help="messages in each run (300)")
    parser.add_argument("--broker", action="append", choices=BROKERS, help="only this one; repeatable")
    parser.add_argument("--qos", action="append", type=int, choices=tuple(FAULTS), help="only this one; repeatable")
    parser.add_argument("--fault", action="append", choices=tuple(FAULT_NAMES), help="only this one; repeatable")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at once (number of processors)")
    return asyncio.run(table(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
