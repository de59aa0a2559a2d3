"""Clients and brokers under the same seeded faults, side by side.

Each pair of client and broker gets the same `--seeds` runs of `--messages` messages for each kind of fault and QoS. The
same seed gives the same plan of faults. Exit code 1 when a run of ours lost, repeated or misordered a message, or did
not end; with Mosquitto not where that is killed, which loses what it has acknowledged.

    python -m benchmarks.chaos --seeds 20 --messages 300 --json build/chaos.json
    python -m benchmarks.chaos --only mqttlite --faults mixed --qos 2 --seed 7 --seeds 1      one run again
"""

import argparse
import asyncio
import datetime
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.chaos import report
from benchmarks.chaos.brokers import may_die
from benchmarks.chaos.counts import Counts, Sums, sums
from benchmarks.chaos.pairs import PAIRS, Pair, missing, versions
from benchmarks.chaos.plan import BROKER_DIES, KINDS, draw_plan, without_broker_deaths
from benchmarks.chaos.run import run

QOS = (1, 2)


def is_judged(pair: Pair, kind: str) -> bool:
    """Whether anything but zeros is our fault."""
    return pair.client.is_ours and (pair.broker == "mqttlite" or kind not in BROKER_DIES)


async def runs(pair: Pair, kind: str, qos: int, args: argparse.Namespace, slots: asyncio.Semaphore) -> list[Counts]:
    """One cell of the table, as many runs at once as there are slots; says when it is done."""

    async def one(seed: int) -> Counts:
        plan = draw_plan(kind, qos, seed, args.messages)
        if not may_die(pair.broker):
            plan = without_broker_deaths(plan)
        async with slots:
            with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
                return await run(pair, plan, qos, args.messages, Path(folder))

    results = await asyncio.gather(*(one(seed) for seed in range(args.seed, args.seed + args.seeds)))
    total = sums(results)
    print(
        f"{time.strftime('%H:%M:%S')} QoS {qos}  {kind:8}  {pair.name:18}  {report.cell(total):30}"
        f"  {total.kills} kills, {total.cuts} cuts, {total.stalls} stalls",
        flush=True,
    )
    return results


async def chaos(args: argparse.Namespace) -> int:
    """All runs and the tables; the exit code."""
    pairs = [pair for pair in PAIRS if not args.only or pair.name in args.only]
    for pair in [pair for pair in pairs if missing(pair)]:
        print(f"left out: {pair.name}: {missing(pair)}")
        pairs.remove(pair)
    started = time.monotonic()
    slots = asyncio.Semaphore(args.jobs)
    cells: dict[report.Key, asyncio.Task[list[Counts]]] = {}
    async with asyncio.TaskGroup() as group:
        for qos in args.qos or QOS:
            for kind in args.faults:
                for pair in pairs:
                    if kind != "broker" or may_die(pair.broker):
                        cells[pair.name, kind, qos] = group.create_task(runs(pair, kind, qos, args, slots))
    results = {key: task.result() for key, task in cells.items()}
    ours, others = failures(results, args)
    publish({key: sums(counts) for key, counts in results.items()}, pairs, args, ours + others, started)
    return 1 if ours else 0


def failures(results: dict[report.Key, list[Counts]], args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Runs of ours with anything but zeros; runs of others that did not end. Each with how to repeat it."""
    pairs = {pair.name: pair for pair in PAIRS}
    ours: list[str] = []
    others: list[str] = []
    for (name, kind, qos), all_counts in results.items():
        judged = is_judged(pairs[name], kind)
        for seed, counts in enumerate(all_counts, args.seed):
            if counts.failure or (judged and not counts.clean):
                again = f"--only {name} --faults {kind} --qos {qos} --seed {seed} --seeds 1 --messages {args.messages}"
                (ours if judged else others).append(f"{describe(counts)}  ({again})")
    return ours, others


def describe(counts: Counts) -> str:
    """What is wrong with a run."""
    wrong = [counts.failure] if counts.failure else []
    for what in ("lost", "confirmed_lost", "duplicated", "misordered"):
        if numbers := getattr(counts, what):
            wrong.append(f"{len(numbers)} {what.replace('_', ' ')}: {numbers[:8]}")
    return "; ".join(wrong)


def publish(
    results: dict[report.Key, Sums], pairs: list[Pair], args: argparse.Namespace, wrong: list[str], started: float
) -> None:
    """Print the tables, and write them where the options say."""
    tables = {qos: report.rows(results, pairs, qos, args.faults) for qos in args.qos or QOS}
    notes = report.notes(pairs, args.faults)
    peers = versions(pairs)
    for qos, table in tables.items():
        print(f"\n{report.title(qos, args.seeds, args.messages)}\n{report.as_text(table)}")
    print("\n" + "\n".join([*notes, *wrong, f"{time.monotonic() - started:.0f} s; {', '.join(peers)}"]))
    if args.markdown:
        parts = [
            f"{report.title(qos, args.seeds, args.messages)}:\n\n{report.as_markdown(t)}" for qos, t in tables.items()
        ]
        args.markdown.write_text("\n\n".join([*parts, *notes]) + "\n", encoding="utf-8")
    if args.json:
        about = {
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "seeds": [args.seed, args.seed + args.seeds - 1],
            "messages": args.messages,
            "processors": os.cpu_count(),
            "peers": peers,
            "notes": notes,
        }
        args.json.write_text(report.as_json(results, about, wrong), encoding="utf-8")


def kinds(text: str) -> list[str]:
    """KIND,... of an option."""
    named = text.split(",")
    if unknown := [kind for kind in named if kind not in KINDS]:
        raise argparse.ArgumentTypeError(f"no such fault: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    return named


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="runs of each kind (20)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first one (1)")
    parser.add_argument("--messages", type=int, default=300, help="messages in each run (300)")
    names = [pair.name for pair in PAIRS]
    parser.add_argument("--only", action="append", choices=names, metavar="ROW", help=f"{', '.join(names)}; repeatable")
    parser.add_argument(
        "--faults", type=kinds, default=list(KINDS), metavar="KIND,...", help=f"{', '.join(KINDS)} (all)"
    )
    parser.add_argument("--qos", action="append", type=int, choices=QOS, help="only this one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at once (number of processors)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there, too")
    return parser.parse_args()


async def main() -> int:
    args = arguments()
    this = asyncio.current_task()
    assert this
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)  # it leaves no process behind
    return await chaos(args)


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except (asyncio.CancelledError, KeyboardInterrupt):  # everything it started has been ended
        sys.exit("stopped")
