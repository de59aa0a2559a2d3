"""What durability costs: the client's processor time per message with a store, each packet after its sync.

    python -m benchmarks.durability [--count N] [--repeat N]

Publishing at QoS 1 and 2 to Mosquitto and receiving at QoS 2 from durability_feeder.py, 64 bytes, at most 20 messages
unfinished; beside the same without a store, and beside mqttium, the peer whose store covers most, with its SQLite store
made to sync each commit. SQLite is our usual store on CPython, the journal is a board's. Then messages a second as a
function of the disk's sync time: every commit takes so many milliseconds longer.

A message costs two to three times as much on one machine as on another, so what we had set out for is a share of what
mqttium needs on the same one.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.broker_cpu import free_port, mosquitto, running
from benchmarks.client_worker import WINDOW
from benchmarks.durability_feeder import feeding

# What we set out for, as the share of what mqttium, synced, needed on the machine where that was set: both in µs.
TARGETS = {("publish", 1): 40 / 127, ("publish", 2): 50 / 153, ("receive", 2): 50 / 140}
OURS = (("mqttlite", ""), ("mqttlite", "db"), ("mqttlite", "journal"))  # client and ending of the store's file
THEIRS = (("mqttium", ""), ("mqttium", "db"))
DELAYS_MS = (0, 1, 5, 20)


@contextlib.contextmanager
def listening(folder: Path) -> Iterator[int]:
    """Mosquitto; its port."""
    port = free_port()
    with running(mosquitto(port, folder), port):
        yield port


def measure(client: str, ending: str, what: str, qos: int, count: int, delay_ms: float = 0) -> tuple[float, float]:
    """µs of processor time per message, and messages a second."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        port = stack.enter_context(feeding(qos, count) if what == "receive" else listening(Path(folder)))
        store = f"{folder}/state.{ending}" if ending else ""
        words = (client, what, qos, count, port, store, delay_ms)
        command = [sys.executable, "-m", "benchmarks.durability_worker", *map(str, words)]
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300, check=False)
        if result.returncode:
            raise SystemExit(f"{client}, {what} at QoS {qos}: the worker ended with {result.returncode}")
    cpu, rate = result.stdout.split()[-2:]
    return float(cpu), float(rate)


def compare(repeat: int, count: int) -> None:
    """Processor time and rate of all columns; the repetitions of one and the other alternate."""
    print(f"Processor time of the client, µs per message of 64 bytes, window {WINDOW}; medians of {repeat}\n")
    print(f"{'':14}{'mqttlite':>27}{'mqttium':>21}{'share of mqttium synced':>35}{'messages/s':>27}")
    head = f"{'':14}{'memory':>9}{'SQLite':>9}{'journal':>9}{'memory':>12}{'synced':>9}"
    print(head + f"{'SQLite':>11}{'journal':>9}{'set out for':>15}{'SQLite':>9}{'journal':>9}{'mqttium':>9}")
    for (what, qos), target in TARGETS.items():
        runs = [[measure(*column, what, qos, count) for column in OURS + THEIRS] for _ in range(repeat)]
        columns = list(zip(*runs, strict=True))
        memory, sqlite, journal, their_memory, synced = (statistics.median(cpu for cpu, _ in one) for one in columns)
        rates = [statistics.median(rate for _, rate in columns[index]) for index in (1, 2, 4)]
        print(
            f"{what} QoS {qos}"
            f"{memory:10.1f}{sqlite:9.1f}{journal:9.1f}{their_memory:12.1f}{synced:9.1f}"
            f"{sqlite / synced:11.0%}{journal / synced:9.0%}{target:15.0%}" + "".join(f"{rate:9.0f}" for rate in rates),
            flush=True,
        )


def slow_disks(repeat: int) -> None:
    print("\nMessages a second, by how much longer each sync takes (publish, SQLite)\n")
    print(f"{'':14}" + "".join(f"{'+' + str(delay) + ' ms':>9}" for delay in DELAYS_MS))
    for qos in (1, 2):
        runs = [
            [measure("mqttlite", "db", "publish", qos, 1000, delay)[1] for delay in DELAYS_MS] for _ in range(repeat)
        ]
        rates = [statistics.median(one) for one in zip(*runs, strict=True)]
        print(f"publish QoS {qos} " + "".join(f"{rate:9.0f}" for rate in rates), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="repetitions (3)")
    parser.add_argument("--count", type=int, default=5000, metavar="N", help="messages in each (5000)")
    args = parser.parse_args()
    compare(args.repeat, args.count)
    slow_disks(args.repeat)


if __name__ == "__main__":
    main()
