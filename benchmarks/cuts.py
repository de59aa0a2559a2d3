"""Power cuts at every operation of a board's flash while the whole program runs: `python -m benchmarks.cuts`.

Each scenario of tests/micropython/virtual/scenarios.py is run on the interpreter built from source, in virtual
time, once without a cut and then with one at each operation, clean and torn in three ways. Exit status 1 when something
is lost, arrives twice, or a board does not come back.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.firmware.virtual_boards import SCRIPTS, command, make_board

NAME = re.compile(r'^    "([\w-]+)": \w+,$', re.MULTILINE)
PARTS = 48  # processes that a scenario is shared among: some four cut operations each
LONG = (("reboots", 1000), ("messages", 100_000), ("away", 48))
COUNTS = re.compile(r"(\d+) operations, (\d+) cuts, (\d+) commands")


def scenarios() -> list[str]:
    """Their names; the file is one for MicroPython."""
    return NAME.findall((SCRIPTS / "virtual" / "scenarios.py").read_text(encoding="utf-8"))


def run(folder: Path, name: str, stride: int, begin: int, bits: int) -> tuple[int, int, int]:
    """Operations, cuts, and commands that were given again. RuntimeError with what was found."""
    argv = command(bits, "whole_cuts.py", folder, name, str(stride), str(begin))
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    found = COUNTS.search(done.stdout)
    if done.returncode or not found:
        raise RuntimeError(f"{name}: {done.stdout[-4000:]}{done.stderr[-2000:]}")
    operations, cuts, again = map(int, found.groups())
    return operations, cuts, again


def long_runs(bits: int) -> int:
    """What is too long for the tests; the exit code."""
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        make_board(Path(temporary))
        for kind, number in LONG:
            argv = command(bits, "whole_long.py", Path(temporary), kind, str(number))
            begun = time.monotonic()
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            lines = [line for line in done.stdout.splitlines() if not line.startswith("OSError")]
            failed += done.returncode != 0
            said = "\n".join(lines[-30:]) + done.stderr[-2000:] if done.returncode else lines[0]
            print(f"{kind} {number:,}: {said} ({time.monotonic() - begun:.0f} s)", flush=True)
    return 1 if failed else 0


def main(words: Sequence[str]) -> int:
    """Command line; the exit code."""
    known = scenarios()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cuts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="SCENARIO", help=f"{', '.join(known)} (default: all)")
    parser.add_argument("--stride", type=int, default=1, help="cut at each so manieth operation (default: 1)")
    parser.add_argument("--bits", type=int, choices=(32, 64), default=64, help="of the interpreter (default: 64)")
    parser.add_argument("--long", action="store_true", help="1,000 starts, 100,000 messages, 48 h without gateway")
    args = parser.parse_args(words)
    if wrong := set(args.names) - set(known):
        parser.error(f"there is no scenario {', '.join(sorted(wrong))}")
    workers = os.cpu_count() or 1
    total = failed = 0
    if args.long:
        return long_runs(args.bits)
    print(f"{'':16}{'operations':>12}{'cuts':>8}{'given again':>13}{'s':>6}", flush=True)
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(workers) as pool:
        folder = Path(temporary)
        for name in args.names or known:
            make_board(folder / name, name)
            begun = time.monotonic()
            stride = args.stride * PARTS
            parts = [
                pool.submit(run, folder / name, name, stride, 1 + n * args.stride, args.bits) for n in range(PARTS)
            ]
            try:
                found = [part.result() for part in parts]
            except RuntimeError as error:
                print(error, file=sys.stderr)
                failed += 1
                continue
            cuts, again = sum(part[1] for part in found), sum(part[2] for part in found)
            total += cuts
            print(f"{name:16}{found[0][0]:12,}{cuts:8,}{again:13,}{time.monotonic() - begun:6.0f}", flush=True)
    print(f"{total:,} cuts: {'nothing lost, nothing twice, every board came back' if not failed else 'FAILED'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
