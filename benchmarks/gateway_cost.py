"""What a gateway costs: processor time per message and memory with many saturated lines, and its start.

Real programs: `mqttlite gateway`, boards on pseudo-terminals paced to the line's rate that publish 64 bytes as fast as
they can (gateway_boards.py), Mosquitto of the system. Forward mode leads each device to it; bridge mode has the broker
inside, with its store, and an uplink to Mosquitto at QoS 1. The gateway alone is counted, from /proc.

    python -m benchmarks.gateway_cost [--lines 20] [--baud 115200] [--seconds 10] [--slower 10]

What a Raspberry Pi Zero 2 W could carry is calculated: `--slower` is how many times longer its processor (Cortex-A53,
1 GHz) takes for the same. 10 is an assumption; `--yardstick` prints what a machine takes for a fixed piece of Python.
Run it on both, and divide. A gateway is one thread: one of the four cores is what it has.
"""

import argparse
import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mqttlite.link.frames import DATA, MQTT, decode, encode
from tests.peers import Mosquitto
from tests.runtimes import ROOT

GATEWAY = (sys.executable, "-m", "mqttlite", "gateway")
FULL_A_SECOND = {1: 0.72 * 115200 / 10 / 64, 2: 0.68 * 115200 / 10 / 64}  # messages of one line at 115200 (figures.md)
WARM_S = 4.0
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Process:
    """A process, from /proc."""

    def __init__(self, pid: int) -> None:
        self._stat = Path(f"/proc/{pid}/stat")
        self._status = Path(f"/proc/{pid}/status")

    def cpu_s(self) -> float:
        """User and system."""
        fields = self._stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * _TICK_S

    def memory_mib(self) -> float:
        """Resident."""
        line = next(line for line in self._status.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024


class Boards:
    """gateway_boards.py as a process."""

    def __init__(self, lines: int, baud: int, qos: int) -> None:
        words = (sys.executable, "-m", "benchmarks.gateway_boards", str(lines), str(baud), str(qos))
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self.paths = [self._line() for _ in range(lines)]

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def accepted(self) -> int:
        """Messages so far."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._line())

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class Found(NamedTuple):
    """`rate`: messages a second; `cpu_us`: of the gateway for each; `idle_mib`, `mib`: memory before and after."""

    rate: float
    cpu_us: float
    idle_mib: float
    mib: float


def settings(folder: Path, mode: str, paths: Sequence[str], baud: int, upstream: str) -> Path:
    """gateway.toml."""
    lines = [f'[[serial]]\npath = "{path}"\nbaud = {baud}\n' for path in paths]
    if mode == "forward":
        head = f'upstream = "{upstream}"\n'
    else:
        head = f'mode = "bridge"\nstore = "{folder}/gateway.db"\n'
    if mode == "bridge, uplink":
        lines.append(f'[[upstream]]\nname = "up"\nurl = "{upstream}"\nout = [{{ filter = "boards/#", qos = 1 }}]\n')
    file = folder / "gateway.toml"
    file.write_text(head + 'console = ""\n' + "".join(lines))
    return file


def measured(mode: str, qos: int, lines: int, baud: int, seconds: float) -> Found:
    """One gateway."""
    quiet = {"log_type": "error", "max_queued_messages": 100_000}
    with (
        contextlib.redirect_stdout(io.StringIO()),  # what Mosquitto says at its end
        tempfile.TemporaryDirectory() as name,
        Mosquitto(Path(name), persistence=False, settings=quiet) as broker,
    ):
        folder = Path(name)
        boards = Boards(lines, baud, qos)
        config = settings(folder, mode, boards.paths, baud, broker.url)
        log = (folder / "gateway.log").open("w")
        gateway = subprocess.Popen((*GATEWAY, "--config", str(config)), stdout=log, stderr=log)
        try:
            process = Process(gateway.pid)
            deadline = time.monotonic() + 60
            while boards.accepted() < 100 * lines:
                if time.monotonic() > deadline or gateway.poll() is not None:
                    raise RuntimeError((folder / "gateway.log").read_text())
                time.sleep(0.1)
            idle = process.memory_mib()
            time.sleep(WARM_S)
            count, cpu_s, begin = boards.accepted(), process.cpu_s(), time.monotonic()
            time.sleep(seconds)
            count, cpu_s = boards.accepted() - count, process.cpu_s() - cpu_s
            taken_s = time.monotonic() - begin
            return Found(count / taken_s, 1e6 * cpu_s / count, idle, process.memory_mib())
        finally:
            gateway.kill()
            gateway.wait()
            boards.close()
            log.close()


def start(mode: str, repeat: int) -> tuple[float, float, float]:
    """Of a gateway with one line: processor time and time in seconds until the port is open, and memory in MiB."""
    used, took, memory = [], [], []
    for _ in range(repeat):
        with tempfile.TemporaryDirectory() as name:
            ours, theirs = os.openpty()
            path = settings(Path(name), mode, [os.ttyname(theirs)], 115200, "mqtt://127.0.0.1:9")
            begin = time.monotonic()
            words = (*GATEWAY, "--config", str(path))
            with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as gateway:
                assert gateway.stderr
                for line in gateway.stderr:
                    if "open at" in line:
                        break
                took.append(time.monotonic() - begin)
                process = Process(gateway.pid)
                used.append(process.cpu_s())
                memory.append(process.memory_mib())
                gateway.kill()
            os.close(ours)
            os.close(theirs)
    return statistics.median(used), statistics.median(took), statistics.median(memory)


def yardstick() -> float:
    """Microseconds to encode and decode a full frame of the link in Python, the best of many."""
    payload = bytes(range(1, 115))
    best = float("inf")
    for _ in range(50):
        begin = time.perf_counter()
        for number in range(1000):
            frame = encode(DATA | MQTT, 1, number & 255, 3, 0, -1, payload, 0)
            decode(frame, len(frame) - 1)
        best = min(best, time.perf_counter() - begin)
    return best * 1000


def main(args: Sequence[str]) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gateway_cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--lines", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument("--baud", type=int, default=115200, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement (default: %(default)s)")
    parser.add_argument("--slower", type=float, default=10.0, help="a Pi Zero 2 W, times (default: %(default)s)")
    parser.add_argument("--yardstick", action="store_true", help="the fixed piece of Python alone")
    options = parser.parse_args(args)
    print(f"yardstick: {yardstick():.2f} us for a frame of the link, encoded and decoded, on this machine")
    if options.yardstick:
        return 0
    slower = options.slower
    for mode in ("forward", "bridge"):
        cpu_s, taken_s, mib = start(mode, 5)
        print(
            f"start, {mode}: {cpu_s:.2f} s of processor time, {taken_s:.2f} s until the port is open, {mib:.0f} MiB; "
            f"a Pi Zero 2 W by calculation: {slower * cpu_s:.1f} s"
        )
    print(
        f"\n{options.lines} lines at {options.baud} baud{'':11}messages/s   us/message   share of a core   MiB at begin"
        f"   MiB   Pi Zero 2 W: messages/s   lines"
    )
    for mode in ("forward", "bridge", "bridge, uplink"):
        for qos in (1, 2):
            found = measured(mode, qos, options.lines, options.baud, options.seconds)
            most = 1e6 / (slower * found.cpu_us)
            print(
                f"{mode:<16} QoS {qos}{'':16}{found.rate:>10.0f}{found.cpu_us:>13.1f}"
                f"{found.rate * found.cpu_us / 1e4:>16.0f} %{found.idle_mib:>15.0f}{found.mib:>6.0f}"
                f"{most:>26.0f}{most / FULL_A_SECOND[qos]:>8.1f}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
