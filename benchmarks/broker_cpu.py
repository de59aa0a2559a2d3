"""The broker's processor time for each delivered message, as source and compiled, beside Mosquitto in the same run.

    python -m benchmarks.broker_cpu [--repeat N] [--seconds S] [--level 5] [--only "20 to 1"] [--before FOLDER]
                                    [--mosquitto PROGRAM]

Only the broker's own time counts (user and system, from the kernel), divided by deliveries that the load generator
(broker_load, a process of its own, the same for all) has verified one by one. Repetitions of the brokers alternate; the
table has their medians. The figures depend on the batch: a broker that reads many packets at once shares its system
calls among them, so there is a row with one message at a time, where there is nothing to share.
"""

import argparse
import contextlib
import getpass
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.broker_load import WINDOW_QOS0
from tests.runtimes import installed

ROOT = Path(__file__).resolve().parents[1]
COMPILED = ROOT / "build" / "compiled"  # what `make compiled` makes
WINDOW = 20  # Mosquitto's own limit of unfinished messages


class Scenario(NamedTuple):
    """`window`: messages that a publisher has unfinished; 0: as many as its QoS allows here."""

    name: str
    publishers: int
    subscribers: int
    window: int = 0

    def window_at(self, qos: int) -> int:
        return self.window or (WINDOW if qos else WINDOW_QOS0)


SCENARIOS = (
    Scenario("10 pairs", 10, 10),
    Scenario("20 to 1", 20, 1, window=WINDOW),
    Scenario("1 to 50", 1, 50),
    Scenario("1 pair, one at a time", 1, 1, window=1),
)


def cpu_us(pid: int) -> float:
    """Processor time that a process has used, in microseconds (its clock in the kernel; Linux)."""
    return time.clock_gettime_ns(~pid << 3 | 2) / 1000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(
    command: list[str], port: int, project: Path = ROOT, environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """A broker that listens on `port`, started in the folder of a project, with more in its environment; its process
    id.
    """
    environment = {**os.environ, "PYTHONPATH": str(project), **(environment or {})}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=project, env=environment
        )
        try:
            deadline = time.monotonic() + 20
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise SystemExit(f"{command[0]} does not listen:\n{log.read().decode(errors='replace')}")
                time.sleep(0.02)
            yield process.pid
        finally:
            process.terminate()
            process.wait()


def ours(port: int) -> list[str]:
    return [sys.executable, "-m", "mqttlite", "broker", "--listen", f"mqtt://127.0.0.1:{port}"]


def mosquitto(port: int, folder: Path, program: str = "", more: str = "") -> list[str]:
    """`program`: one that is not the installed one. `more`: lines of its configuration."""
    found = program or installed("mosquitto")
    if found is None:
        raise SystemExit("mosquitto is not installed (make setup installs it where it can)")
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nuser {getpass.getuser()}\nlog_type error\n"
        f"set_tcp_nodelay true\nmax_queued_messages 0\n{more}",
        encoding="utf-8",
    )
    return [str(found), "-c", str(config)]


def version_of(program: str) -> str:
    """What a Mosquitto calls itself: "mosquitto version 2.1.2"."""
    found = program or installed("mosquitto")
    said = subprocess.run([str(found), "-h"], capture_output=True, text=True, check=False)
    return (said.stdout + said.stderr).splitlines()[0]


def add_mosquitto(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mosquitto", default="", metavar="PROGRAM", help="another Mosquitto than the installed one")


def load(port: int, qos: int, scenario: Scenario, count: int, level: int = 4) -> int:
    """Run the load generator; the deliveries that it verified."""
    words = (port, qos, scenario.publishers, scenario.subscribers, count, scenario.window_at(qos), level)
    command = [sys.executable, "-m", "benchmarks.broker_load", *map(str, words)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"{scenario.name}, QoS {qos}: {result.stderr.strip().splitlines()[-1]}")
    return int(result.stdout)


def measure(pid: int, port: int, qos: int, scenario: Scenario, count: int, level: int = 4) -> float:
    """Microseconds of the broker for each delivered message."""
    before = cpu_us(pid)
    delivered = load(port, qos, scenario, count, level)
    used = cpu_us(pid) - before
    assert delivered == count * max(scenario.publishers, scenario.subscribers)
    return used / delivered


def count_for(pid: int, port: int, qos: int, scenario: Scenario, seconds: float) -> int:
    """Messages for each publisher so that this broker needs about `seconds` of processor time: the wall would count how
    long the load generator takes to start, and connecting would be most of what is measured.
    """
    count = 200
    while True:
        used_s = measure(pid, port, qos, scenario, count) * count * max(scenario.publishers, scenario.subscribers) / 1e6
        if used_s > seconds / 3 or count > 1_000_000:
            return max(200, round(count * seconds / used_s))
        count *= 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="repetitions of each broker (5)")
    parser.add_argument("--seconds", type=float, default=1.0, metavar="S", help="of one, in Mosquitto's time (1)")
    parser.add_argument("--level", type=int, default=4, choices=(4, 5), help="4: MQTT 3.1.1 (default); 5: MQTT 5.0")
    parser.add_argument("--only", default="", metavar="NAME", help="scenarios whose names contain this")
    parser.add_argument("--before", metavar="FOLDER", help="the project in another version, beside this one")
    add_mosquitto(parser)
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def started(command: Callable[[int], list[str]], project: Path = ROOT) -> tuple[int, int]:
            port = free_port()
            return stack.enter_context(running(command(port), port, project)), port

        brokers = {"mosquitto": started(lambda port: mosquitto(port, folder, args.mosquitto)), "source": started(ours)}
        if args.before:
            before = Path(args.before).resolve()
            brokers["before"] = started(ours, before)
            if (before / "build" / "compiled").exists():
                brokers["compiled*"] = started(ours, before / "build" / "compiled")
        if COMPILED.exists():
            brokers["compiled"] = started(ours, COMPILED)
        else:
            print("without the compiled build: `make compiled` makes it\n")
        if "compiled*" in brokers:
            print("compiled*: the one in", args.before)
        print("Broker processor time for each delivered message, microseconds; medians of", args.repeat)
        print(f"({version_of(args.mosquitto)}; 64 B payload; window {WINDOW}, {WINDOW_QOS0} at QoS 0;")
        print("every delivery verified; none was missing)\n")
        print(f"{'':24}QoS" + "".join(f"{name:>11}" + " ratio" * (name != "mosquitto") for name in brokers), flush=True)
        for scenario in SCENARIOS:
            if args.only not in scenario.name:
                continue
            for qos in (0, 1, 2):
                count = count_for(*brokers["mosquitto"], qos, scenario, args.seconds)
                figures: dict[str, list[float]] = {name: [] for name in brokers}
                for _ in range(args.repeat):
                    for name, (pid, port) in brokers.items():
                        figures[name].append(measure(pid, port, qos, scenario, count, args.level))
                medians = {name: statistics.median(values) for name, values in figures.items()}
                row = f"{scenario.name:24}{qos:>3}"
                for name, median in medians.items():
                    row += f"{median:11.2f}" + f" {median / medians['mosquitto']:5.2f}" * (name != "mosquitto")
                print(row, flush=True)


if __name__ == "__main__":
    main()
